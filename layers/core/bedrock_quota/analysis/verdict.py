"""Verdict on a quota pool: whether its calls were throttled, the cause, and the minutes that show it."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from bedrock_quota.analysis.usage import ENOUGH_COVERAGE, SECONDS_PER_MINUTE, CallerUsage, PoolMinute, PoolUsage

NEAR_PERCENT = 80
"""Use in percent of a quota from which a pool is near its quota, as the alarms have it by default."""


class Cause(StrEnum):
    """The cause of throttling in one minute, as far as the log shows it."""

    RESERVATION = "reservation"
    CONSUMPTION = "consumption"
    REQUESTS = "requests"
    NONE_OF_THESE = "none of these"
    """A quota per day, capacity of the model, or calls that are not in the log."""


class State(StrEnum):
    """The state of a pool in a window of time, the worst first."""

    QUOTA_IS_ZERO = "quota is 0"
    THROTTLED_BY_RESERVATION = "throttled by reservation"
    THROTTLED_BY_CONSUMPTION = "throttled by consumption"
    THROTTLED_BY_REQUESTS = "throttled by requests"
    THROTTLED_OTHERWISE = "throttled by none of these"
    REACHED = "reached its quota"
    """No call was throttled, but a minute's sum reached the quota."""
    NEAR = "near its quota"
    MOSTLY_UNKNOWN = "mostly unknown"
    """All known use stayed below the quota, but the max_tokens of most calls is unknown."""
    FINE = "fine"
    NO_QUOTA = "quota unknown"


_STATES = {
    Cause.RESERVATION: State.THROTTLED_BY_RESERVATION,
    Cause.CONSUMPTION: State.THROTTLED_BY_CONSUMPTION,
    Cause.REQUESTS: State.THROTTLED_BY_REQUESTS,
    Cause.NONE_OF_THESE: State.THROTTLED_OTHERWISE,
}


class ThrottledMinute(msgspec.Struct, frozen=True):
    """A minute with throttled calls, as evidence, and the cause that the numbers show."""

    minute: PoolMinute
    cause: Cause


class Verdict(msgspec.Struct, frozen=True):
    """The state of a pool, its throttled minutes, and the minutes whose sums reached a quota."""

    state: State
    throttled: tuple[ThrottledMinute, ...] = ()
    reached: tuple[PoolMinute, ...] = ()

    def count_throttled(self) -> dict[Cause, int]:
        """Return the throttled calls by cause, most frequent first."""
        counts: Counter[Cause] = Counter()
        for each in self.throttled:
            counts[each.cause] += each.minute.throttled
        return dict(counts.most_common())


def judge(usage: PoolUsage) -> Verdict:
    """Return the verdict on a pool.

    A pool is throttled by the cause of most throttled calls. A throttled call was refused although it is in no sum, so
    a quota need not be reached: it is enough that one more call of the size of the pool's calls did not fit.
    """
    before = {minute.minute + SECONDS_PER_MINUTE: minute for minute in usage.minutes}
    largest, wanted = _find_largest(usage.callers), _find_largest_wanted(usage)
    throttled = tuple(
        ThrottledMinute(
            minute, _find_cause(usage, minute, before.get(minute.minute), wanted.get(minute.minute, largest))
        )
        for minute in usage.minutes
        if minute.throttled
    )
    reached = tuple(minute for minute in usage.minutes if _percent(usage, minute) >= 100)
    verdict = Verdict(State.FINE, throttled, reached)
    if 0 in (usage.token_quota, usage.request_quota):
        state = State.QUOTA_IS_ZERO
    elif throttled:
        state = _STATES[next(iter(verdict.count_throttled()))]
    elif usage.token_quota is None and usage.request_quota is None:
        state = State.NO_QUOTA
    elif reached:
        state = State.REACHED
    elif (usage.peak_percent or 0) >= NEAR_PERCENT:
        state = State.NEAR
    else:
        state = State.FINE if usage.coverage >= ENOUGH_COVERAGE else State.MOSTLY_UNKNOWN
    return msgspec.structs.replace(verdict, state=state)


def _find_cause(usage: PoolUsage, minute: PoolMinute, before: PoolMinute | None, wanted: int) -> Cause:
    """Return the cause that brought the minute closest to its quota, if one more call of `wanted` tokens did not fit.

    Calls of the minute before may still count. If single calls were seen, `in_use` has them. Otherwise the minute
    `before` is looked at, too.
    """
    tokens, requests = usage.token_quota, usage.request_quota
    shares: list[tuple[float, Cause]] = []
    fullest = minute
    if minute.in_use is None and before is not None and before.used_tokens > minute.used_tokens:
        fullest = before
    if tokens:
        held = max(fullest.used_tokens, minute.in_use or 0)
        if held + wanted > tokens:
            shares.append((held / tokens, Cause.CONSUMPTION if _is_consumed(fullest, tokens) else Cause.RESERVATION))
    if requests:
        begun = max(minute.requests, minute.requests_in_60_seconds or 0)
        if begun >= requests:
            shares.append((begun / requests, Cause.REQUESTS))
    return max(shares)[1] if shares else Cause.NONE_OF_THESE


def _is_consumed(minute: PoolMinute, quota: float) -> bool:
    """Return True if consumed tokens reach the quota, or are at least the reserved ones of calls that are all known."""
    if minute.consumed_tokens >= quota:
        return True
    is_known = 0 < minute.requests <= minute.known_requests
    return is_known and minute.consumed_tokens >= minute.reserved_tokens > 0


def _find_largest_wanted(usage: PoolUsage) -> dict[int, int]:
    """Return the most tokens that one throttled call of each minute may have wanted to reserve.

    The log of a throttled call has no tokens, so it counts like the largest of the caller's answered calls. A caller
    without answered calls counts like the largest of all callers.
    """
    largest = _find_largest(usage.callers)
    found: dict[int, int] = {}
    for caller in usage.callers:
        wanted = caller.largest_reservation if caller.requests else largest
        for minute in caller.minutes:
            if minute.throttled:
                found[minute.minute] = max(found.get(minute.minute, 0), wanted)
    return found


def _find_largest(callers: Iterable[CallerUsage]) -> int:
    return max((caller.largest_reservation for caller in callers), default=0)


def _percent(usage: PoolUsage, minute: PoolMinute) -> float:
    tokens = 100 * minute.used_tokens / usage.token_quota if usage.token_quota else 0.0
    requests = 100 * minute.requests / usage.request_quota if usage.request_quota else 0.0
    return max(tokens, requests)
