"""Answers in words: one paragraph per finding. The terminal, Markdown and HTML print the same paragraphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bedrock_quota.analysis.advice import FEW_CALLS, Action, Advice, Change
from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.levers import SPREAD_MINUTES, Lever, OtherLever
from bedrock_quota.analysis.usage import CallerUsage, Limit, PoolUsage
from bedrock_quota.analysis.verdict import State
from bedrock_quota.pools import Unit
from quota_monitor.answers.document import Document
from quota_monitor.answers.models import advise_for_legacy
from quota_monitor.answers.names import list_names
from quota_monitor.answers.numbers import count, percent, timestamp
from quota_monitor.answers.paragraph import GOOD, PROBLEM, WARNING, Paragraph, join_words
from quota_monitor.answers.what_if import write_projections

MAX_CHANGES = 3
"""Callers with a smaller limit that are named per pool."""

MAX_THROTTLED = 3
"""Callers with throttled calls that are named per pool, those with most first."""

MAX_RAISES = 2
"""Callers with cut answers that are named per pool."""


def write_paragraphs(document: Document) -> list[Paragraph]:
    """Return the findings about all pools, the worst first, and a last one if there is nothing to say."""
    found = [paragraph for answer in document.pools for paragraph in _write_pool(answer)]
    if not any(paragraph.level is PROBLEM for paragraph in found):
        found.append(_write_all_is_well(document))
    return [*found, *write_projections(document)]


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
    if is_full_of_reservations(answer):
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


def is_full_of_reservations(answer: PoolAnswer) -> bool:
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
    named = f" Throttled callers: {join_words(f'{name} ({calls:,})' for name, calls in callers)}." if callers else ""
    return f"Bedrock throttled {count(usage.throttled, 'call')} in {minutes}{most}.{named}"


def _name_throttled(usage: PoolUsage) -> str:
    callers = _list_throttled(usage)
    if [calls for _, calls in callers] == [usage.throttled]:
        return f", all of {callers[0][0]}"
    return f", {join_words(f'{calls:,} of {name}' for name, calls in callers)}" if callers else ""


def _list_throttled(usage: PoolUsage) -> list[tuple[str, int]]:
    """Return the callers with most throttled calls, with their number, and then all others together."""
    callers = sorted((each for each in usage.callers if each.throttled), key=lambda each: -each.throttled)
    found = [(each.caller, each.throttled) for each in callers[:MAX_THROTTLED]]
    more = callers[MAX_THROTTLED:]
    if more:
        found.append((count(len(more), "other caller"), sum(each.throttled for each in more)))
    return found


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
