"""Advice on max_tokens: the limits that calls have, the answers that they got, and the limit to set instead.

It rests on single calls, never on averages. It never proposes less than an answer of the window. If answers were cut at
their limit, it proposes more.
"""

from collections.abc import Iterable, Mapping, Set
from enum import StrEnum

import msgspec

from bedrock_quota.analysis.usage import CallerUsage, Limit, PoolMinute, PoolUsage, Sizes, find_peak_minute
from bedrock_quota.analysis.what_if import count_saved_tokens, find_largest_call

HEADROOM = 1.25
"""Factor between the largest answer and the limit that is proposed."""

SMALLEST_LIMIT = 256
"""The smallest limit that is proposed."""

WORTHWHILE = 2
"""A smaller limit is proposed only if the limit in force is at least this many times as large."""

FEW_CALLS = 20
"""With fewer answers, the largest one says little about the next."""

LEAST_PERCENT = 1.0
"""Percent of the token quota that a smaller limit has to free at the peak, or in a minute that is over the quota."""

LEAST_PERCENT_ELSEWHERE = 5.0
"""The same for any other minute, because the pool has room in it."""

MAX_CHANGES = 500
"""Callers of one pool for which a plan proposes another limit."""


class Action(StrEnum):
    """The action that advice proposes."""

    SET = "set"
    RAISE = "raise"
    LEAVE = "leave"


class Reason(StrEnum):
    """The reason for an action."""

    FAR_ABOVE = "the limit is far above the largest answer"
    CUT = "answers were cut at the limit"
    CLOSE = "the limit is close to the largest answer"
    FREES_LITTLE = "a smaller limit would free little of the quota"
    UNKNOWN = "the limit is not in the log"
    NO_OUTPUT = "the calls have no output tokens"
    ALL_THROTTLED = "all its calls were throttled"
    AT_MAXIMUM = "answers were cut at the model's maximum"


class Advice(msgspec.Struct, frozen=True):
    """Advice to one caller of a pool.

    `limit` is the largest max_tokens in force. `max_tokens` is the limit to set, None for `leave`. `freed_tokens` are
    what the change takes off the pool's peak minute, negative if it adds, and `freed_percent` is this in percent of the
    token quota, None without one. `calls` is the number of answers that it rests on.
    """

    caller: str
    action: Action
    reason: Reason
    calls: int
    sizes: Sizes
    cut_answers: int
    limit: Limit | None
    max_tokens: int | None = None
    freed_tokens: float = 0.0
    freed_percent: float | None = None

    @property
    def cut_share(self) -> float:
        """Return the share of answers that were cut at their limit, from 0 to 1."""
        return self.cut_answers / self.calls if self.calls else 0.0

    @property
    def rests_on_few(self) -> bool:
        """True if there are too few answers to be sure."""
        return self.calls < FEW_CALLS


class Change(msgspec.Struct, frozen=True):
    """One step of a plan: the limit to set, and the pool's highest use per minute with it and all steps before it.

    `peak` has the served calls. `peak_with_throttled` also has all throttled ones, as in a projection. It is None if
    limits of throttled callers are unknown.
    """

    caller: CallerUsage
    max_tokens: int
    peak: float
    peak_with_throttled: float | None


def advise(
    usage: PoolUsage, model_maximum: int | None = None, plan: Iterable[Change] | None = None
) -> tuple[Advice, ...]:
    """Return advice to each caller of a pool with answered or throttled calls, in the order of the callers.

    No proposal is above `model_maximum`, the most output tokens that the model takes. None: it is unknown. The changes
    of the pool's `plan` are always proposed. Pass it if it is made already, because it takes long for many callers.
    """
    planned = {change.caller.caller for change in (plan_changes(usage) if plan is None else plan)}
    by_minute = {minute.minute: minute for minute in usage.minutes}
    peak = find_peak_minute(usage.minutes)
    return tuple(
        _advise(usage, caller, by_minute, peak, model_maximum, is_planned=caller.caller in planned)
        for caller in usage.callers
        if caller.requests or caller.throttled
    )


def sort_by_freed(advice: Advice) -> tuple[float, ...]:
    """Return a key that sorts smaller limits by what they free, then larger ones, and then the callers to leave."""
    order = (Action.SET, Action.RAISE, Action.LEAVE).index(advice.action)
    return order, -(advice.freed_percent or 0), -advice.freed_tokens


def plan_changes(usage: PoolUsage, limits: Mapping[str, int] | None = None) -> tuple[Change, ...]:
    """Return the changes that bring a pool below its quota, at most `MAX_CHANGES`, the largest saving first.

    Fewer are returned if they are enough, and none if none lowers the peak. The peak is the larger of reserved and
    consumed tokens of a minute, because no max_tokens lowers consumption. Throttled calls would have run too, so it has
    them as well, if their limits are known. Without a quota, or below it, the changes lower the peak. `limits` are
    those of a what-if, by caller. These callers are not in the plan.
    """
    given = dict(limits or {})
    by_minute = {minute.minute: minute for minute in usage.minutes}
    reserved = {minute.minute: minute.reserved_tokens for minute in usage.minutes}
    for caller in usage.callers:
        for each in caller.minutes if caller.caller in given else ():
            if each.minute in reserved:
                reserved[each.minute] -= count_saved_tokens(each, given[caller.caller])
    throttled = _group_throttled(usage)
    sizes = {caller.caller: find_largest_call(caller, given) for caller in usage.callers if caller.requests}
    wanted = _sum_wanted(throttled, sizes)
    peak, before = _find_peaks(usage, reserved, wanted)
    goal = before if usage.token_quota is None else min(usage.token_quota, before)
    busy = frozenset(
        minute.minute
        for minute in usage.minutes
        if max(reserved[minute.minute], minute.consumed_tokens) + wanted.get(minute.minute, 0) >= goal
    )
    proposals = [
        (_sum_savings(caller, limit, busy), caller, limit)
        for caller in usage.callers
        if caller.caller not in given
        and (limit := _smaller_limit(caller)) is not None
        and _is_worthwhile(usage.token_quota, caller, limit, by_minute, minutes=busy, least=LEAST_PERCENT)
    ]
    proposals.sort(key=lambda proposal: -proposal[0])
    changes: list[Change] = []
    most = before
    for saved, caller, limit in proposals[:MAX_CHANGES]:
        if most < goal or saved <= 0:
            break
        for minute, tokens in _savings(caller, limit).items():
            if minute in reserved:
                reserved[minute] -= tokens
        sizes[caller.caller] = find_largest_call(caller, {caller.caller: limit})
        if caller.caller in throttled or "" in throttled:
            wanted = _sum_wanted(throttled, sizes)
        lower, most = _find_peaks(usage, reserved, wanted)
        changes.append(Change(caller, limit, lower, most if _are_known(throttled, sizes) else None))
    return tuple(changes) if changes and (changes[-1].peak < peak or most < before) else ()


def _group_throttled(usage: PoolUsage) -> dict[str, dict[int, int]]:
    """Return the throttled calls by caller and minute. Those of callers without served calls are under ""."""
    found: dict[str, dict[int, int]] = {}
    for caller in usage.callers:
        name = caller.caller if caller.requests else ""
        for minute in caller.minutes:
            if minute.throttled:
                of_caller = found.setdefault(name, {})
                of_caller[minute.minute] = of_caller.get(minute.minute, 0) + minute.throttled
    return found


def _sum_wanted(throttled: Mapping[str, Mapping[int, int]], sizes: Mapping[str, float | None]) -> dict[int, float]:
    """Return the most tokens that throttled calls may have wanted, by minute. Those of unknown size count as 0."""
    largest = max((size or 0 for size in sizes.values()), default=0.0)
    wanted: dict[int, float] = {}
    for caller, minutes in throttled.items():
        size = sizes[caller] or 0.0 if caller in sizes else largest
        for minute, calls in minutes.items():
            wanted[minute] = wanted.get(minute, 0) + calls * size
    return wanted


def _are_known(throttled: Mapping[str, Mapping[int, int]], sizes: Mapping[str, float | None]) -> bool:
    """Return True if the largest call of each throttled caller is known, and of each caller if one has none."""
    wanted = sizes if "" in throttled else throttled
    return all(sizes[caller] is not None for caller in wanted)


def _find_peaks(usage: PoolUsage, reserved: Mapping[int, float], wanted: Mapping[int, float]) -> tuple[float, float]:
    """Return the highest use of a minute with these reservations: without and with the tokens of throttled calls."""
    used = {minute.minute: max(reserved[minute.minute], minute.consumed_tokens) for minute in usage.minutes}
    return (
        max(used.values(), default=0.0),
        max((tokens + wanted.get(minute, 0) for minute, tokens in used.items()), default=0.0),
    )


def round_up_limit(tokens: float) -> int:
    """Return the next of 256, 512, 1024, …, the values that people use."""
    limit = SMALLEST_LIMIT
    while limit < tokens:
        limit *= 2
    return limit


def _advise(
    usage: PoolUsage,
    caller: CallerUsage,
    by_minute: Mapping[int, PoolMinute],
    peak: PoolMinute | None,
    model_maximum: int | None,
    *,
    is_planned: bool,
) -> Advice:
    action, reason, max_tokens = _propose(caller, model_maximum)
    if action is Action.SET and max_tokens is not None and not (is_planned or caller.cut_answers):
        fullest = {peak.minute} if peak is not None else set()
        quota, others = usage.token_quota, by_minute.keys()
        if not (
            _is_worthwhile(quota, caller, max_tokens, by_minute, minutes=fullest, least=LEAST_PERCENT)
            or _is_worthwhile(quota, caller, max_tokens, by_minute, minutes=others, least=LEAST_PERCENT_ELSEWHERE)
        ):
            action, reason, max_tokens = Action.LEAVE, Reason.FREES_LITTLE, None
    freed = 0.0
    if max_tokens is not None and peak is not None:
        freed = _count_freed(peak, _savings(caller, max_tokens))
    return Advice(
        caller=caller.caller,
        action=action,
        reason=reason,
        calls=caller.answers,
        sizes=caller.sizes,
        cut_answers=caller.cut_answers,
        limit=caller.largest_limit,
        max_tokens=max_tokens,
        freed_tokens=freed,
        freed_percent=100 * freed / usage.token_quota if usage.token_quota else None,
    )


def _count_freed(minute: PoolMinute, savings: Mapping[int, int]) -> float:
    """Return the tokens that savings take off a minute of a pool, whose consumption stays."""
    saved = savings.get(minute.minute, 0)
    return minute.used_tokens - max(minute.reserved_tokens - saved, minute.consumed_tokens)


def _is_worthwhile(
    token_quota: float | None,
    caller: CallerUsage,
    max_tokens: int,
    by_minute: Mapping[int, PoolMinute],
    *,
    minutes: Set[int],
    least: float,
) -> bool:
    """Return True if a limit frees this percentage of the token quota in one of the pool's `minutes`.

    Throttled calls of the caller count as well, because each of them wants as much. True if it cannot be known. A pool
    has many more minutes than most of its callers, so only the minutes of the caller are looked at.
    """
    if not token_quota or not caller.minutes:
        return True
    savings, refused = _savings(caller, max_tokens), _save_throttled(caller, max_tokens)
    found = (by_minute[minute] for minute in savings if minute in minutes and minute in by_minute)
    largest = max((_count_freed(each, savings) + refused.get(each.minute, 0) for each in found), default=0)
    return largest >= least / 100 * token_quota


def _save_throttled(caller: CallerUsage, max_tokens: int) -> dict[int, int]:
    """Return the tokens per minute that throttled calls of a caller want less, each as large as its largest."""
    most = caller.largest_limit.max_tokens if caller.largest_limit is not None else 0
    return {minute.minute: minute.throttled * max(0, most - max_tokens) for minute in caller.minutes}


def _sum_savings(caller: CallerUsage, max_tokens: int, minutes: Set[int]) -> int:
    """Return the tokens that a caller wants less in these minutes, its throttled calls included."""
    savings, refused = _savings(caller, max_tokens), _save_throttled(caller, max_tokens)
    return sum(saved + refused.get(minute, 0) for minute, saved in savings.items() if minute in minutes)


def _propose(caller: CallerUsage, model_maximum: int | None) -> tuple[Action, Reason, int | None]:
    """Return the action, its reason, and the limit to set, whatever it frees."""
    limit = caller.largest_limit
    if not caller.answers:
        return Action.LEAVE, Reason.NO_OUTPUT if caller.requests else Reason.ALL_THROTTLED, None
    if limit is None:
        return Action.LEAVE, Reason.UNKNOWN, None
    smaller = _smaller_limit(caller)
    if smaller is not None:
        return Action.SET, Reason.FAR_ABOVE, smaller
    if caller.cut_answers:
        enough = min(_enough_tokens(caller), model_maximum or _enough_tokens(caller))
        if enough > caller.largest_cut:
            return Action.RAISE, Reason.CUT, enough
        return Action.LEAVE, Reason.AT_MAXIMUM, None
    return Action.LEAVE, Reason.CLOSE, None


def _enough_tokens(caller: CallerUsage) -> int:
    """Return a limit that is enough for each answer of a caller, and more than the limit of any that was cut."""
    return round_up_limit(max(caller.sizes.largest, caller.largest_cut) * HEADROOM)


def _smaller_limit(caller: CallerUsage) -> int | None:
    """Return a limit that is enough for each answer, None if it is not much smaller than the one in force."""
    limit = caller.largest_limit
    enough = _enough_tokens(caller)
    return enough if limit is not None and enough * WORTHWHILE <= limit.max_tokens else None


def _savings(caller: CallerUsage, max_tokens: int) -> dict[int, int]:
    """Return the tokens per minute that a caller reserves less with this limit.

    Calls that set less keep it, unless answers of the caller were cut: then each call sets the new limit.
    """
    only_larger = not caller.cut_answers
    return {minute.minute: count_saved_tokens(minute, max_tokens, only_larger=only_larger) for minute in caller.minutes}
