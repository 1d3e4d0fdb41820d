"""One minute of a quota pool, second by second: the calls in flight, the tokens in use at once, and the refused calls.

The model is that of `in_use`. Records have whole seconds, so the order within a second is unknown.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from bedrock_quota.analysis.in_use import MAX_CALL_SECONDS, WINDOW_SECONDS
from bedrock_quota.analysis.usage import SECONDS_PER_MINUTE

MAX_CALLS = 200_000
"""Calls that a timeline holds. A request quota of 100,000 per minute is above all that AWS lists."""


class TimedCall(msgspec.Struct, frozen=True, gc=False):
    """One answered call. `started` is in seconds since the epoch, `latency_ms` None if the log has none.

    `reserved_tokens` are its input and cache write if its max_tokens is unknown.
    """

    started: int
    caller: str
    reserved_tokens: int
    consumed_tokens: float
    max_tokens: int | None
    latency_ms: int | None = None

    @property
    def ended(self) -> int:
        """Return the second from which it no longer runs. Without a latency that is the second after its start."""
        if self.latency_ms is None or not 0 <= self.latency_ms <= MAX_CALL_SECONDS * 1000:
            return self.started + 1
        return self.started + max(1, -(-self.latency_ms // 1000))

    def held_at(self, second: int) -> float:
        """Return the tokens that it has in use at a second."""
        if self.started <= second < self.ended:
            return self.reserved_tokens
        return self.consumed_tokens if self.ended <= second < self.started + WINDOW_SECONDS else 0.0


class RefusedCalls(msgspec.Struct, frozen=True):
    """Throttled calls of one caller in one second."""

    second: int
    caller: str
    calls: int


class Second(msgspec.Struct, frozen=True):
    """One second. `held` are the tokens in use by caller, the most first. `begun` calls started in it.

    `in_60_seconds` are the answered requests that started in the 60 seconds up to it.
    """

    second: int
    running: int
    begun: int
    in_60_seconds: int
    held: tuple[tuple[str, float], ...]
    refused: tuple[tuple[str, int], ...] = ()

    @property
    def in_use(self) -> float:
        """Return all tokens in use at once."""
        return sum(tokens for _, tokens in self.held)


class Timeline(msgspec.Struct, frozen=True):
    """A minute of a pool. `unknown_ends` are the calls whose end is unknown, and `calls` all that it rests on.

    `begun` are the calls that began in the minute or the one before, by caller, the most first. These count for a quota
    of requests.
    """

    seconds: tuple[Second, ...]
    calls: int
    unknown_ends: int
    begun: tuple[tuple[str, int], ...] = ()

    @property
    def peak(self) -> Second:
        """Return the second with most tokens in use."""
        return max(self.seconds, key=lambda second: second.in_use)

    @property
    def refused(self) -> dict[str, int]:
        """Return the refused calls by caller, the most first."""
        counts: Counter[str] = Counter()
        for second in self.seconds:
            counts.update(dict(second.refused))
        return dict(counts.most_common())


def trace_minute(minute: int, calls: Iterable[TimedCall], refused: Iterable[RefusedCalls]) -> Timeline:
    """Return the seconds of a minute. `calls` must include those that began before and still count in it."""
    counting = [call for call in calls if counts_in(call, minute)]
    refusals: dict[int, Counter[str]] = {}
    for each in refused:
        refusals.setdefault(each.second, Counter())[each.caller] += each.calls
    seconds = tuple(
        _trace_second(second, counting, refusals.get(second, Counter()))
        for second in range(minute, minute + SECONDS_PER_MINUTE)
    )
    begun = Counter(call.caller for call in counting if call.started >= minute - SECONDS_PER_MINUTE)
    unknown = sum(call.latency_ms is None for call in counting)
    return Timeline(seconds, len(counting), unknown, tuple(begun.most_common()))


def counts_in(call: TimedCall, minute: int) -> bool:
    """Return True for a call that has tokens in use in a minute."""
    return call.started < minute + SECONDS_PER_MINUTE and max(call.ended, call.started + WINDOW_SECONDS) > minute


def _trace_second(second: int, calls: Sequence[TimedCall], refused: Counter[str]) -> Second:
    held: Counter[str] = Counter()
    running = begun = recent = 0
    for call in calls:
        if call.started > second:
            continue
        running += second < call.ended
        begun += call.started == second
        recent += call.started > second - WINDOW_SECONDS
        tokens = call.held_at(second)
        if tokens:
            held[call.caller] += tokens  # type: ignore[assignment]
    return Second(second, running, begun, recent, tuple(held.most_common()), tuple(refused.most_common()))
