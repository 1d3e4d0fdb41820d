"""A what-if in words: each pool that it changes, before and after, and the remedy if the pool reaches its quota."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from bedrock_quota.analysis.advice import Change
from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.remedy import Remedy
from bedrock_quota.analysis.what_if import Outcome, Projection
from quota_monitor.answers.document import Document
from quota_monitor.answers.models import advise_for_legacy
from quota_monitor.answers.numbers import count, percent
from quota_monitor.answers.paragraph import PLAIN, WARNING, Paragraph, join_words

MAX_CHANGES = 3
"""Callers with a smaller limit that are named per pool."""


def write_projections(document: Document) -> Iterator[Paragraph]:
    """Yield a paragraph with an item for each pool that the scenario changes, the worst first."""
    scenario = document.scenario
    projected = [(answer, answer.projection) for answer in document.pools if answer.projection is not None]
    order = list(Outcome)
    changed = sorted(
        (pair for pair in projected if pair[1].is_changed),
        key=lambda pair: (order.index(pair[1].outcome), -_share_used(pair[1])),
    )
    items = [tuple(_write_projection(*pair)) for pair in changed]
    cut = sorted({name for _, projection in projected for name in projection.cut_callers})
    items += [("Answers of the window to ", name, " would be cut.") for name in cut]
    if projected:
        projections = [projection for _, projection in changed]
        is_bad = cut or any(each.outcome in {Outcome.REACHES, Outcome.MAY_REACH} for each in projections)
        said = " ".join([*_count_outcomes(projections, len(projected)), *_explain_numbers(projections)])
        yield Paragraph(WARNING if is_bad else PLAIN, f"{_write_scenario(document)}: ", (said,), tuple(items))
    callers = document.callers | {caller.caller for answer in document.pools for caller in answer.usage.callers}
    missing = [name for name in scenario.max_tokens if name not in callers]
    if missing:
        yield Paragraph(WARNING, "Not found: ", (f"no call in this window is of {', '.join(missing)}.",))


def _count_outcomes(changed: Sequence[Projection], pools: int) -> Iterator[str]:
    """Yield the number of pools that change, by outcome if there are several, and that of the others."""
    others = pools - len(changed)
    if len(changed) > 1:
        zero = sum(_has_zero_quota(each) for each in changed)
        outcomes = Counter(each.outcome for each in changed if not _has_zero_quota(each))
        counts = [(outcomes[outcome], one, several) for outcome, one, several in _OUTCOMES]
        counts.append((zero, "has a quota of 0", "have a quota of 0"))
        parts = [f"{number:,} {one if number == 1 else several}" for number, one, several in counts if number]
        yield f"{len(changed):,} quota pools change: {join_words(parts)}."
    elif changed:
        yield "1 quota pool changes."
    if others:
        yield f"{count(others, 'other quota pool') if changed else count(others, 'quota pool')} would not change."


_OUTCOMES = (
    (Outcome.REACHES, "reaches its quota", "reach their quota"),
    (Outcome.MAY_REACH, "may reach its quota", "may reach their quota"),
    (Outcome.BELOW, "stays below its quota", "stay below their quota"),
    (Outcome.UNKNOWN_LIMITS, "cannot be predicted", "cannot be predicted"),
    (Outcome.NO_TOKEN_QUOTA, "has no known token quota", "have no known token quota"),
    (Outcome.NO_QUOTA, "has no known quota", "have no known quota"),
)


def _has_zero_quota(projection: Projection) -> bool:
    return 0 in (projection.usage.token_quota, projection.usage.request_quota)


def _share_used(projection: Projection) -> float:
    high = projection.peak_with_throttled or projection.usage.peak_used
    return max(projection.usage.peak_percent or 0, 100 * high / (projection.usage.token_quota or high or 1))


def _write_projection(answer: PoolAnswer, projection: Projection) -> Iterator[str]:
    """Yield the parts about one pool: its peak before and after, and the remedy if it breaks."""
    yield ""
    yield str(answer.usage.pool)
    said = _write_outcome(answer, projection)
    if projection.growth_to_quota is not None:
        said += f" It reaches the quota at × {_write_factor(projection.growth_to_quota)}."
    remedy, *rest = _write_remedy(answer, answer.remedy) if answer.remedy is not None else [""]
    yield said + remedy
    yield from rest


def _write_outcome(answer: PoolAnswer, projection: Projection) -> str:
    usage, outcome = answer.usage, projection.outcome
    if outcome is Outcome.NO_QUOTA:
        return " has no known quota to compare with."
    if _has_zero_quota(projection):
        return " has a quota of 0, so every call is throttled."
    change = _write_change_of_use(answer, projection)
    if outcome is Outcome.UNKNOWN_LIMITS:
        unknown = round((1 - usage.coverage) * usage.requests)
        return (
            f" cannot be predicted, because the max_tokens of {unknown:,} of {count(usage.requests, 'call')} is "
            f"unknown. Known use alone: {change}."
        )
    return f" {_VERBS[outcome]}: {change}."


_VERBS = {
    Outcome.REACHES: "reaches its quota",
    Outcome.MAY_REACH: "may reach its quota",
    Outcome.BELOW: "stays below its quota",
    Outcome.NO_TOKEN_QUOTA: "has no known token quota",
}


def _write_change_of_use(answer: PoolAnswer, projection: Projection) -> str:
    """Return the peak before and after, in percent of the quotas: of tokens, and of requests if they are as close."""
    before, after = answer.usage, projection.usage
    said: list[str] = []
    if after.token_quota:
        high = projection.peak_with_throttled
        tokens = _write_range(after.peak_used, high, after.token_quota)
        if before.coverage < 1 and projection.outcome is not Outcome.UNKNOWN_LIMITS and not tokens.endswith("more"):
            tokens += " or more"
        was = percent(before.peak_used, before.token_quota) if before.token_quota else f"{before.peak_used:,.0f} TPM"
        said.append(f"{was} → {tokens} of the token quota")
    if after.request_quota:
        requests = projection.requests_with_throttled
        is_closer = requests / after.request_quota >= (
            max(after.peak_used, projection.peak_with_throttled or 0) / after.token_quota if after.token_quota else 0
        )
        if is_closer or requests >= after.request_quota:
            share = _write_range(after.peak_requests, requests, after.request_quota)
            said.append(f"{percent(before.peak_requests, after.request_quota)} → {share} of the request quota")
    return " and ".join(said)


def _write_range(low: float, high: float | None, quota: float) -> str:
    """Return a peak in percent of a quota: without and with the throttled calls."""
    first = percent(low, quota)
    if high is None:
        return f"{first} or more"
    last = percent(high, quota)
    return first if first == last else f"{first} to {last}"


def _write_factor(factor: float) -> str:
    """Return a factor of growth, rounded down so that it promises no more than is known."""
    if factor >= 10:
        return f"{math.floor(factor):,}"
    digits = 10 if factor >= 1 else 100
    return f"{math.floor(factor * digits) / digits:g}" if factor >= 0.01 else "0.01 or less"


def _write_remedy(answer: PoolAnswer, remedy: Remedy) -> list[str]:
    """Return the parts about the limits to lower, if that is enough, and otherwise the quota to request."""
    parts = [""]
    for change in remedy.changes[:MAX_CHANGES]:
        parts[-1] += " Set max_tokens of " if change is remedy.changes[0] else ", and of "
        parts += [f"{change.caller.caller} to {change.max_tokens:,}", ""]
    if remedy.changes:
        more = len(remedy.changes) - MAX_CHANGES
        parts[-1] += f", and of {count(more, 'more caller')}" if more > 0 else ""
        parts[-1] += _ENOUGH[remedy.is_enough].format(share=_write_share(answer, remedy.changes[-1]))
    elif remedy.is_enough is None:
        parts[-1] += " It is unknown what is enough, because the max_tokens of calls is unknown."
    if remedy.is_enough is False:
        asked = [(remedy.token_quota, "tokens"), (remedy.request_quota, "requests")]
        wanted = join_words([f"{amount:,} {unit} per minute" for amount, unit in asked if amount is not None] or [""])
        legacy = advise_for_legacy(answer.usage.pool)
        parts[-1] += f" {legacy}" if legacy else f" Request {wanted or 'an increase'}."
    return parts


def _write_share(answer: PoolAnswer, change: Change) -> str:
    """Return the peak with a change and those before it in percent of the token quota, "" without one."""
    quota = answer.projection.usage.token_quota if answer.projection is not None else None
    return _write_range(change.peak, change.peak_with_throttled, quota) if quota else ""


_ENOUGH = {
    True: ". This is enough: {share} of the token quota.",
    False: ". This is not enough.",
    None: ". It is unknown if this is enough, because the max_tokens of calls is unknown.",
}


def _explain_numbers(projections: Sequence[Projection]) -> Iterator[str]:
    """Yield the meaning of a range and of a factor, if a projection has one."""
    ranges = [each for each in projections if each.outcome is not Outcome.NO_QUOTA and not _has_zero_quota(each)]
    if any((each.peak_with_throttled or 0) > each.usage.peak_used for each in ranges if each.usage.token_quota):
        yield "The end of a range has all throttled calls as well, each as large as the largest of its caller."
    if any(each.growth_to_quota is not None for each in projections):
        yield "× 1 is the traffic of this window with its throttled calls."


def _write_scenario(document: Document) -> str:
    scenario = document.scenario
    said = [f"traffic × {scenario.growth:g}"] if scenario.growth != 1 else []
    said += [f"max_tokens {tokens:,} for {caller}" for caller, tokens in scenario.max_tokens.items()]
    said += [f"{quota:,.0f} TPM for {pool}" for pool, quota in scenario.token_quotas.items()]
    return "With " + ", ".join(said)
