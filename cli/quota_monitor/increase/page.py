"""The evidence for a larger quota, as Markdown for AWS Support, and the next steps of the user."""

from __future__ import annotations

from collections.abc import Iterator

from bedrock_quota.analysis.advice import FEW_CALLS, plan_changes
from bedrock_quota.analysis.usage import PoolUsage, Sizes
from bedrock_quota.pools import Unit
from quota_monitor.answers.days import describe_days, write_minute
from quota_monitor.answers.markdown import escape
from quota_monitor.answers.numbers import count, percent, timestamp
from quota_monitor.increase.request import Quota, Request, is_worth_asking, write_command_line
from quota_monitor.program import own_command


def write_markdown(request: Request) -> Iterator[str]:
    """Yield the lines of the request. All of it is for AWS, so advice to the user is in `write_next_steps`."""
    usage, evidence, proposal = request.usage, request.evidence, request.proposal
    unit = "TPM" if proposal.unit is Unit.TOKENS_PER_MINUTE else "RPM"
    yield f"# Quota increase for {escape(str(request.pool))} in {request.region}"
    yield ""
    yield from _write_quota(request, unit)
    yield ""
    yield f"## Usage, {request.window}"
    yield ""
    yield describe_days(usage.minutes, request.window)
    yield ""
    yield "| | Tokens per minute | Requests per minute |"
    yield "|---|--:|--:|"
    peak = "" if request.peak_minute is None else f", tokens in the minute from {write_minute(request.peak_minute)} UTC"
    for name, load in (
        ("Steady (median busy minute)", evidence.steady),
        ("High (90th percentile)", evidence.high),
        (f"Peak{peak}", evidence.peak),
    ):
        yield f"| {name} | {load.tokens:,.0f} | {load.requests:,.0f} |"
    yield ""
    yield (
        f"Busy minutes: {evidence.busy_minutes:,}. Tokens are the larger of reserved (input + cache write + "
        "max_tokens) and consumed (input + cache write + output × burndown rate) in the same minute."
    )
    yield ""
    yield from _write_days(request)
    yield "| Per request | Mean | 95th percentile |"
    yield "|---|--:|--:|"
    yield f"| Input tokens | {_write_sizes(evidence.mean_input, usage.input_sizes, usage.requests)} |"
    yield f"| Output tokens | {_write_sizes(evidence.mean_output, usage.output_sizes, usage.requests)} |"
    yield ""
    yield (
        f"Bedrock throttled {count(evidence.throttled, 'request')} of {usage.requests + evidence.throttled:,}, "
        f"in {count(evidence.throttled_minutes, 'minute')}."
    )
    if usage.coverage < 1:
        yield ""
        yield (
            f"The max_tokens of {_count_unknown(usage)} is unknown. Their reservations are missing, so the numbers may "
            "be too low."
        )
    for note in request.notes:
        yield ""
        yield escape(note)
    yield ""
    yield "## max_tokens"
    yield ""
    yield from _write_limits(usage)
    yield ""
    yield "## Value"
    yield ""
    yield _write_value(request, unit)
    yield from _write_command(request)


def _write_days(request: Request) -> Iterator[str]:
    """Yield a table with a row for each day with calls."""
    yield "| Day (UTC) | Requests | Throttled | Peak tokens per minute | At |"
    yield "|---|--:|--:|--:|---|"
    for day in request.days:
        at = timestamp(day.peak_minute)[11:16] if day.requests else "–"
        yield f"| {day.date} | {day.requests:,} | {day.throttled:,} | {day.peak_tokens:,.0f} | {at} |"
    yield ""


def _write_sizes(mean: float, sizes: Sizes, requests: int) -> str:
    """Return the cells of the mean and the 95th percentile, which is unknown if single calls were not seen."""
    if not requests:
        return "– | –"
    if not mean:
        return "none | none"
    return f"{mean:,.0f} | {'–' if sizes.p95 is None else f'{sizes.p95:,}'}"


def _write_value(request: Request, unit: str) -> str:
    proposal = request.proposal
    if request.named_value is not None:
        return f"**{request.named_value:,} {unit}**."
    if request.why_no_value is not None:
        return request.why_no_value
    base = "the peak after these changes" if proposal.is_after_changes else "the peak"
    if proposal.unit is Unit.REQUESTS_PER_MINUTE:
        base = "the most requests wanted in a minute"
    return (
        f"{proposal.base:,.0f} {unit} ({base}) × {proposal.growth:g} growth × {proposal.headroom:g} headroom, "
        f"rounded up: **{request.value:,} {unit}**."
    )


def _write_quota(request: Request, unit: str) -> Iterator[str]:
    quota, ask_for = request.quota, request.ask_for
    if quota is None:
        yield f"Service Quotas lists no {unit} quota for this pool in {request.region}. Ask AWS Support."
    else:
        value = "unknown" if quota.value is None else f"{quota.value:,.0f} {unit}"
        yield f"- Current quota: {escape(quota.name)} (`{quota.code}`), {value}."
    if ask_for is not None:
        yield f"- Quota to ask for: {escape(ask_for.name)} (`{ask_for.code}`)."
        yield f"- Adjustable through Service Quotas: {_ADJUSTABLE[ask_for.adjustable]}."
    if quota is not None and ask_for is not None and ask_for.code != quota.code:
        yield (
            "- AWS grants on-demand quotas together with the cross-Region one, so this asks for the cross-Region one. "
            "The on-demand quota is needed, too."
        )
    if request.end_of_life is not None:
        yield (
            f"- The model ends on {request.end_of_life}. AWS grants no increases for models that it marks as legacy. "
            "Move its callers to another model."
        )


_ADJUSTABLE = {True: "yes", False: "no, open a case with AWS Support", None: "not said"}


def _count_unknown(usage: PoolUsage) -> str:
    return f"{round((1 - usage.coverage) * usage.requests):,} of {count(usage.requests, 'request')}"


def _write_limits(usage: PoolUsage) -> Iterator[str]:
    changes = plan_changes(usage)
    if not changes and usage.coverage < 1:
        yield f"No smaller max_tokens is proposed, because that of {_count_unknown(usage)} is unknown."
        return
    if not changes:
        used = sum(caller.consumed_tokens for caller in usage.callers)
        reserved = sum(caller.reserved_tokens for caller in usage.callers)
        share = f" Calls consumed {percent(used, reserved)} of what they reserved." if reserved else ""
        yield f"No smaller max_tokens would lower the peak.{share}"
        return
    for change in changes:
        limit = change.caller.largest_limit
        yield (
            f"- {escape(change.caller.caller)}: {limit.max_tokens if limit else 0:,} → {change.max_tokens:,}. Its "
            f"largest of {count(change.caller.requests, 'answer')} has {change.caller.sizes.largest:,} tokens."
            f"{' Take more days to be sure.' if change.caller.answers < FEW_CALLS else ''}"
        )
    peak, with_throttled = changes[-1].peak, changes[-1].peak_with_throttled
    more = (
        "" if with_throttled is None or with_throttled <= peak else f", {with_throttled:,.0f} with all throttled calls"
    )
    yield f"- Peak with these changes: {peak:,.0f} TPM{more}, instead of {usage.peak_used:,.0f}."
    quota, highest = usage.token_quota, max(peak, with_throttled or 0)
    if quota and highest < quota:
        yield f"- That is {percent(highest, quota)} of the quota."


def _write_command(request: Request) -> Iterator[str]:
    ask_for = request.ask_for
    if ask_for is None:
        return
    yield ""
    if request.end_of_life is not None:
        yield "No quota is asked for, because the model is legacy."
        return
    if _is_enough(request, ask_for):
        if _is_its_own(request, ask_for):
            yield f"The quota is {ask_for.value:,.0f} already, so no increase is needed."
        else:
            yield f"The cross-Region quota is {ask_for.value:,.0f} already. The on-demand quota is asked for."
        return
    yield "```"
    yield write_command_line(request)
    yield "```"


def _is_enough(request: Request, ask_for: Quota) -> bool:
    return ask_for.value is not None and request.value is not None and not is_worth_asking(request)


def _is_its_own(request: Request, ask_for: Quota) -> bool:
    return request.quota is None or ask_for.code == request.quota.code


def write_next_steps(request: Request) -> Iterator[str]:
    """Yield what the user can do with the page, one sentence or two each."""
    usage, ask_for = request.usage, request.ask_for
    if request.end_of_life is not None or ask_for is None:
        return
    changes, quota = plan_changes(usage), usage.token_quota
    if changes and quota and max(changes[-1].peak, changes[-1].peak_with_throttled or 0) < quota:
        yield "Make the changes under max_tokens before you ask for more."
    if not changes and usage.coverage < 1:
        yield "Log the text of requests, or declare their limits, before you ask for more."
    if request.value is None:
        is_tokens = request.proposal.unit is Unit.TOKENS_PER_MINUTE
        tokens = " × tokens per request (input + max_tokens)" if is_tokens else ""
        yield f"Estimate the value: requests per minute{tokens}. Then name it with --value N."
    elif _is_enough(request, ask_for):
        if _is_its_own(request, ask_for):
            yield f"If calls are throttled all the same, `{own_command('analyze')}` says why."
        else:
            yield "Open a case with AWS Support for the on-demand quota, and add this page."
        return
    yield "Service Quotas has no field for a reason. Add this page to the case that it opens."
