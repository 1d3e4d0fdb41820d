"""Advice on max_tokens: the limits that calls have, the answers that they got, and the limit to set instead.

It rests on single calls, never on averages. It never proposes less than an answer of the window. If answers were cut at
their limit, it proposes more.
"""

from enum import StrEnum

import msgspec

from bedrock_quota.analysis.usage import CallerUsage, Limit, PoolUsage, Sizes, find_peak_minute
from bedrock_quota.analysis.what_if import count_saved_tokens

HEADROOM = 1.25
"""Factor between the largest answer and the limit that is proposed."""

SMALLEST_LIMIT = 256
"""The smallest limit that is proposed."""

WORTHWHILE = 2
"""A smaller limit is proposed only if the limit in force is at least this many times as large."""

FEW_CALLS = 20
"""With fewer answers, the largest one says little about the next."""

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
    """One step of a plan: the limit to set, and the pool's highest use per minute with it and all steps before it."""

    caller: CallerUsage
    max_tokens: int
    peak: float


def advise(usage: PoolUsage, model_maximum: int | None = None) -> tuple[Advice, ...]:
    """Return advice to each caller of a pool with answered or throttled calls, in the order of the callers.

    No proposal is above `model_maximum`, the most output tokens that the model takes. None: it is unknown.
    """
    callers = (caller for caller in usage.callers if caller.requests or caller.throttled)
    return tuple(_advise(usage, caller, model_maximum) for caller in callers)


def plan_changes(usage: PoolUsage) -> tuple[Change, ...]:
    """Return the changes that bring a pool below its quota, at most `MAX_CHANGES`, the largest saving first.

    Fewer are returned if they are enough, and none if none lowers the peak. The peak is the larger of reserved and
    consumed tokens of a minute, because no max_tokens lowers consumption. Without a quota, or below it, the changes
    lower the peak.
    """
    peak = usage.peak_used
    goal = peak if usage.token_quota is None else min(usage.token_quota, peak)
    busy = {minute.minute for minute in usage.minutes if minute.used_tokens >= goal}
    proposals = [
        (caller, limit, _savings(caller, limit))
        for caller in usage.callers
        if (limit := _smaller_limit(caller)) is not None
    ]
    proposals.sort(key=lambda proposal: -sum(proposal[2].get(minute, 0) for minute in busy))
    reserved = {minute.minute: minute.reserved_tokens for minute in usage.minutes}
    changes: list[Change] = []
    for caller, limit, savings in proposals[:MAX_CHANGES]:
        if peak < goal or sum(savings.get(minute, 0) for minute in busy) <= 0:
            break
        for minute, tokens in savings.items():
            if minute in reserved:
                reserved[minute] -= tokens
        peak = max(max(reserved[minute.minute], minute.consumed_tokens) for minute in usage.minutes)
        changes.append(Change(caller, limit, peak))
    return tuple(changes) if peak < usage.peak_used else ()


def round_up_limit(tokens: float) -> int:
    """Return the next of 256, 512, 1024, …, the values that people use."""
    limit = SMALLEST_LIMIT
    while limit < tokens:
        limit *= 2
    return limit


def _advise(usage: PoolUsage, caller: CallerUsage, model_maximum: int | None) -> Advice:
    action, reason, max_tokens = _propose(caller, model_maximum)
    freed = 0.0
    peak = find_peak_minute(usage.minutes)
    if max_tokens is not None and peak is not None:
        saved = _savings(caller, max_tokens).get(peak.minute, 0)
        freed = peak.used_tokens - max(peak.reserved_tokens - saved, peak.consumed_tokens)
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


def _propose(caller: CallerUsage, model_maximum: int | None) -> tuple[Action, Reason, int | None]:
    """Return the action, its reason, and the limit to set."""
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
