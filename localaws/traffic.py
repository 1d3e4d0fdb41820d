"""Traffic: what Bedrock would have logged of one hour in a busy account, the same for the same seed and hour.

Sixteen applications share the account. Fifteen mind their own business; one, the month-end report, asks for
64,000 tokens of output, uses some 300 of them, and by that reserves the quota of everyone on its bucket.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from localaws import bedrock_calls as calls
from localaws.account import ACCOUNT_ID
from localaws.bedrock_calls import Call, Event, LargeBody, Origin, Record, WriteBodies

MINUTES = 60
LOG_STREAM = "aws/bedrock/modelinvocations"
PERMISSIONS_LINE = "Permissions are correctly set for Amazon Bedrock logs."
"""The plain text with which Bedrock opens a fresh log group."""

THROTTLED = "ThrottlingException"

ORIGIN = Origin(ACCOUNT_ID, "us-east-1", log_bucket=f"bedrock-logs-{ACCOUNT_ID}")

MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
"""PutLogEvents: a batch holds so many events and bytes, each event counting its UTF-8 text and 26 bytes more.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html (read 2026-11-23)."""


class LogEvent(msgspec.Struct, frozen=True):
    """One event of the log group: `timestamp` is its arrival in milliseconds since the epoch.

    `large_bodies` are what Bedrock writes into S3 before it, as the message says.
    """

    timestamp: int
    message: str
    large_bodies: tuple[LargeBody, ...] = ()


class Profile(msgspec.Struct, frozen=True):
    """An application inference profile; `copy_from` is what CreateInferenceProfile copies.

    AWS takes a foundation model's ARN for one Region and a system profile's for several. MiniStack answers
    GetInferenceProfile with `copy_from` itself, so a global profile is written here as AWS would answer it.
    """

    name: str
    copy_from: str

    @property
    def placeholder_arn(self) -> str:
        """An ARN for traffic that no Bedrock, emulated or not, has to resolve."""
        return f"arn:aws:bedrock:{ORIGIN.region}:{ACCOUNT_ID}:application-inference-profile/{self.name}"


class Spread(msgspec.Struct, frozen=True):
    """Numbers around a median, log-normal: `sigma` 0 is always the median, 1 is very wide. Never over `most`."""

    median: int
    sigma: float = 0.0
    most: int = 150_000

    def draw(self, numbers: random.Random) -> int:
        """Return one of them, rounded."""
        return min(round(self.median * math.exp(numbers.gauss(0, self.sigma))), self.most)


class Arrivals(msgspec.Struct, frozen=True):
    """Calls a minute: `usual` of them on average, at any moment; in minutes `during` exactly `burst`, all at once."""

    usual: float
    burst: int = 0
    during: tuple[range, ...] = ()

    @property
    def per_minute(self) -> float:
        """Calls a minute, averaged over the hour."""
        return self.usual + self.burst * sum(len(minutes) for minutes in self.during) / MINUTES


class Failures(msgspec.Struct, frozen=True):
    """Every so-manieth call fails with this code, in the minutes `during`."""

    error_code: str
    every: int
    during: tuple[range, ...] = (range(MINUTES),)


class Application(msgspec.Struct, frozen=True):
    """One member of the cast.

    `caller` is the resource of its identity's ARN, `model` what it passes as `modelId`. Caching: `context_tokens` are
    written to the cache by one call in `cache_write_every` and read by the others. `bodies_delivered` is False where
    the log has only counts.
    """

    name: str
    caller: str
    model: str | Profile
    operation: str
    write_bodies: WriteBodies
    arrivals: Arrivals
    input_tokens: Spread
    output_tokens: Spread
    max_tokens: int | None = None
    context_tokens: Spread | None = None
    cache_write_every: int = 20
    bodies_delivered: bool = True
    blocked_every: int = 0
    failures: tuple[Failures, ...] = ()
    tags: Mapping[str, str] | None = None
    served_by: tuple[str, ...] = ()


BUSY = (range(8, 13), range(23, 28), range(41, 47), range(55, 58))
"""Minutes of the hour in which the month-end report runs."""

CULPRIT = "MonthEndReport"
"""The role whose max_tokens throttles everyone."""

US = ("us-east-1", "us-east-2", "us-west-2")
WORLD = (*US, "eu-west-1", "ap-northeast-1")
NOTHING = Spread(0)

PRODUCT_COPY = Profile("product-copy", f"arn:aws:bedrock:{ORIGIN.region}::foundation-model/amazon.nova-lite-v1:0")
MOBILE = Profile("mobile-assistant", "arn:aws:bedrock:::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0")
PROFILES = (PRODUCT_COPY, MOBILE)

CAST = (
    Application(
        name="support chat: a person waits, answers stream, the house rules are cached",
        caller="assumed-role/SupportChat/web",
        model="us.anthropic.claude-sonnet-4-6",
        operation=calls.CONVERSE_STREAM,
        write_bodies=calls.converse,
        arrivals=Arrivals(12),
        input_tokens=Spread(220, 0.5),
        output_tokens=Spread(160, 0.4, most=1000),
        max_tokens=4096,
        context_tokens=Spread(1100),
        blocked_every=41,
        failures=(Failures(THROTTLED, every=2, during=BUSY),),
        tags={"team": "support", "environment": "production"},
        served_by=US,
    ),
    Application(
        name="ticket triage: a queue worker, small answers",
        caller="assumed-role/TicketTriage/worker",
        model="us.anthropic.claude-sonnet-4-6",
        operation=calls.INVOKE_STREAM,
        write_bodies=calls.anthropic_messages,
        arrivals=Arrivals(7),
        input_tokens=Spread(400, 0.6),
        output_tokens=Spread(60, 0.5, most=1024),
        max_tokens=1024,
        blocked_every=67,
        failures=(Failures(THROTTLED, every=3, during=BUSY),),
        served_by=US,
    ),
    Application(
        name="month-end report: twelve workers start together, each with the largest max_tokens there is",
        caller=f"assumed-role/{CULPRIT}/batch",
        model=f"arn:aws:bedrock:{ORIGIN.region}:{ACCOUNT_ID}:inference-profile/us.anthropic.claude-sonnet-4-6",
        operation=calls.INVOKE,
        write_bodies=calls.anthropic_messages,
        arrivals=Arrivals(0.3, burst=12, during=BUSY),
        input_tokens=Spread(900, 0.4),
        output_tokens=Spread(310, 0.25, most=2000),
        max_tokens=64_000,
        failures=(Failures(THROTTLED, every=8, during=BUSY),),
        served_by=US,
    ),
    Application(
        name="coding agent: long cached contexts, some too large for the log",
        caller="assumed-role/CodingAgent/session",
        model="global.anthropic.claude-opus-4-6-v1",
        operation=calls.INVOKE_STREAM,
        write_bodies=calls.anthropic_messages,
        arrivals=Arrivals(1.6),
        input_tokens=Spread(900, 0.8, most=20_000),
        output_tokens=Spread(350, 0.9, most=8000),
        max_tokens=32_000,
        context_tokens=Spread(22_000, 0.5, most=120_000),
        cache_write_every=6,
        served_by=WORLD,
    ),
    Application(
        name="mobile assistant: behind an application profile of a global one",
        caller="assumed-role/MobileBackend/task",
        model=MOBILE,
        operation=calls.CONVERSE_STREAM,
        write_bodies=calls.converse,
        arrivals=Arrivals(8),
        input_tokens=Spread(180, 0.5),
        output_tokens=Spread(110, 0.5, most=2048),
        max_tokens=2048,
        tags={"team": "mobile", "environment": "production", "release": "26.11"},
        served_by=WORLD,
    ),
    Application(
        name="product copy: behind an application profile, no limit asked for",
        caller="assumed-role/ShopCopywriter/task",
        model=PRODUCT_COPY,
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(5),
        input_tokens=Spread(240, 0.4),
        output_tokens=Spread(180, 0.4, most=3000),
        tags={"team": "shop", "environment": "staging"},
    ),
    Application(
        name="claims photos: image delivery is off, so the log has only counts",
        caller="assumed-role/ClaimsPhotos/lambda",
        model="us.amazon.nova-pro-v1:0",
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(3),
        input_tokens=Spread(2600, 0.3),
        output_tokens=Spread(140, 0.5, most=2000),
        max_tokens=2000,
        bodies_delivered=False,
        served_by=US,
    ),
    Application(
        name="site search: one embedding a query",
        caller="assumed-role/SiteSearch/lambda",
        model="amazon.titan-embed-text-v2:0",
        operation=calls.INVOKE,
        write_bodies=calls.titan_embedding,
        arrivals=Arrivals(10),
        input_tokens=Spread(24, 0.6, most=512),
        output_tokens=NOTHING,
    ),
    Application(
        name="catalogue index: 96 texts a call, too large for the log, and near its quota when it runs",
        caller="assumed-role/CatalogueIndex/batch",
        model="us.cohere.embed-v4:0",
        operation=calls.INVOKE,
        write_bodies=calls.cohere_embedding,
        arrivals=Arrivals(0, burst=9, during=(range(16, 22), range(48, 54))),
        input_tokens=Spread(28_500, 0.03),
        output_tokens=NOTHING,
        served_by=US,
    ),
    Application(
        name="log summaries: no limit asked for, Llama's own default counts",
        caller="assumed-role/LogSummaries/lambda",
        model="us.meta.llama3-3-70b-instruct-v1:0",
        operation=calls.INVOKE,
        write_bodies=calls.llama,
        arrivals=Arrivals(5, burst=30, during=(range(30, 32),)),
        input_tokens=Spread(800, 0.5, most=6000),
        output_tokens=Spread(170, 0.4, most=512),
        served_by=US,
    ),
    Application(
        name="translation: the model by its ARN, in its own Region",
        caller="assumed-role/Translation/service",
        model=f"arn:aws:bedrock:{ORIGIN.region}::foundation-model/mistral.mistral-large-2402-v1:0",
        operation=calls.INVOKE,
        write_bodies=calls.mistral,
        arrivals=Arrivals(4),
        input_tokens=Spread(300, 0.6),
        output_tokens=Spread(320, 0.6, most=2048),
        max_tokens=2048,
    ),
    Application(
        name="SQL assistant: sends a bad request now and then",
        caller="assumed-role/SqlAssistant/notebook",
        model="openai.gpt-oss-120b-1:0",
        operation=calls.INVOKE,
        write_bodies=calls.openai_chat,
        arrivals=Arrivals(4),
        input_tokens=Spread(500, 0.5),
        output_tokens=Spread(220, 0.6, most=4096),
        max_tokens=4096,
        failures=(Failures("ValidationException", every=23),),
    ),
    Application(
        name="research: one person's notebook, long chains of thought",
        caller="user/research/mei.tanaka",
        model="us.deepseek.r1-v1:0",
        operation=calls.INVOKE,
        write_bodies=calls.deepseek,
        arrivals=Arrivals(1.5),
        input_tokens=Spread(350, 0.5),
        output_tokens=Spread(1400, 0.5, most=8192),
        max_tokens=8192,
        served_by=US,
    ),
    Application(
        name="old drafts: a model whose quota is 0 in this account",
        caller="assumed-role/OldDrafts/cron",
        model="us.anthropic.claude-opus-4-1-20250805-v1:0",
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(0.8),
        input_tokens=Spread(260, 0.4),
        output_tokens=Spread(300, 0.4, most=1500),
        max_tokens=1500,
        failures=(Failures(THROTTLED, every=1),),
        served_by=US,
    ),
    Application(
        name="preview: a model nobody has heard of yet",
        caller="assumed-role/Preview/lab",
        model="amazon.nova-9-preview-v1:0",
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(0.5),
        input_tokens=Spread(150, 0.4),
        output_tokens=Spread(200, 0.4, most=1000),
        max_tokens=1000,
    ),
    Application(
        name="classifier: throughput of its own, outside every quota",
        caller="assumed-role/Classifier/service",
        model=f"arn:aws:bedrock:{ORIGIN.region}:{ACCOUNT_ID}:provisioned-model/a1b2c3d4e5f6",
        operation=calls.INVOKE,
        write_bodies=calls.llama,
        arrivals=Arrivals(2),
        input_tokens=Spread(200, 0.4),
        output_tokens=Spread(5, 0.2, most=20),
        max_tokens=20,
    ),
)


def hour(
    end: datetime,
    seed: int = 0,
    profile_arns: Mapping[Profile, str] | None = None,
    large_bodies_bucket: str = ORIGIN.log_bucket,
) -> list[LogEvent]:
    """Return the log of the hour before `end`, a whole minute: Bedrock's opening line, then records by arrival.

    Calls begin within the hour; records arrive when a call has ended and a few seconds more, some after `end`.
    `profile_arns` are the ARNs under which `PROFILES` were made; without it each gets its placeholder. Bodies over
    100 KB lie in `large_bodies_bucket`.
    """
    if end.tzinfo is None or end.second or end.microsecond:
        raise ValueError(f"not a whole minute with a time zone: {end}")
    start = end.astimezone(UTC) - timedelta(minutes=MINUTES)
    text = calls.prose(f"{seed}")
    origin = msgspec.structs.replace(ORIGIN, log_bucket=large_bodies_bucket)
    opening = LogEvent(_milliseconds(start), PERMISSIONS_LINE)
    records = (
        event
        for each in CAST
        for event in _simulate(each, start, seed=seed, text=text, profile_arns=profile_arns or {}, origin=origin)
    )
    return [opening, *sorted(records, key=_arrival)]


def _simulate(
    application: Application,
    start: datetime,
    *,
    seed: int,
    text: str,
    profile_arns: Mapping[Profile, str],
    origin: Origin,
) -> Iterator[LogEvent]:
    draw = random.Random(f"{seed} {application.caller}")  # noqa: S311 - no secret
    model = application.model
    model_id = profile_arns.get(model, model.placeholder_arn) if isinstance(model, Profile) else model
    answered = 0
    failed = dict.fromkeys(application.failures, 0)
    for minute, second in _starts(application.arrivals, draw):
        started = start + timedelta(minutes=minute, seconds=second)
        event = _event(application, model_id, started, draw)
        failure = next((each for each in application.failures if any(minute in part for part in each.during)), None)
        if failure is not None:
            failed[failure] += 1
            if failed[failure] % failure.every == 0:
                record = calls.failure(event, origin, failure.error_code)
                yield _logged(started, draw.randint(40, 300), draw, record)
                continue
        answered += 1
        call = _call(application, model_id, answered, draw, text)
        bodies = application.write_bodies(call) if application.bodies_delivered else None
        yield _logged(started, call.latency_ms, draw, calls.record(event, origin, call, bodies))


def _starts(arrivals: Arrivals, draw: random.Random) -> Iterator[tuple[int, float]]:
    """Yield minute and second of each call of the hour, in order."""
    for minute in range(MINUTES):
        if any(minute in part for part in arrivals.during):
            # Together, at the top of the minute: what they reserve is held at the same time.
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
    """Return the `number`-th answered call of an application, counted from 1."""
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
        latency_ms=round(300 + input_tokens / 20 + output_tokens * draw.uniform(8, 16)),
        context=calls.excerpt(text, draw, context_tokens * calls.CHARACTERS_PER_TOKEN),
        prompt=calls.excerpt(text, draw, input_tokens * calls.CHARACTERS_PER_TOKEN),
        answer=calls.excerpt(text, draw, output_tokens * calls.CHARACTERS_PER_TOKEN),
    )


def _logged(started: datetime, latency_ms: int, draw: random.Random, record: Record) -> LogEvent:
    delivered_ms = draw.randint(1500, 6000)  # seen: 3.5 to 14.6 s after the start, most of it the call itself
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
    and application.operation != calls.INVOKE_STREAM  # its chunks would be most of a small record
    and isinstance(application.model, str)  # no profile to resolve
    and ":provisioned-model/" not in application.model
)
_AGENT = next(application for application in CAST if application.caller.startswith("assumed-role/CodingAgent"))


MIX_SECONDS = 15
"""In captured records, calls that arrived together had begun within so many seconds."""


def chat(count: int, end: datetime, seed: int = 0) -> list[LogEvent]:
    """Return records of short calls, about 1.9 KB each. All three mixes hold only calls that have a bucket."""
    return _mix(count, end, f"chat {seed}", _INLINE, lambda draw: draw.gauss(1_900, 200))


def mixed(count: int, end: datetime, seed: int = 0) -> list[LogEvent]:
    """Return records of all sizes: the median 6 KB, the 99th percentile 100 KB, which is what fits inline."""
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
    """Return `count` records of the `MIX_SECONDS` before `end`, of sizes in bytes that `draw_size` gives.

    That is what one delivery holds: calls that ended together, of each application as many as it is busy.
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
    """Return a record of this many bytes, or a few more: its prompt fills what the rest leaves."""
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


# ---------------------------------------------------------------- the way into the log group


def batches(events: Iterable[LogEvent]) -> Iterator[list[LogEvent]]:
    """Cut events, which are in order of arrival, into what PutLogEvents takes at a time."""
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
