"""Answers in words: one paragraph per finding. The terminal, Markdown and HTML print the same paragraphs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bedrock_quota.analysis.advice import FEW_CALLS, Action, Advice, Change
from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.levers import SPREAD_MINUTES, Lever, OtherLever
from bedrock_quota.analysis.remedy import Remedy
from bedrock_quota.analysis.usage import CallerUsage, Limit, PoolUsage
from bedrock_quota.analysis.verdict import State
from bedrock_quota.analysis.what_if import Outcome, Projection
from bedrock_quota.pools import Unit
from quota_monitor.answers.document import Document
from quota_monitor.answers.models import advise_for_legacy
from quota_monitor.answers.names import list_names
from quota_monitor.answers.numbers import count, percent, timestamp

MAX_CHANGES = 3
"""Callers with a smaller limit that are named per pool."""

MAX_THROTTLED = 3
"""Callers with throttled calls that are named per pool, those with most first."""

MAX_RAISES = 2
"""Callers with cut answers that are named per pool."""


class Level(msgspec.Struct, frozen=True):
    """The urgency of a paragraph, as the style of its first words."""

    style: str


PROBLEM, WARNING, GOOD, PLAIN = Level("bold red"), Level("bold yellow"), Level("bold green"), Level("bold")


class Paragraph(msgspec.Struct, frozen=True):
    """A finding: its first words, and the rest, in which every second part is emphasised. So it is in each item."""

    level: Level
    head: str
    parts: tuple[str, ...] = ()
    items: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return " ".join(["".join((self.head, *self.parts)), *map("".join, self.items)])


def write_paragraphs(document: Document) -> list[Paragraph]:
    """Return the findings about all pools, the worst first, and a last one if there is nothing to say."""
    found = [paragraph for answer in document.pools for paragraph in _write_pool(answer)]
    if not any(paragraph.level is PROBLEM for paragraph in found):
        found.append(_write_all_is_well(document))
    return [*found, *_write_projections(document)]


def summarize(document: Document) -> str:
    """Return the most urgent finding in one or two sentences."""
    first = write_paragraphs(document)[0]
    text = "".join(first.parts)
    said = f"{first.head}{text.partition('. ')[0].rstrip('.')}." if text else first.head
    throttled = [answer for answer in document.pools if answer.usage.throttled]
    if len(throttled) < 2:
        return said
    pools = ", ".join(f"{answer.usage.pool} ({answer.usage.throttled:,})" for answer in throttled[:3])
    return f"{len(throttled)} quota pools are throttled: {pools}."


def _write_all_is_well(document: Document) -> Paragraph:
    if not document.pools:
        left_out = sum(document.counts.values())
        also = (
            f" {count(left_out, 'record')} {'is' if left_out == 1 else 'are'} not counted, see below."
            if left_out
            else ""
        )
        others = f" Models with calls: {list_names(document.other_models)}." if document.other_models else ""
        said = f"no call to a quota pool is in this window and selection.{others}{also}"
        return Paragraph(WARNING, "No calls: ", (said,))
    if all(answer.verdict.state is State.NO_QUOTA for answer in document.pools):
        return Paragraph(WARNING, "No quota is known", (", so there are no percentages.",))
    unknown = [str(answer.usage.pool) for answer in document.pools if answer.verdict.state is State.MOSTLY_UNKNOWN]
    if unknown:
        return Paragraph(
            WARNING,
            "No quota pool is known to have reached its quota, ",
            (f"but most reservations are unknown of {', '.join(unknown)}.",),
        )
    return Paragraph(GOOD, "No quota pool reached its quota.")


def _write_pool(answer: PoolAnswer) -> Iterator[Paragraph]:
    usage, state = answer.usage, answer.verdict.state
    pool = str(usage.pool)
    if state is State.QUOTA_IS_ZERO:
        by = _name_throttled(usage)
        served = f", and served {usage.requests:,}, so the quota became 0 within it" if usage.requests else ""
        yield Paragraph(
            PROBLEM,
            "Quota is 0: ",
            (
                f"Bedrock throttles every call to {pool} ({usage.throttled:,} in this window{by}{served}). "
                f"{advise_for_legacy(usage.pool) or 'Request an increase in Service Quotas, or use another model.'}",
            ),
        )
    elif state is State.THROTTLED_OTHERWISE:
        yield _write_other_throttling(answer)
    elif state in _HEADS:
        yield _write_over(answer)
    elif state is State.NEAR:
        yield Paragraph(WARNING, f"{pool} is near its quota. ", (_write_use(usage),))
    if any(caller.cut_answers for caller in usage.callers):
        yield _write_cut_answers(usage, answer.advice)
    if usage.coverage < 1:
        unknown = round((1 - usage.coverage) * usage.requests)
        yield Paragraph(
            WARNING,
            "Incomplete: ",
            (
                f"The log has no body for {unknown:,} of {usage.requests:,} requests to {pool}, so their max_tokens is "
                "unknown. They count as consumed, but not as reserved.",
            ),
        )


_HEADS = {
    State.THROTTLED_BY_RESERVATION: "is throttled by reservation. ",
    State.THROTTLED_BY_CONSUMPTION: "is throttled by consumption. ",
    State.THROTTLED_BY_REQUESTS: "is throttled by requests. ",
    State.REACHED: "reached its quota. ",
}


def _write_over(answer: PoolAnswer) -> Paragraph:
    usage, verdict = answer.usage, answer.verdict
    parts = [_write_throttles(answer), _write_use(usage), _write_in_use(usage)]
    text = " ".join(part for part in parts if part)
    found: list[str] = [text]
    if _is_full_of_reservations(answer):
        for change in answer.changes[:MAX_CHANGES]:
            is_first = change is answer.changes[0]
            found[-1] += " The cause: " if is_first else " Another cause: "
            found += _write_change(change, usage, is_first=is_first)
        more = len(answer.changes) - MAX_CHANGES
        if more > 0:
            peak = _write_changed_peak(answer.changes[-1], usage)
            found[-1] += f" With the proposals for {more:,} more below, it would have peaked at {peak}."
        found[-1] += _write_rest(answer)
    legacy = advise_for_legacy(usage.pool)
    found[-1] += "".join(
        " " + _write_lever(lever) for lever in answer.levers if lever.lever is not Lever.QUOTA or not legacy
    )
    if legacy and any(lever.lever is Lever.QUOTA for lever in answer.levers):
        found[-1] += f" {legacy}"
    return Paragraph(PROBLEM, f"{usage.pool} {_HEADS[verdict.state]}", tuple(found))


def _is_full_of_reservations(answer: PoolAnswer) -> bool:
    """Return True if a smaller max_tokens can help: reservations fill the quota, and consumption alone does not."""
    usage, quota = answer.usage, answer.usage.token_quota
    if not quota or usage.peak_consumed >= quota:
        return False
    is_reached = answer.verdict.state is State.REACHED and (usage.peak_reserved or 0) >= quota
    return answer.verdict.state is State.THROTTLED_BY_RESERVATION or is_reached


def _write_throttles(answer: PoolAnswer) -> str:
    usage = answer.usage
    if not usage.throttled:
        return "No call was throttled."
    minutes = count(len(answer.verdict.throttled), "minute")
    worst = max((each.minute for each in answer.verdict.throttled), key=lambda minute: minute.throttled)
    most = (
        f", {worst.throttled:,} of them at {timestamp(worst.minute)[:16]}" if len(answer.verdict.throttled) > 1 else ""
    )
    callers = _list_throttled(usage)
    named = f" Throttled callers: {_join(f'{name} ({calls:,})' for name, calls in callers)}." if callers else ""
    return f"Bedrock throttled {count(usage.throttled, 'call')} in {minutes}{most}.{named}"


def _name_throttled(usage: PoolUsage) -> str:
    callers = _list_throttled(usage)
    if [calls for _, calls in callers] == [usage.throttled]:
        return f", all of {callers[0][0]}"
    return f", {_join(f'{calls:,} of {name}' for name, calls in callers)}" if callers else ""


def _list_throttled(usage: PoolUsage) -> list[tuple[str, int]]:
    """Return the callers with most throttled calls, with their number, and then all others together."""
    callers = sorted((each for each in usage.callers if each.throttled), key=lambda each: -each.throttled)
    found = [(each.caller, each.throttled) for each in callers[:MAX_THROTTLED]]
    more = callers[MAX_THROTTLED:]
    if more:
        found.append((count(len(more), "other caller"), sum(each.throttled for each in more)))
    return found


def _join(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _write_use(usage: PoolUsage) -> str:
    """Return the highest use per minute in words, in percent of each quota."""
    said: list[str] = []
    quota, reserved, consumed = usage.token_quota, usage.peak_reserved, usage.peak_consumed
    if quota and reserved is None:
        said.append(
            f"Callers consumed up to {percent(consumed, quota)} of the token quota per minute. "
            "Their reservations are unknown."
        )
    elif quota and reserved is not None:
        said.append(
            f"Callers reserved up to {percent(reserved, quota)} of the token quota per minute, and consumed up to "
            f"{percent(consumed, quota)}."
        )
    if usage.request_quota and usage.peak_requests >= 0.5 * usage.request_quota:
        said.append(f"They made up to {usage.peak_requests:,} of {usage.request_quota:,.0f} requests per minute.")
    return " ".join(said)


def _write_in_use(usage: PoolUsage) -> str:
    in_use = max((minute.in_use or 0 for minute in usage.minutes), default=0)
    if not usage.token_quota or not in_use:
        return ""
    unknown = (
        f" The log has no usable latency of {count(usage.unknown_ends, 'call')}, so each counts as one second long."
        if usage.unknown_ends
        else ""
    )
    return f"In use at once, by our model: up to {percent(in_use, usage.token_quota)}.{unknown}"


def _write_change(change: Change, usage: PoolUsage, *, is_first: bool) -> Iterator[str]:
    """Yield the parts about one change, from the name of the caller on."""
    caller = change.caller
    limit = caller.largest_limit or Limit(0, "unknown", 0)
    sets = (
        f" sets no max_tokens, so the model's default of {limit.max_tokens:,} applies, but its largest output has "
        if limit.source == "default"
        else f" sets max_tokens to {limit.max_tokens:,}, but its largest output has "
    )
    yield caller.caller
    yield f"{sets}{count(caller.sizes.largest, 'token')} ({_write_basis(caller)}). "
    yield f"With max_tokens set to {change.max_tokens:,}"
    also = "" if is_first else " as well"
    yield f"{also}, the same traffic would have peaked at {_write_changed_peak(change, usage)}."


def _write_changed_peak(change: Change, usage: PoolUsage) -> str:
    """Return the peak with a change in percent of the quota. Throttled calls would have run too, so it has them."""
    peak = change.peak if change.peak_with_throttled is None else change.peak_with_throttled
    said = f"{percent(peak, usage.token_quota or 1)} of the quota"
    if usage.coverage < 1:
        return f"{said} or more, because the max_tokens of other calls is unknown"
    if change.peak_with_throttled is None:
        return f"{said} or more, because the max_tokens of throttled calls is unknown"
    return f"{said} at most, throttled calls included" if usage.throttled else said


def _write_basis(caller: CallerUsage) -> str:
    quantile = "" if caller.sizes.p99 is None else f"99th percentile {caller.sizes.p99:,}, "
    answers = count(caller.answers, "answer")
    return f"{quantile}only {answers}: take more days" if caller.answers < FEW_CALLS else f"{quantile}{answers}"


def _write_rest(answer: PoolAnswer) -> str:
    """Return what remains if the changes are not enough."""
    usage = answer.usage
    quota = usage.token_quota or 0
    if answer.changes and answer.changes[-1].peak >= quota:
        return " The rest needs other changes."
    if answer.changes and (answer.changes[-1].peak_with_throttled or 0) >= quota:
        return " With all throttled calls, the rest needs other changes."
    if not answer.changes and usage.coverage == 1:
        return " No smaller max_tokens would help."
    return ""


def _write_lever(lever: OtherLever) -> str:
    unit = "tokens" if lever.unit is Unit.TOKENS_PER_MINUTE else "requests"
    if lever.lever is Lever.ENDPOINT and lever.pool is not None:
        return f"{lever.pool} has room for {lever.amount:,.0f} more {unit} per minute."
    if lever.lever is Lever.SPREAD:
        return f"Spread over {SPREAD_MINUTES} minutes, the busiest calls use {lever.amount:,.0f} {unit} per minute."
    if lever.lever is Lever.CACHE:
        return (
            f"{lever.caller} sent {lever.amount:,.0f} input tokens that were not cached. "
            "Cache reads do not count towards the quota."
        )
    request = f"request {lever.amount:,.0f} {unit} per minute"
    if lever.most is not None:
        request = (
            f"request at least {lever.amount:,.0f} {unit} per minute, {lever.most:,.0f} if all throttled calls count"
        )
    return f"To fit with a fifth of room, {request}."


def _write_other_throttling(answer: PoolAnswer) -> Paragraph:
    usage = answer.usage
    if usage.token_quota is None and usage.request_quota is None:
        return Paragraph(
            PROBLEM,
            f"{usage.pool} is throttled, and its quota is unknown. ",
            (
                f"{_write_throttles(answer)} To see the cause, name the quota with --quota '{usage.pool}=N', "
                "or use credentials that may list quotas.",
            ),
        )
    shown = _write_use(usage)
    causes = "a quota per day, the capacity of the model, or calls that are not in the log"
    if any(each.minute.known_requests < each.minute.requests for each in answer.verdict.throttled):
        causes = f"reservations of calls whose max_tokens is not in the log, {causes}"
    return Paragraph(
        PROBLEM,
        f"{usage.pool} is throttled, but not by what the log shows. ",
        (f"{_write_throttles(answer)} {shown + ' ' if shown else ''}Possible causes: {causes}.",),
    )


def _write_cut_answers(usage: PoolUsage, advice: Sequence[Advice]) -> Paragraph:
    callers = sorted((caller for caller in usage.callers if caller.cut_answers), key=lambda each: -each.cut_answers)
    total = sum(caller.cut_answers for caller in callers)
    parts = [
        f"{total:,} of {usage.requests:,} answers from {usage.pool} ended at their output limit.",
    ]
    raises = {each.caller: each.max_tokens for each in advice if each.action is Action.RAISE}
    for caller in callers[:MAX_RAISES]:
        limit = raises.get(caller.caller)
        to = f" to {limit:,}" if limit is not None else ""
        parts[-1] += f" {caller.cut_answers:,} of them were for "
        parts += [
            caller.caller,
            f", at up to {caller.largest_cut:,} tokens. ",
            f"Raise max_tokens{to}",
            " for these calls.",
        ]
    parts[-1] += " Each call then reserves as many tokens more."
    return Paragraph(WARNING, "Cut answers: ", tuple(parts))


def _write_projections(document: Document) -> Iterator[Paragraph]:
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
        yield f"{len(changed):,} quota pools change: {_join(parts)}."
    elif changed:
        yield "1 quota pool changes."
    if others:
        yield f"{count(others, 'other quota pool') if changed else count(others, 'quota pool')} would not change."


_OUTCOMES = (
    (Outcome.REACHES, "reaches its quota", "reach their quota"),
    (Outcome.MAY_REACH, "may reach its quota", "may reach their quota"),
    (Outcome.BELOW, "stays below its quota", "stay below their quota"),
    (Outcome.UNKNOWN_LIMITS, "cannot be told", "cannot be told"),
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
            f" cannot be told, because the max_tokens of {unknown:,} of {count(usage.requests, 'call')} is unknown. "
            f"Known use alone: {change}."
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
        parts[-1] += _ENOUGH[remedy.is_enough]
    elif remedy.is_enough is None:
        parts[-1] += " It cannot be told what is enough, because the max_tokens of calls is unknown."
    if remedy.is_enough is False:
        asked = [(remedy.token_quota, "tokens"), (remedy.request_quota, "requests")]
        wanted = _join([f"{amount:,} {unit} per minute" for amount, unit in asked if amount is not None] or [""])
        legacy = advise_for_legacy(answer.usage.pool)
        parts[-1] += f" {legacy}" if legacy else f" Request {wanted or 'an increase'}."
    return parts


_ENOUGH = {
    True: ". That is enough.",
    False: ". That is not enough.",
    None: ". It cannot be told if that is enough, because the max_tokens of calls is unknown.",
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
