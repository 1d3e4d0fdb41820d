"""Checks of the processor: the function, the deliveries it fails at, and the records it receives."""

import math
from datetime import datetime, timedelta

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.findings import Findings, check, ok, problem, warning
from quota_monitor.doctor.observed import HOURS, PERIOD, Function, Kept, Parts, Role, Traffic
from quota_monitor.doctor.remedies import (
    DECLARE_LIMITS,
    DENIED_ABOVE,
    advise,
    command,
    create_log_group,
    own,
    restore_resources,
)

LATEST_RECORD = timedelta(minutes=15) + PERIOD
"""Time after the start of a call's period by which its record must have arrived: 15 minutes after the call."""

UNKNOWN_SHARE = 0.2
"""Share of calls with an unknown max_tokens above which CoverageAlarm goes into ALARM, too."""

MODELS_NAMED = 10
"""Most models that a finding names."""

RETRIES, EVENT_SECONDS = 2, 21_600
"""Retries and maximum age of the processor's deliveries, as in the template."""


@check("processor", needs=("processor",))
def check_processor(function: Function | None) -> Findings:
    """Check that the processor can run."""
    yield from check_function(function)


def check_function(function: Function | None) -> Findings:
    """Check that a function can run. A deleted one is a finding of `check_resources`."""
    if function is None:
        return
    named = ("--function-name", function.name)
    if function.reserved == 0:
        yield problem(
            f"{function.name} is switched off: its reserved concurrency is 0.",
            advise("Switch it on", command("aws", "lambda", "delete-function-concurrency", *named)),
        )
    if function.state != "Active":
        yield problem(
            f"{function.name} is {function.state}.",
            advise("See why", command("aws", "lambda", "get-function-configuration", *named)),
        )
    if function.last_update == "Failed":
        yield problem(f"The last update of {function.name} failed.", "Deploy again.")
    if function.reserved != 0 and function.state == "Active" and function.last_update != "Failed":
        yield ok(f"{function.name} is active.")


@check("failed deliveries", needs=("stack", "kept", "on_failure", "processor"))
def check_failed_deliveries(
    stack: Stack, kept: Kept | None, on_failure: str | None, processor: Function | None
) -> Findings:
    """Check that failed deliveries go to their bucket, and that none is waiting there."""
    if kept is None or processor is None:
        return  # the bucket or the function is deleted, which check_resources reports
    bucket = stack.resources.get("FailedDeliveriesBucket", "")
    destination = stack.bucket_arn(bucket)
    if on_failure != destination:
        put = command(
            *("aws", "lambda", "put-function-event-invoke-config", "--function-name", processor.name),
            *("--qualifier", "$LATEST", "--maximum-retry-attempts", str(RETRIES)),
            *("--maximum-event-age-in-seconds", str(EVENT_SECONDS)),
            *("--destination-config", f"OnFailure={{Destination={destination}}}"),
        )
        yield problem(
            f"Failed deliveries are not kept: {processor.name} does not send them to {bucket}.",
            advise("Set the destination", put),
        )
    if kept.count:
        since = f", the oldest since {kept.oldest:%Y-%m-%d %H:%M} UTC" if kept.oldest else ""
        replay = own(stack, "failed", "replay")
        yield problem(
            f"Failed deliveries in s3://{bucket}: {kept.count:,}{since}. Their records are missing from the metrics.",
            advise("Fix the error that the processor's log names, then replay them", replay),
        )
    elif on_failure == destination:
        yield ok("There are no failed deliveries.")


@check("failed deliveries", needs=("stack", "parts", "kept", "processor_role"))
def check_keeping_failed_deliveries(stack: Stack, parts: Parts, kept: Kept | None, role: Role | None) -> Findings:
    """Check that Lambda is allowed to write failed deliveries to their bucket."""
    if kept is None or role is None or "MetricProcessorRole" in parts.gone:
        return  # check_resources reports what is deleted
    bucket = stack.resources.get("FailedDeliveriesBucket", "")
    if role.refused:
        lacking = f"{role.arn.rpartition('/')[2]} lacks permission for {' and '.join(role.refused)} in {bucket}"
        yield problem(f"Failed deliveries cannot be kept: {lacking}.", f"{restore_resources(stack)}\n{DENIED_ABOVE}")
    if kept.closed:
        yield problem(
            f"Failed deliveries cannot be kept: the policy of {bucket} denies access to the processor's role.",
            f"Remove that statement from the policy, or restore the policy.\n{restore_resources(stack)}",
        )


@check("metric lines", needs=("own_log_groups",))
def check_own_log_groups(log_groups: dict[str, bool]) -> Findings:
    """Check that the log groups exist from which CloudWatch takes the metrics."""
    for name, exists in log_groups.items():
        if not exists:
            yield problem(
                f"{name} does not exist. All metrics written there are lost.",
                advise("Create it", *create_log_group(name)),
            )
    if all(log_groups.values()):
        yield ok("The functions' log groups exist.")


@check("records", needs=("stack", "traffic", "at"))
def check_records(stack: Stack, traffic: Traffic, now: datetime) -> Findings:
    """Check that a record arrived for every call, and that records are complete."""
    last = max(traffic.records, default=None)
    arrived = f"the last record arrived {ago_in_period(last, now)}" if last else "no record arrived"
    missing = min((call for call in traffic.calls if last is None or call > last), default=now)
    if missing <= now - LATEST_RECORD:
        test = own(stack, "doctor", "--test-alarm")
        yield problem(
            f"Bedrock was called {ago_in_period(missing, now)}, but {arrived}.",
            advise("Fix the other problems first. If there are none, test how far a record gets", test),
        )
    elif last is None:
        yield ok(f"No records in {HOURS} hours, and no calls that should have produced any.")
    else:
        yield ok(f"{arrived.capitalize()}. Processed in {HOURS} hours: {traffic.processed:,.0f}.")
    if traffic.rejected:
        yield warning(
            f"Records rejected in {HOURS} hours: {traffic.rejected:,.0f}.",
            'Search the processor\'s log for "record rejected". It has the reason and the request id of each.',
        )
    if traffic.processed and traffic.unknown / traffic.processed > UNKNOWN_SHARE:
        yield warning(
            f"max_tokens is unknown for {traffic.unknown / traffic.processed:.0%} of the records, "
            "so reserved tokens are too low.",
            "Configure invocation logging to deliver text, and to deliver bodies over 100 KB to a bucket. Or "
            f"{DECLARE_LIMITS}.",
        )


@check("service tiers", needs=("reserved_models",))
def check_reserved_tier(models: tuple[str, ...]) -> Findings:
    """Name the models that use reserved capacity. The log lacks the tier of their InvokeModel calls."""
    if not models:
        yield ok("AWS's metrics of the last two weeks show no reserved capacity.")
        return
    more = len(models) - MODELS_NAMED
    named = ", ".join(models[:MODELS_NAMED]) + (f" and {more} more" if more > 0 else "")
    yield warning(
        f"Reserved capacity served {named} in the last two weeks. Their InvokeModel calls are in the on-demand "
        "figures, because their tier is in a header that the log lacks.",
        "Use Converse for these models: its records have the tier. Otherwise their percentages are upper bounds.",
    )


def ago_in_period(start: datetime, now: datetime) -> str:
    """Return the time since a moment in the metrics' period that begins at `start`, in words."""
    most = max(1, math.ceil((now - start).total_seconds() / 60))
    least = (now - start - PERIOD) // timedelta(minutes=1)
    if least <= 0:
        return f"within the last {most} minute{'s' if most > 1 else ''}"
    return f"{least} to {most} minutes ago" if least < 120 else ago(start, now)


def ago(then: datetime, now: datetime) -> str:
    """Return the time since a moment in words."""
    minutes = max(0, round((now - then).total_seconds() / 60))
    return f"{minutes} minutes ago" if minutes < 120 else f"{minutes // 60} hours ago"
