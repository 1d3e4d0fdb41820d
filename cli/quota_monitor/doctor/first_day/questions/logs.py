"""Questions about the invocation log: its delays, and which calls and fields it has."""

from __future__ import annotations

import statistics

from quota_monitor.doctor.first_day.answers import (
    Answer,
    not_as_assumed,
    not_yet,
    safe_names,
    seen,
)
from quota_monitor.doctor.first_day.evidence import Bodies, MetricLines, Unreadable
from quota_monitor.doctor.first_day.question import CALL_BEDROCK, RUN_AGAIN_TOMORROW, describe_refusal, question


@question(
    "log-delay",
    "Do log records arrive in time?",
    assumption="A record is in CloudWatch Logs some seconds after its call, and at the processor within 10 minutes.",
    needs=("lines",),
    uses=("delays", "is_local"),
)
def ask_log_delay(lines: MetricLines, delays: tuple[float, ...] | Unreadable, is_local: bool) -> Answer:
    """Return the delays of records: in CloudWatch Logs, and at the processor. Both include the time of the call.

    The demo of the local account writes records of the last hour at once, so their delays say nothing.
    """
    facts = [describe_refusal(delays)] if isinstance(delays, Unreadable) else []
    facts += [
        f"{what}: {_spread(seconds)}."
        for what, seconds in (
            ("From a call's start to CloudWatch Logs", () if isinstance(delays, Unreadable) else delays),
            ("From the oldest call's start to the processor, per delivery", lines.lags),
        )
        if seconds
    ]
    if not lines.lags:
        return not_yet(*facts or ["No delivery has arrived."], then=CALL_BEDROCK)
    if statistics.median(lines.lags) > 600 and is_local:
        return not_yet(
            *facts,
            "This cannot be judged in the local account: the demo writes calls of the last hour at once, so they are "
            "late by design.",
            then="Run this on a stack in AWS.",
        )
    if statistics.median(lines.lags) > 600:
        return not_as_assumed(*facts)
    return seen(*facts)


@question(
    "body-delay",
    "Are bodies over 100 KB in S3 in time?",
    assumption="Bedrock writes a body over 100 KB to S3 within 5 minutes of its record.",
    needs=("bodies", "lines"),
)
def ask_body_delay(bodies: Bodies, lines: MetricLines) -> Answer:
    """Return how much later than its record a body was in S3, and the share of records that had to wait."""
    if not bodies.delays and not bodies.missing:
        return not_yet(
            "No record older than 15 minutes names a body in S3.",
            then="Send one request of over 100 KB, and run this again 30 minutes later. If the logging has no bucket "
            "for large data, this cannot be seen.",
        )
    facts = [f"From the record to the body: {_spread(bodies.delays)}."] if bodies.delays else []
    facts += (
        [f"Records that waited for their body: {_share(lines.set_aside, lines.received)}."] if lines.received else []
    )
    if bodies.missing:
        looked_up = bodies.missing + len(bodies.delays)
        return not_as_assumed(
            f"Bodies that are not in S3: {_share(bodies.missing, looked_up)} of those looked up.", *facts
        )
    return not_as_assumed(*facts) if max(bodies.delays) > 300 else seen(*facts)


def _spread(seconds: tuple[float, ...]) -> str:
    middle = statistics.median(seconds)
    return f"{min(seconds):,.1f} to {max(seconds):,.1f} s, median {middle:,.1f} s"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%"


@question(
    "throttled-calls",
    "Are throttled calls in the log?",
    assumption="AWS does not document if throttled calls are logged, so both is taken as possible.",
    needs=("throttles", "lines"),
)
def ask_throttled_calls(throttles: float, lines: MetricLines) -> Answer:
    """Look for records of throttled calls, if Bedrock throttled calls in the time of the lines."""
    if lines.throttled:
        return seen("Throttled calls are in the log.")
    if not throttles:
        return not_yet("Bedrock has throttled no call in the time of the log that was read.", then=RUN_AGAIN_TOMORROW)
    if not lines.whole:
        return not_yet(
            "Bedrock throttled calls, but there were more lines than this command reads.", then=RUN_AGAIN_TOMORROW
        )
    return seen("Bedrock throttled calls, and none of them is in the log of that time.")


@question(
    "fields",
    "Which optional fields do records have?",
    assumption="Records have the service tier and the project where the APIs have them.",
    needs=("lines",),
)
def ask_fields(lines: MetricLines) -> Answer:
    """Name the operations and the optional fields of the records. Their values are left out."""
    if not lines.operations:
        return not_yet("The processor's log has no line of a call.", then=CALL_BEDROCK)
    operations = f"Operations: {safe_names(lines.operations)}."
    wanted = ("service_tier", "project_identifier")
    absent = [name for name in wanted if name not in lines.fields]
    if absent:
        return not_yet(
            operations,
            f"Fields: {safe_names(lines.fields) or 'none'}. Not seen: {safe_names(absent)}.",
            then="If you use service tiers or projects, run this again after calls that name one.",
        )
    return seen(operations, f"Fields: {safe_names(lines.fields)}.")
