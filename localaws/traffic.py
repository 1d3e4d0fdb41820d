"""Simulate one hour of Bedrock's invocation log in a busy account, and mixes of records for benchmarks.

The same seed and hour give the same log. `localaws.applications` describes who calls.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from bedrock_quota.processor.reading import PERMISSIONS_LINE
from localaws import bedrock_calls as calls
from localaws.account import ACCOUNT_ID
from localaws.applications import CAST, MINUTES, NOTHING, ORIGIN, THROTTLED, Application, Arrivals, Profile, Spread
from localaws.bedrock_calls import Call, Event, LargeBody, Origin, Record
from localaws.limiter import Minutes
from localaws.quotas import Limiters

LOG_STREAM = "aws/bedrock/modelinvocations"
OPENING_LINE = f"{PERMISSIONS_LINE}."
"""The plain text that Bedrock writes first into a new log group."""

BODIES_LATE = (0, 30, 90)
"""Seconds after a record in which S3 has its large bodies, in turn for the calls of an application."""

MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
"""The limits of a PutLogEvents batch. Each event counts as its UTF-8 text and 26 bytes.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html (read 2026-11-23)."""


class LogEvent(msgspec.Struct, frozen=True):
    """One event of the log group. `timestamp` is its arrival in milliseconds since the epoch.

    `large_bodies` are the objects that Bedrock writes to S3 `bodies_late` seconds after the event. The message has
    their places.
    """

    timestamp: int
    message: str
    large_bodies: tuple[LargeBody, ...] = ()
    bodies_late: int = 0


class Planned(msgspec.Struct, frozen=True):
    """A call that an application makes, whatever becomes of it. `number` counts the application's calls from 1."""

    started: datetime
    application: Application
    number: int
    event: Event
    call: Call
    is_retry: bool = False

    @property
    def ended(self) -> datetime:
        """Return its end, if it is served."""
        return self.started + timedelta(milliseconds=self.call.latency_ms)


def hour(
    end: datetime,
    seed: int = 0,
    profile_arns: Mapping[Profile, str] | None = None,
    large_bodies_bucket: str = ORIGIN.log_bucket,
    *,
    max_tokens: Mapping[str, int] | None = None,
    minutes: Minutes = Minutes.SLIDING,
) -> list[LogEvent]:
    """Return the log of the hour before `end`, a whole minute: Bedrock's opening line, then records by arrival.

    Calls begin within the hour. A record arrives a few seconds after its call has ended, sometimes after `end`.
    `profile_arns` are the ARNs of the created `PROFILES`. A profile without one has its placeholder ARN. Bodies over
    100 KB are in `large_bodies_bucket`. Calls go through Bedrock's limiter, with the account's quotas. `max_tokens`
    replaces the limits of applications, by role. Everything else stays as it is, except for what is throttled.
    """
    if end.tzinfo is None or end.second or end.microsecond:
        raise ValueError(f"end is not a whole minute with a time zone: {end}")
    start = end.astimezone(UTC) - timedelta(minutes=MINUTES)
    text = calls.prose(f"{seed}")
    origin = msgspec.structs.replace(ORIGIN, log_bucket=large_bodies_bucket)
    opening = LogEvent(_milliseconds(start), OPENING_LINE)
    planned = [
        call
        for each in CAST
        for call in _plan(
            _limited(each, max_tokens or {}), start, seed=seed, text=text, profile_arns=profile_arns or {}
        )
    ]
    records = (_write(call, served, origin, seed) for call, served in admit(planned, minutes))
    return [opening, *sorted(records, key=_arrival)]


def _limited(application: Application, max_tokens: Mapping[str, int]) -> Application:
    limit = max_tokens.get(application.role)
    return application if limit is None else msgspec.structs.replace(application, max_tokens=limit)


def _plan(
    application: Application, start: datetime, *, seed: int, text: str, profile_arns: Mapping[Profile, str]
) -> Iterator[Planned]:
    """Yield the calls of an application in order. Each has numbers of its own, so a change of one changes no other."""
    model = application.model
    model_id = profile_arns.get(model, model.placeholder_arn) if isinstance(model, Profile) else model
    starts = random.Random(f"{seed} {application.caller}")  # noqa: S311 - no secret
    for number, (minute, second) in enumerate(_starts(application.arrivals, starts), start=1):
        draw = random.Random(f"{seed} {application.caller} {number}")  # noqa: S311 - no secret
        started = start + timedelta(minutes=minute, seconds=second)
        event = _event(application, model_id, started, draw)
        yield Planned(started, application, number, event, _call(application, model_id, number, draw, text))


def admit(planned: Iterable[Planned], minutes: Minutes = Minutes.SLIDING) -> Iterator[tuple[Planned, str]]:
    """Yield each call in order of its start, with its error code: "" if it is served.

    A throttled call of an application that tries again comes once more.
    """
    limiters = Limiters(minutes)
    coming = [(call.started, number, call) for number, call in enumerate(planned)]
    heapq.heapify(coming)
    numbers = itertools.count(len(coming))
    while coming:
        _, _, call = heapq.heappop(coming)
        application, failures = call.application, call.application.failures
        if failures is not None and call.number % failures.every == 0:
            yield call, failures.error_code
            continue
        served = limiters.admit(application, call.call, call.started)
        yield call, "" if served else THROTTLED
        if not served and application.retry_seconds and not call.is_retry:
            later = _try_again(call)
            heapq.heappush(coming, (later.started, next(numbers), later))


def _try_again(call: Planned) -> Planned:
    started = call.started + timedelta(seconds=call.application.retry_seconds)
    first, *rest = call.event.request_id.split("-")
    request_id = "-".join((first[::-1], *rest))
    event = msgspec.structs.replace(call.event, started=started, request_id=request_id)
    return msgspec.structs.replace(call, started=started, event=event, is_retry=True)


def _write(planned: Planned, error_code: str, origin: Origin, seed: int) -> LogEvent:
    """Return the record of a call."""
    application, call = planned.application, planned.call
    draw = random.Random(f"{seed} {planned.event.request_id}")  # noqa: S311 - no secret
    if error_code:
        return _logged(planned.started, draw.randint(40, 300), draw, calls.failure(planned.event, origin, error_code))
    bodies = application.write_bodies(call) if application.bodies_delivered else None
    logged = _logged(planned.started, call.latency_ms, draw, calls.record(planned.event, origin, call, bodies))
    late = BODIES_LATE[planned.number % len(BODIES_LATE)] if logged.large_bodies else 0
    return msgspec.structs.replace(logged, bodies_late=late)


def _starts(arrivals: Arrivals, draw: random.Random) -> Iterator[tuple[int, float]]:
    """Yield minute and second of each call in the hour, in order."""
    for minute in range(MINUTES):
        if any(minute in part for part in arrivals.during):
            if arrivals.paced:
                yield from ((minute, 60 * (each + 0.5) / arrivals.burst) for each in range(arrivals.burst))
                continue
            # All at the start of the minute, so their reservations overlap.
            yield from ((minute, second) for second in sorted(draw.uniform(0, 8) for _ in range(arrivals.burst)))
            continue
        second = draw.expovariate(arrivals.usual / 60) if arrivals.usual else math.inf
        while second < 60:
            yield minute, second
            second += draw.expovariate(arrivals.usual / 60)


def _event(application: Application, model_id: str, started: datetime, draw: random.Random) -> Event:
    kind = application.caller.partition("/")[0]
    session = f"-{draw.randint(1, 8)}" if kind == "assumed-role" else ""
    service = "sts" if kind == "assumed-role" else "iam"
    bits = f"{draw.getrandbits(128):032x}"
    return Event(
        started=started,
        request_id="-".join((bits[:8], bits[8:12], f"4{bits[13:16]}", f"8{bits[17:20]}", bits[20:])),  # like a UUID 4
        caller_arn=f"arn:aws:{service}::{ACCOUNT_ID}:{application.caller}{session}",
        operation=application.operation,
        model_id=model_id,
        inference_region=draw.choice(application.served_by) if application.served_by else None,
        metadata=application.tags,
    )


def _call(application: Application, model_id: str, number: int, draw: random.Random, text: str) -> Call:
    """Return the `number`-th call of an application, counted from 1, as it is if it is served."""
    if application.blocked_every and number % application.blocked_every == 0:
        return Call(
            operation=application.operation,
            model_id=model_id,
            input_tokens=0,
            cache_read_tokens=0,
            cache_write_tokens=0,
            output_tokens=0,
            max_tokens=application.max_tokens,
            latency_ms=draw.randint(180, 420),
            context="",
            prompt=calls.excerpt(text, draw, 120),
            answer="Sorry, the model cannot answer this question.",
            blocked=True,
        )
    input_tokens = max(1, application.input_tokens.draw(draw))
    output_tokens = application.output_tokens.draw(draw)
    if application.output_tokens.median:
        output_tokens = max(1, min(output_tokens, application.max_tokens or output_tokens))
    context_tokens = application.context_tokens.draw(draw) if application.context_tokens else 0
    written = context_tokens if number % application.cache_write_every == 1 else 0
    return Call(
        operation=application.operation,
        model_id=model_id,
        input_tokens=input_tokens,
        cache_read_tokens=context_tokens - written,
        cache_write_tokens=written,
        output_tokens=output_tokens,
        max_tokens=application.max_tokens,
        latency_ms=round((300 + input_tokens / 20 + output_tokens * draw.uniform(8, 16)) * application.slowness),
        context=calls.excerpt(text, draw, context_tokens * calls.CHARACTERS_PER_TOKEN),
        prompt=calls.excerpt(text, draw, input_tokens * calls.CHARACTERS_PER_TOKEN),
        answer=calls.excerpt(text, draw, output_tokens * calls.CHARACTERS_PER_TOKEN),
    )


def _logged(started: datetime, latency_ms: int, draw: random.Random, record: Record) -> LogEvent:
    delivered_ms = draw.randint(1500, 6000)  # observed: 3.5 to 14.6 s after the start, most of it the call itself
    arrival = _milliseconds(started) + latency_ms + delivered_ms
    return LogEvent(arrival, msgspec.json.encode(record.entry).decode(), record.large_bodies)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _arrival(event: LogEvent) -> int:
    return event.timestamp


# ---------------------------------------------------------------- mixes of a given size, for benchmarks

_INLINE = tuple(
    application
    for application in CAST
    if application.bodies_delivered
    and application.output_tokens.median
    and application.operation != calls.INVOKE_STREAM  # a small record would be mostly its chunks
    and isinstance(application.model, str)  # no profile to resolve
    and ":provisioned-model/" not in application.model
)
_AGENT = next(application for application in CAST if application.caller.startswith("assumed-role/CodingAgent"))


MIX_SECONDS = 15
"""Seconds within which the calls of one delivery begin, as in captured records."""


def chat(count: int, end: datetime, seed: int = 0) -> list[LogEvent]:
    """Return records of short calls, about 1.9 KB each. All three mixes have only calls that draw on a quota pool."""
    return _mix(count, end, f"chat {seed}", _INLINE, lambda draw: draw.gauss(1_900, 200))


def mixed(count: int, end: datetime, seed: int = 0) -> list[LogEvent]:
    """Return records of all sizes. The median is 6 KB, and the 99th percentile is 100 KB, the largest inline body."""
    sigma = math.log(100 / 6) / 2.326  # standard deviations from the median to the 99th percentile
    return _mix(count, end, f"mixed {seed}", _INLINE, lambda draw: min(6_000 * math.exp(draw.gauss(0, sigma)), 101_000))


def agent(count: int, end: datetime, seed: int = 0) -> list[LogEvent]:
    """Return records of a coding agent's turns, 60 to 100 KB each."""
    return _mix(count, end, f"agent {seed}", (_AGENT,), lambda draw: draw.uniform(61_000, 99_000))


def _mix(
    count: int,
    end: datetime,
    seed: str,
    applications: tuple[Application, ...],
    draw_size: Callable[[random.Random], float],
) -> list[LogEvent]:
    """Return the `count` records of one delivery, of calls that began in the `MIX_SECONDS` before `end`.

    Each application has its share of the traffic. `draw_size` returns the size of a record in bytes.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    text = calls.prose(seed)
    events = [
        _sized(
            application,
            end - timedelta(seconds=draw.uniform(0, MIX_SECONDS)),
            round(draw_size(draw)),
            draw,
            text,
        )
        for application in draw.choices(applications, [each.arrivals.per_minute for each in applications], k=count)
    ]
    return sorted(events, key=_arrival)


def _sized(application: Application, started: datetime, size: int, draw: random.Random, text: str) -> LogEvent:
    """Return a record of this many bytes or a few more. Its prompt fills the space that the other fields leave."""
    model = application.model
    model_id = model.placeholder_arn if isinstance(model, Profile) else model
    event = _event(application, model_id, started, draw)
    small = msgspec.structs.replace(
        application, input_tokens=NOTHING, context_tokens=None, output_tokens=Spread(60, 0.3, most=120), blocked_every=0
    )
    call = _call(small, model_id, 1, draw, text)

    def record(call: Call) -> Record:
        return calls.record(event, ORIGIN, call, application.write_bodies(call))

    missing = max(60, size - len(msgspec.json.encode(record(call).entry)))
    prompt = calls.excerpt(text, draw, missing)
    filled = msgspec.structs.replace(call, prompt=prompt, input_tokens=missing // calls.CHARACTERS_PER_TOKEN)
    return _logged(started, filled.latency_ms, draw, record(filled))


# ---------------------------------------------------------------- batches for PutLogEvents


def batches(events: Iterable[LogEvent]) -> Iterator[list[LogEvent]]:
    """Split events in order of arrival into batches for PutLogEvents."""
    batch: list[LogEvent] = []
    size = 0
    for event in events:
        event_bytes = len(event.message.encode()) + EVENT_OVERHEAD_BYTES
        if batch and (len(batch) == MAX_BATCH_EVENTS or size + event_bytes > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += event_bytes
    if batch:
        yield batch
