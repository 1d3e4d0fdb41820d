"""Questions about parts of the stack: the dashboard, the failure destination, the SDK of the functions."""

from __future__ import annotations

from quota_monitor.doctor.first_day.answers import (
    Answer,
    not_as_assumed,
    not_yet,
    safe_name,
    safe_names,
    safe_version,
    seen,
)
from quota_monitor.doctor.first_day.evidence import FailurePath, Sdk
from quota_monitor.doctor.first_day.question import question


@question(
    "dashboard",
    "Is the dashboard the one of the template?",
    assumption="CloudFormation and CloudWatch keep the generated dashboard body as it is.",
    needs=("dashboard",),
)
def ask_dashboard(differences: tuple[str, ...] | None) -> Answer:
    """Say if the deployed dashboard is the template's, apart from the order of keys."""
    if differences is None:
        return not_yet(
            "The stack's template has no dashboard body that can be compared.",
            then="Deploy this version, and run this again.",
        )
    if differences:
        return not_as_assumed(
            f"Places that differ: {len(differences)}. The first: {differences[0]}.",
            then="If nobody has edited the dashboard in the console, open an issue with this output.",
        )
    return seen("The deployed body equals that of the template, as JSON.")


@question(
    "failures",
    "Is a failed delivery kept?",
    assumption="Lambda puts a failed delivery into the failed-deliveries bucket.",
    needs=("failure_path", "kept_test"),
)
def ask_failures(path: FailurePath, kept_test: bool | None) -> Answer:
    """Look for objects that Lambda kept, and for its counts of what it could not keep."""
    if kept_test is not None:
        what = "The event of --test-failure"
        return seen(f"{what} was kept.") if kept_test else not_as_assumed(f"{what} was not kept within 10 minutes.")
    if not path.is_bucket:
        return not_as_assumed("The processor has no S3 bucket as failure destination.", then="Deploy the stack again.")
    if path.failures:
        return not_as_assumed(f"Deliveries that could not be kept in two weeks: {path.failures:,.0f}.")
    if path.kept:
        return seen("The bucket has an object that Lambda wrote.")
    if path.dropped:
        return seen(f"Lambda gave up on {path.dropped:,.0f} events in two weeks, and reports no failure to keep one.")
    return not_yet(
        "No delivery has failed.",
        then="Run this with --test-failure. It sends the processor one event that fails. Two alarms then notify the "
        "topic.",
    )


@question(
    "large-bodies",
    "Does Bedrock accept the bucket for bodies over 100 KB?",
    assumption="Bedrock accepts the stack's bucket for bodies over 100 KB in the set-up's own configuration.",
    needs=("sdk",),
)
def ask_large_bodies(sdk: Sdk) -> Answer:
    """Say if the configuration that the stack has made names a bucket for bodies over 100 KB."""
    if not sdk.made_by_stack:
        return not_yet(
            "This stack has not enabled the logging, or was updated since.",
            then="This can only be seen right after a first deployment in an account without invocation logging.",
        )
    if sdk.large_bodies:
        return seen("The configuration that this stack has made names a bucket.")
    return not_as_assumed("The configuration that this stack has made names no bucket.")


@question(
    "sdk",
    "Does the runtime's SDK know the logging configuration?",
    assumption="The SDK of the Lambda runtime knows every member of Bedrock's logging configuration, or the set-up "
    "keeps those that it does not know.",
    needs=("sdk",),
)
def ask_sdk(sdk: Sdk) -> Answer:
    """Compare the members that the runtime's SDK knows with those that Bedrock returns."""
    flags = ", ".join(f"{safe_name(name)}={str(on).lower()}" for name, on in sorted(sdk.flags.items()))
    facts = [f"Kinds of data in the configuration: {flags or 'none'}."]
    added = [name for name, on in sdk.flags.items() if on and not name.startswith("text")]
    if sdk.made_by_stack and added:
        return not_as_assumed(f"This stack enabled the logging, and it delivers {safe_names(added)}.", *facts)
    if not sdk.version:
        return not_yet(
            "The set-up's log does not name its SDK.", *facts, then="Deploy this version, and run this again."
        )
    facts.insert(0, f"botocore {safe_version(sdk.version)} knows {safe_names(sdk.members)}.")
    unknown = sdk.returned - sdk.members
    facts += [f"Returned by Bedrock and unknown to it: {safe_names(unknown)}."] if unknown else []
    return seen(*facts)
