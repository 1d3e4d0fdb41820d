"""Questions about metrics: those made of our lines, and those that AWS sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quota_monitor.doctor.first_day.answers import (
    Answer,
    not_as_assumed,
    not_yet,
    safe_names,
    seen,
)
from quota_monitor.doctor.first_day.evidence import Counts, Dimensions, MetricLines, MetricValues
from quota_monitor.doctor.first_day.metric_lines import Difference, compare
from quota_monitor.doctor.first_day.question import CALL_BEDROCK, RUN_AGAIN_TOMORROW, question

EXPECTED_DIMENSIONS: Mapping[str, tuple[frozenset[str], ...]] = {
    "AWS/Bedrock Invocations": (frozenset({"ModelId"}),),
    "AWS/Bedrock InvocationLatency": (frozenset({"ModelId"}),),
    "AWS/Bedrock InvocationThrottles": (frozenset({"ModelId"}),),
    "AWS/Bedrock EstimatedTPMQuotaUsage": (frozenset({"ModelId"}),),
    "AWS/Bedrock InputTokenCount": (frozenset({"ModelId"}),),
    "AWS/Bedrock OutputTokenCount": (frozenset({"ModelId"}),),
    "AWS/Logs EMFParsingErrors": (frozenset({"LogGroupName"}),),
    "AWS/Logs EMFValidationErrors": (frozenset({"LogGroupName"}),),
}
"""Combinations of dimensions for which alarms and graphs ask by name. A metric may have others, too.

Bedrock User Guide, Monitor bedrock-runtime inference, and CloudWatch Logs User Guide, Monitoring with CloudWatch
metrics (both read 2026-11-28). The first names no series without a dimension.
"""

_OF_THE_FILTER = frozenset({"LogGroupName", "FilterName"})

CONTAINED_DIMENSIONS: Mapping[str, frozenset[str]] = {
    "AWS/Bedrock ModelInvocationLogsCloudWatchDeliverySuccess": frozenset(),
    "AWS/Bedrock ModelInvocationLogsCloudWatchDeliveryFailure": frozenset(),
    "AWS/Bedrock ModelInvocationLargeDataS3DeliverySuccess": frozenset(),
    "AWS/Bedrock ModelInvocationLargeDataS3DeliveryFailure": frozenset(),
    "AWS/Logs ForwardedLogEvents": frozenset(),
    "AWS/Logs DeliveryErrors": _OF_THE_FILTER,
    "AWS/Logs DeliveryThrottling": _OF_THE_FILTER,
}
"""Dimensions that a query names in its condition. It matches every combination with these, and any if it names none."""

VENDED_METRICS = (*EXPECTED_DIMENSIONS, *CONTAINED_DIMENSIONS)
"""Metrics whose dimensions are listed."""

ALWAYS_WITH_CALLS = "AWS/Bedrock Invocations"
"""Metric that exists as soon as Bedrock was called. The others may have had no reason to exist."""

KNOWN_TIERS = frozenset({"default", "flex", "priority", "reserved", "standard"})

SHARE_OF_ROUNDING = 0.01
"""Share of calls that may differ between two counts, because their minutes begin and end differently."""


@question(
    "lines",
    "Do metric lines become metrics?",
    assumption="CloudWatch makes every value of our metric lines a metric value, and drops none.",
    needs=("lines", "values", "refused"),
)
def ask_lines(lines: MetricLines, values: MetricValues, refused: float) -> Answer:
    """Compare the lines in the processor's log with the metrics of the same minutes."""
    found = compare(lines, values)
    sums = found.equal + found.less + found.more
    compared = (
        f"Sums per minute that were compared: {sums}, of all deliveries and of {len(lines.consumed)} quota pools."
    )
    if lines.broken or refused:
        return not_as_assumed(
            f"Broken lines in the log: {lines.broken}. Lines that CloudWatch refused: {refused:,.0f}.", compared
        )
    if found == Difference():
        return not_yet("The processor's log has no metric line older than 15 minutes.", then=CALL_BEDROCK)
    if found.less:
        return not_as_assumed(compared, f"Sums of which the metrics have less than the lines: {found.less}.")
    if not lines.consumed:
        return not_yet(compared, "No line with the tokens of a call was compared.", then=CALL_BEDROCK)
    if found.more and lines.whole:
        return seen(
            compared,
            f"Sums of which the metrics have more than the lines: {found.more}. CloudWatch documents at-least-once "
            "delivery. Another stack with the same namespace also adds to them.",
        )
    only = () if lines.whole else ("There were more lines than this command reads, so metrics may have more.",)
    return seen(compared, "The metrics have everything that the lines have.", *only)


@question(
    "dimensions",
    "In which dimensions do AWS's own metrics come?",
    assumption="Each metric of AWS has the dimensions that our alarms and graphs ask for.",
    needs=("dimensions",),
)
def ask_dimensions(found: Dimensions) -> Answer:
    """Compare the combinations of dimension names with those that alarms and graphs ask for.

    The answer lists those of metrics that are asked for without dimensions, too. None of these is wrong.
    """
    there = {name: {frozenset(each) for each in found.of_metrics.get(name, ())} for name in VENDED_METRICS}
    facts = tuple(
        f"{name}: {'; '.join(sorted(_name_dimensions(each) for each in combinations))}."
        for name, combinations in there.items()
        if combinations
    )
    missing = [
        f"{name} lacks {_name_dimensions(expected)}."
        for name, combinations in there.items()
        if combinations
        for expected in EXPECTED_DIMENSIONS.get(name, ())
        if expected not in combinations
    ]
    missing += [
        f"{name} lacks {_name_dimensions(contained)}."
        for name, contained in CONTAINED_DIMENSIONS.items()
        if there[name] and not any(contained <= each for each in there[name])
    ]
    absent = [name for name, combinations in there.items() if not combinations]
    tiers = sorted({each if each.casefold() in KNOWN_TIERS else "another" for each in found.tiers})
    facts += (f"Values of ResolvedServiceTier: {', '.join(tiers)}.",) if tiers else ()
    facts += (f"Not listed yet: {', '.join(absent)}.",) if absent else ()
    if missing:
        return not_as_assumed(*missing, *facts)
    if not there[ALWAYS_WITH_CALLS]:
        return not_yet(*facts, then=CALL_BEDROCK)
    return seen(*facts)


def _name_dimensions(names: Iterable[str]) -> str:
    return safe_names(names) or "no dimension"


@question(
    "failed-calls",
    "Does Invocations count calls that fail later?",
    assumption="Bedrock's Invocations counts the calls that it answered, and perhaps those that fail later.",
    needs=("counts",),
)
def ask_failed_calls(counts: Counts) -> Answer:
    """Compare Bedrock's count with the records of answered calls. The answer has no number of calls."""
    if not counts.whole:
        return not_yet("The stack is too new: less than an hour old.", then=RUN_AGAIN_TOMORROW)
    rounding = max(1.0, SHARE_OF_ROUNDING * counts.invocations)
    if not counts.invocations:
        return not_yet("Bedrock has counted no call.", then=CALL_BEDROCK)
    if counts.errors <= 2 * rounding:
        return not_yet("Too few calls failed to tell both readings apart.", then=RUN_AGAIN_TOMORROW)
    if abs(counts.invocations - counts.answered) <= rounding:
        return seen("Invocations leaves out calls that failed.")
    if abs(counts.invocations - counts.answered - counts.errors) <= rounding:
        return seen("Invocations counts calls that failed.")
    return not_as_assumed(
        "Invocations fits neither reading. Records may be missing, or calls are of a kind that is not logged."
    )


@question(
    "overrides",
    "Does a change of the overrides start the fetcher?",
    assumption="Systems Manager sends an event for each change of the overrides, and the rule starts the fetcher.",
    needs=("overrides",),
)
def ask_overrides(started: float) -> Answer:
    """Look at the invocations of the rule in the last two weeks."""
    if started:
        return seen(f"The rule started the fetcher {started:,.0f} times in two weeks.")
    return not_yet(
        "The rule has not started the fetcher in two weeks.",
        then="If you have changed the overrides, open an issue with this output. Otherwise run this again after a "
        "change.",
    )
