"""The findings on a deployed stack: what its signs mean, and what to do about each."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from bedrock_quota.fetcher.fetch import DRIFT, ZERO
from bedrock_quota.deployment.invocation_logging import LOOK_AGAIN
from bedrock_quota.deployment.log_groups import LogGroup, MAX_FILTERS
from bedrock_quota.state.snapshot import OLDEST_QUOTAS, Snapshot
from quota_monitor.signs import (
    HOURS,
    Access,
    Alarm,
    Filter,
    Function,
    InvocationLogging,
    Kept,
    Key,
    Parts,
    Permission,
    Reader,
    Role,
    Signs,
    Stream,
    Traffic,
    Unread,
)
from quota_monitor.stacks import Stack

LATEST_RECORD = timedelta(minutes=20)
"""How long after a call its record may come: a quarter of an hour, and the five minutes that metrics are read by."""

UNKNOWN_SHARE = 0.2
"""Share of calls without a known max_tokens above which CoverageAlarm rings, too."""

RETRIES, EVENT_SECONDS = 2, 21_600
"""Of the processor's deliveries, as the template has them: how often, and for how long, Lambda tries one again."""

_CONSOLE = "in the Bedrock console, under Settings, Model invocation logging"
_DELIVER = f"have it delivered to CloudWatch Logs {_CONSOLE}"


_WITHOUT = {
    "InvocationLoggingRole": "Bedrock can log no call by it",
    "MetricProcessorFunction": "every record is lost at once",
    "MetricProcessorRole": "the processor cannot run, no record becomes a metric",
    "FailedDeliveriesBucket": "what the processor fails at is lost",
    "LargeBodiesBucket": "max_tokens of calls over 100 KB is unknown",
    "StateTable": "there are no percentages, and deliveries that come twice count twice",
    "QuotaFetcherFunction": "quotas grow old",
    "QuotaFetcherRole": "quotas grow old",
    "QuotaFetcherFunctionSchedule": "quotas grow old",
    "QuotaFetcherFunctionScheduleRole": "quotas grow old",
    "InvocationLogStreamRole": "CloudWatch Logs may not put records into the stream and loses them",
    "AlarmTopic": "no alarm is heard",
}
"""What follows if one of these parts is gone; an alarm does not ring, and without any other nothing is lost."""


class Status(StrEnum):
    """How bad it is. `problem` is what makes numbers wrong or missing, or keeps an alarm from being heard."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: where, what was found and, unless all is well, what to do."""

    status: Status
    where: str
    what: str
    do: str = ""


Findings = Iterator[Finding]
_Judge = Callable[..., Findings]
_CHECKS: list[Callable[[Signs, datetime], Findings]] = []


def of(signs: Signs, now: datetime) -> list[Finding]:
    """Return the findings in the order of a record's way. What could not be read is a warning with the reason."""
    return [finding for check in _CHECKS for finding in check(signs, now)]


def _of(where: str, *needs: str) -> Callable[[_Judge], _Judge]:
    """Make a check of a function that judges the signs it needs; it is asked only if all of them could be read."""

    def checked(judge: _Judge) -> _Judge:
        def check(signs: Signs, now: datetime) -> Findings:
            values: list[Any] = [getattr(signs, need) for need in needs]
            unread = [value for value in values if isinstance(value, Unread)]
            if unread:
                yield _could_not_check(where, unread[0])
            else:
                yield from judge(where, now, *values)

        _CHECKS.append(check)
        return judge

    return checked


def _could_not_check(where: str, unread: Unread) -> Finding:
    return Finding(
        Status.WARNING,
        where,
        f"could not check: {unread.reason}",
        "run it again with credentials that may do that (--profile)",
    )


# ---------------------------------------------------------------- the stack, and what comes into it


@_of("stack", "stack")
def _stack(where: str, _now: datetime, stack: Stack) -> Findings:
    if stack.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        yield Finding(Status.OK, where, f"{stack.name} is {stack.status}")
    elif stack.status.endswith("_IN_PROGRESS"):
        yield Finding(Status.WARNING, where, f"{stack.name} is {stack.status}", "wait until it is done, and look again")
    elif stack.status == "UPDATE_ROLLBACK_COMPLETE":
        yield Finding(
            Status.WARNING, where, "the last update failed; the version before it is deployed", _stack_events(stack)
        )
    else:
        yield Finding(Status.PROBLEM, where, f"{stack.name} is {stack.status}", _stack_events(stack))


_FIRST = {
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
    "ROLLBACK_COMPLETE": "delete-stack",  # of a creation that failed: there is nothing to update
    "ROLLBACK_FAILED": "delete-stack",
    "CREATE_FAILED": "delete-stack",
}
"""What CloudFormation wants done before a stack in this state can be deployed again.

API reference, ContinueUpdateRollback, read 2026-11-24; a stack that was never whole can only be deleted.
"""


def _stack_events(stack: Stack) -> str:
    named = ("--stack-name", stack.name)
    events = _command("aws", "cloudformation", "describe-stack-events", *named)
    first = _FIRST.get(stack.status)
    then = f"{_command('aws', 'cloudformation', first, *named)}, and deploy again" if first else "deploy again"
    return f"see why: {events}; mend that; {then}"


def _command(*words: str) -> str:
    """Return a command line with every word as the shell must have it."""
    return shlex.join(words)


def _bring_back(stack: Stack) -> str:
    """Return how to have CloudFormation make anew what was deleted, or changed, outside of it.

    An update fails at a resource that is gone. A drift-aware change set compares with what is there, and makes it again
    (CloudFormation User Guide, Using drift-aware change sets, and AWS's DevOps blog, 2025-11-19, scenario 3; read
    2026-11-24).
    """
    named = ("--stack-name", stack.name, "--change-set-name", "bring-back")
    parameters = [f"ParameterKey={key},UsePreviousValue=true" for key in stack.parameters]
    create = _command(
        *("aws", "cloudformation", "create-change-set", *named, "--use-previous-template"),
        *("--deployment-mode", "REVERT_DRIFT", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *(["--parameters", *parameters] if parameters else []),
    )
    changes = "Changes[].ResourceChange.[Action,LogicalResourceId]"
    describe = _command("aws", "cloudformation", "describe-change-set", *named, "--query", changes)
    execute = _command("aws", "cloudformation", "execute-change-set", *named)
    return f"have it made again: {create}; see what that changes: {describe}; do it: {execute}"


@_of("parts", "stack", "parts")
def _parts(where: str, _now: datetime, stack: Stack, found: Parts) -> Findings:
    for unread in found.unread:
        yield _could_not_check(where, unread)
    alarms = set(stack.of_type("AWS::CloudWatch::Alarm"))
    harm = {name: "it does not ring" if name in alarms else _WITHOUT.get(name) for name in found.gone}
    harmful = sorted(name for name, follows in harm.items() if follows)
    harmless = sorted(harm.keys() - set(harmful))
    if harmful:
        said = "; ".join(f"{name}, {harm[name]}" for name in harmful)
        yield Finding(Status.PROBLEM, where, f"gone: {said}", _bring_back(stack))
    if harmless:
        yield Finding(Status.WARNING, where, f"gone: {', '.join(harmless)}", _bring_back(stack))
    if not found.gone and not found.unread:
        yield Finding(Status.OK, where, "all are there")


@_of("invocation logging", "stack", "invocation_logging")
def _logging(where: str, _now: datetime, stack: Stack, found: InvocationLogging | None) -> Findings:
    subscribed = stack.outputs.get("InvocationLogGroupName", "")
    adopts = stack.parameters.get("InvocationLogging") == "adopt-only"
    do = f"{_DELIVER}, or deploy with InvocationLogging=set-up; then {LOOK_AGAIN}" if adopts else LOOK_AGAIN
    if found is None:
        yield Finding(Status.PROBLEM, where, "is switched off: Bedrock logs no call", do)
        return
    if found.log_group is None:
        yield Finding(Status.PROBLEM, where, "does not deliver to CloudWatch Logs any more", do)
    elif found.log_group != subscribed:
        yield Finding(
            Status.PROBLEM, where, f"delivers to {found.log_group}, and the stack reads {subscribed}", LOOK_AGAIN
        )
    else:
        yield Finding(Status.OK, where, f"delivers to {found.log_group}")
    if not found.text:
        yield Finding(
            Status.PROBLEM,
            where,
            "leaves the text out, so max_tokens is unknown and no reserved tokens are shown",
            f"switch on Text {_CONSOLE}",
        )


@_of("logging role", "stack", "invocation_logging", "logging_role")
def _logging_role(
    where: str, _now: datetime, stack: Stack, logging: InvocationLogging | None, found: Role | None
) -> Findings:
    if logging is None or logging.role is None:
        return
    name = logging.role.rpartition("/")[2]
    if found is None:
        if name != stack.resources.get("InvocationLoggingRole"):  # which is a finding on the parts
            do = f"name another one {_CONSOLE}"
            yield Finding(Status.PROBLEM, where, f"{name} is gone: Bedrock can log no call", do)
        return
    if not _lets_in(found.trusts, {"bedrock.amazonaws.com"}, stack.bedrock, stack.account):
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": _for_the_account(stack),
        }
        allow = _command(
            *("aws", "iam", "update-assume-role-policy", "--role-name", name, "--policy-document", _policy(trust))
        )
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} does not let Bedrock take it on: Bedrock can log no call",
            f"let it, and nobody else: {allow}",
        )
    if found.refused:
        group = stack.arn_of_log_group(logging.log_group or "").removesuffix("*")
        write = {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"{group}log-stream:aws/bedrock/modelinvocations",
        }
        allow = _command(
            *("aws", "iam", "put-role-policy", "--role-name", name, "--policy-name", "write-invocation-logs"),
            *("--policy-document", _policy(write)),
        )
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} may not {_and(found.refused)}: Bedrock can log no call",
            f"allow it: {allow}; if that does not help, its boundary or a policy of your organisation forbids it",
        )
    elif found.trusts and not found.refused:
        yield Finding(Status.OK, where, f"Bedrock may write to {logging.log_group} by {name}")


def _for_the_account(stack: Stack) -> dict[str, Any]:
    """Return the condition that Bedrock does something for this account and Region."""
    return {
        "StringEquals": {"aws:SourceAccount": stack.account},
        "ArnLike": {"aws:SourceArn": f"{stack.bedrock}:*"},
    }


def _policy(statement: dict[str, Any]) -> str:
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()


def _and(words: Iterable[str]) -> str:
    return " and ".join(words)


def _lets_in(found: Iterable[Permission], services: set[str], source: str, account: str) -> bool:
    """Whether one of these lets in one of the services on behalf of this source.

    Of an account as the source, which says only where a call comes from, no more than that is compared.
    """
    fields = source.count(":") + 1
    return any(
        each.service in services
        and (each.source_arn is None or fnmatchcase(source, ":".join(each.source_arn.split(":")[:fields])))
        and each.source_account in {None, account}
        for each in found
    )


@_of("log group", "stack", "log_group", "log_group_key")
def _log_group(where: str, _now: datetime, stack: Stack, found: LogGroup | None, key: Key | None) -> Findings:
    name = stack.outputs.get("InvocationLogGroupName", "")
    if found is None:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} is gone, and the subscription with it",
            f"make it again, and look again for the subscription: {_make_log_group(name)}",
        )
    elif found.log_class != "STANDARD":
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} is of the class {found.log_class}, which cannot be subscribed",
            f"have Bedrock deliver to another group (its console, under Settings), and {LOOK_AGAIN}",
        )
    elif key is not None and key.state != "Enabled":
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} is encrypted with {key.arn}, which is {key.state}: nothing can be written or read there",
            _enable(key)
            or "take the key away: " + _command("aws", "logs", "disassociate-kms-key", "--log-group-name", name),
        )
    else:
        yield Finding(Status.OK, where, f"{name} is there")


def _enable(key: Key) -> str:
    """Return how to have a key in use again, or nothing if it cannot be.

    A key whose deletion is cancelled is disabled (KMS Developer Guide, Cancel key deletion, read 2026-11-24).
    """
    if key.state not in {"Disabled", "PendingDeletion"}:
        return ""
    first = _command("aws", "kms", "cancel-key-deletion", "--key-id", key.arn) + ", and "
    enable = _command("aws", "kms", "enable-key", "--key-id", key.arn)
    return f"enable it: {first if key.state == 'PendingDeletion' else ''}{enable}"


def _make_log_group(name: str) -> str:
    make = _command("aws", "logs", "create-log-group", "--log-group-name", name)
    keep = _command("aws", "logs", "put-retention-policy", "--log-group-name", name, "--retention-in-days", "30")
    return f"{make}, and {keep}"


@_of("subscription", "stack", "filters", "processor", "stream")
def _subscription(
    where: str,
    _now: datetime,
    stack: Stack,
    found: tuple[Filter, ...] | None,
    processor: Function | None,
    stream: Stream | None,
) -> Findings:
    if found is None or processor is None:
        return  # the group or the function itself is gone, and a finding of its own
    group = stack.outputs.get("InvocationLogGroupName", "")
    destination = stream.arn if stream else processor.arn
    to = f"the stream of {processor.name}" if stream else processor.name
    ours = next((each for each in found if each.destination == destination), None)
    again = "put it back: " + _command(
        *("aws", "logs", "put-subscription-filter", "--log-group-name", group),
        *("--filter-name", f"{stack.name}-metric-processor", "--filter-pattern", ""),
        *("--destination-arn", destination),
        *(("--role-arn", stream.role.arn, "--distribution", "Random") if stream and stream.role else ()),
    )
    if ours is None:
        full = len(found) >= MAX_FILTERS
        names = ", ".join(each.name for each in found)
        first = f"take one of {names} away, for a group has room for {MAX_FILTERS}, and " if full else ""
        yield Finding(Status.PROBLEM, where, f"no filter of {group} delivers to {to}", first + again)
        return
    if ours.pattern.strip():
        yield Finding(Status.PROBLEM, where, f"{ours.name} lets only {ours.pattern!r} through", again)
    else:
        yield Finding(
            Status.OK,
            where,
            f"{ours.name} delivers to {to}; {len(found)} of {MAX_FILTERS} filters are used",
        )
    for other in found:
        if other is not ours and other.namespace == stack.parameters.get("MetricsNamespace"):
            yield Finding(
                Status.PROBLEM,
                where,
                f"{other.name} feeds another monitor that publishes to {other.namespace}, too: every call counts twice",
                "deploy one of the two with a MetricsNamespace of its own",
            )


@_of("permission", "stack", "permissions", "processor", "stream")
def _permission(
    where: str,
    _now: datetime,
    stack: Stack,
    found: tuple[Permission, ...],
    processor: Function | None,
    stream: Stream | None,
) -> Findings:
    if processor is None or stream is not None:
        return  # what puts records into a stream is a finding of its own
    source = stack.arn_of_log_group(stack.outputs.get("InvocationLogGroupName", ""))
    services = {f"logs.{end}" for end in ("amazonaws.com", f"{stack.region}.amazonaws.com")}
    allowed = _lets_in(found, services, source, stack.account)
    if allowed:
        yield Finding(Status.OK, where, f"CloudWatch Logs may invoke {processor.name}")
    else:
        yield Finding(
            Status.PROBLEM,
            where,
            f"CloudWatch Logs may not invoke {processor.name}: every record is lost at once",
            "allow it: "
            + _command(
                *("aws", "lambda", "add-permission", "--function-name", processor.name),
                *("--statement-id", "invocation-log", "--action", "lambda:InvokeFunction"),
                *("--principal", "logs.amazonaws.com", "--source-account", stack.account, "--source-arn", source),
            ),
        )


@_of("stream", "stack", "parts", "stream")
def _stream(where: str, _now: datetime, stack: Stack, parts: Parts, found: Stream | None) -> Findings:
    if found is None:
        return
    name = found.arn.rpartition("/")[2]
    again = _bring_back(stack)
    if found.status in {None, "DELETING"}:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} is {'gone' if found.status is None else found.status}: every record is lost at once",
            again,
        )
        return
    wrong = [*_put_into(name, stack, parts, found), *_read_from(name, stack, found.reader)]
    for what, do in wrong:
        yield Finding(Status.PROBLEM, where, what, do)
    if not wrong and "InvocationLogStreamRole" not in parts.gone:
        yield Finding(Status.OK, where, f"{name} is {found.status}, and the processor reads it")


def _put_into(name: str, stack: Stack, parts: Parts, found: Stream) -> Iterator[tuple[str, str]]:
    if "InvocationLogStreamRole" in parts.gone:
        return  # a finding on the parts
    if found.role is None or found.role.refused:
        yield (
            f"CloudWatch Logs may not put records into {name} and loses them",
            f"{_bring_back(stack)}; if that does not help, a policy of your organisation forbids it",
        )


def _read_from(name: str, stack: Stack, reader: Reader | None) -> Iterator[tuple[str, str]]:
    if reader is None:
        yield f"nothing reads {name}: records are lost after 24 hours", _bring_back(stack)
        return
    kept = stack.arn_of_bucket(stack.resources.get("FailedDeliveriesBucket", ""))
    change = ("aws", "lambda", "update-event-source-mapping", "--uuid", reader.uuid)
    if reader.state not in {"Enabled", "Enabling", "Creating", "Updating"}:
        yield (
            f"the processor does not read {name}: its event source mapping is {reader.state}",
            f"switch it on, before records are lost after 24 hours: {_command(*change, '--enabled')}",
        )
    elif reader.last_result.startswith("PROBLEM"):
        yield (
            f"Lambda could not hand over the last batch of {name}: {reader.last_result}",
            f"if the processor failed, its log says why; if the stream may not be read, {_bring_back(stack)}",
        )
    if not reader.in_part:
        yield (
            "where a delivery of a batch fails, those behind it are lost: Lambda does not heed the answer",
            "have it do so: " + _command(*change, "--function-response-types", "ReportBatchItemFailures"),
        )
    if reader.on_failure != kept:
        yield (
            "what the processor fails at is not kept",
            "set where it goes: " + _command(*change, "--destination-config", f"OnFailure={{Destination={kept}}}"),
        )


# ---------------------------------------------------------------- records to metrics


@_of("processor", "processor")
def _processor(where: str, _now: datetime, found: Function | None) -> Findings:
    yield from _function(where, found)


def _function(where: str, found: Function | None) -> Findings:
    if found is None:
        return  # a finding on the parts
    named = ("--function-name", found.name)
    if found.reserved == 0:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{found.name} is switched off: its reserved concurrency is 0",
            f"switch it on: {_command('aws', 'lambda', 'delete-function-concurrency', *named)}",
        )
    if found.state != "Active":
        yield Finding(
            Status.PROBLEM,
            where,
            f"{found.name} is {found.state}",
            f"see why: {_command('aws', 'lambda', 'get-function-configuration', *named)}",
        )
    if found.last_update == "Failed":
        yield Finding(Status.PROBLEM, where, f"the last update of {found.name} failed", "deploy again")
    if found.reserved != 0 and found.state == "Active" and found.last_update != "Failed":
        yield Finding(Status.OK, where, f"{found.name} is active")


@_of("failed deliveries", "stack", "kept", "on_failure", "processor")
def _failed_deliveries(
    where: str, _now: datetime, stack: Stack, kept: Kept | None, on_failure: str | None, processor: Function | None
) -> Findings:
    if kept is None or processor is None:
        return  # the bucket or the function itself is gone, a finding on the parts
    bucket = stack.resources.get("FailedDeliveriesBucket", "")
    destination = stack.arn_of_bucket(bucket)
    if on_failure != destination:
        put = _command(
            *("aws", "lambda", "put-function-event-invoke-config", "--function-name", processor.name),
            *("--qualifier", "$LATEST", "--maximum-retry-attempts", str(RETRIES)),
            *("--maximum-event-age-in-seconds", str(EVENT_SECONDS)),
            *("--destination-config", f"OnFailure={{Destination={destination}}}"),
        )
        yield Finding(
            Status.PROBLEM,
            where,
            f"are not kept: {processor.name} has no failure destination {bucket}",
            f"set it: {put}",
        )
    if kept.count:
        since = f", the oldest since {kept.oldest:%Y-%m-%d %H:%M} UTC" if kept.oldest else ""
        replay = _command("quota-monitor", "failed", "replay", "--stack-name", stack.name)
        yield Finding(
            Status.PROBLEM,
            where,
            f"{kept.count:,} wait in s3://{bucket}{since}; their records are missing from the metrics",
            f"mend what the processor's log names, then: {replay}",
        )
    elif on_failure == destination:
        yield Finding(Status.OK, where, "there are none")


@_of("failed deliveries", "stack", "parts", "kept", "processor_role")
def _keeping(where: str, _now: datetime, stack: Stack, parts: Parts, kept: Kept | None, role: Role | None) -> Findings:
    if kept is None or role is None or "MetricProcessorRole" in parts.gone:
        return  # findings on the parts
    bucket = stack.resources.get("FailedDeliveriesBucket", "")
    if role.refused:
        yield Finding(
            Status.PROBLEM,
            where,
            f"cannot be kept: {role.arn.rpartition('/')[2]} may not {_and(role.refused)} in {bucket}",
            f"{_bring_back(stack)}; if that does not help, a policy of your organisation forbids it",
        )
    if kept.closed:
        yield Finding(
            Status.PROBLEM,
            where,
            f"cannot be kept: the policy of {bucket} denies it to the processor's role",
            f"take that statement out, or {_bring_back(stack)}",
        )


@_of("metric lines", "own_log_groups")
def _metric_lines(where: str, _now: datetime, found: dict[str, bool]) -> Findings:
    for name, there in found.items():
        if not there:
            yield Finding(
                Status.PROBLEM,
                where,
                f"{name} is gone, and with it every metric that is written there",
                f"make it again: {_make_log_group(name)}",
            )
    if all(found.values()):
        yield Finding(Status.OK, where, "the functions' log groups are there")


@_of("records", "traffic")
def _records(where: str, now: datetime, found: Traffic) -> Findings:
    last = max(found.records, default=None)
    seen = f"the last record came {_ago(last, now)}" if last else "no record came"
    unseen = min((call for call in found.calls if last is None or call > last), default=now)
    if unseen <= now - LATEST_RECORD:
        yield Finding(
            Status.PROBLEM,
            where,
            f"Bedrock was called {_ago(unseen, now)}, and {seen}",
            "mend the other problems; if there are none, see how far a record comes: quota-monitor doctor --test-alarm",
        )
    elif last is None:
        yield Finding(Status.OK, where, f"none in {HOURS} hours, and no call whose record should be there")
    else:
        yield Finding(Status.OK, where, f"{seen}; {found.processed:,.0f} were processed in {HOURS} hours")
    if found.rejected:
        yield Finding(
            Status.WARNING,
            where,
            f"{found.rejected:,.0f} were rejected in {HOURS} hours",
            "the processor's log names reason and request id of each: record rejected",
        )
    if found.processed and found.unknown / found.processed > UNKNOWN_SHARE:
        yield Finding(
            Status.WARNING,
            where,
            f"for {found.unknown / found.processed:.0%} of them max_tokens is unknown; reserved tokens are too low",
            "have the invocation logging deliver text, and bodies over 100 KB to a bucket",
        )


def _ago(then: datetime, now: datetime) -> str:
    minutes = max(0, round((now - then).total_seconds() / 60))
    return f"{minutes} minutes ago" if minutes < 120 else f"{minutes // 60} hours ago"


@_of("large bodies", "parts", "invocation_logging", "processor", "large_bodies")
def _large_bodies(
    where: str,
    _now: datetime,
    parts: Parts,
    logging: InvocationLogging | None,
    processor: Function | None,
    access: Access | None,
) -> Findings:
    if logging is None or processor is None or access is None or "MetricProcessorRole" in parts.gone:
        return
    large = logging.large_bodies
    if large is None:
        yield Finding(Status.OK, where, "go nowhere: max_tokens of calls over 100 KB stays unknown (docs/limits.md)")
        return
    if not access.bucket_there and "LargeBodiesBucket" in parts.gone:
        return
    if not access.bucket_there:
        yield Finding(
            Status.PROBLEM,
            where,
            f"the bucket {large.bucket} is gone",
            "make it again, or name another in the Bedrock console",
        )
    elif processor.environment.get("LARGE_BODIES_BUCKET") != large.bucket:
        yield Finding(
            Status.PROBLEM, where, f"go to {large.bucket}, of which the processor was told nothing", LOOK_AGAIN
        )
    elif not access.reads:
        yield Finding(
            Status.PROBLEM, where, f"the processor may not read s3://{large.bucket}/{large.prefix}", LOOK_AGAIN
        )
    elif access.key is not None and access.key.state != "Enabled":
        yield Finding(
            Status.PROBLEM,
            where,
            f"s3://{large.bucket} is encrypted with {access.key.arn}, which is {access.key.state}: "
            "max_tokens of calls over 100 KB is unknown",
            _enable(access.key) or "have the bucket encrypt with another key",
        )
    elif access.key is not None and not access.decrypts:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": access.role},
            "Action": "kms:Decrypt",
            "Resource": "*",
        }
        yield Finding(
            Status.PROBLEM,
            where,
            f"s3://{large.bucket} is encrypted with {access.key.arn}, which the processor may not use: "
            "max_tokens of calls over 100 KB stays unknown",
            f"add to the policy of that key: {msgspec.json.encode(statement).decode()}",
        )
    else:
        yield Finding(Status.OK, where, f"the processor may read s3://{large.bucket}/{large.prefix}")


@_of("large bodies", "stack", "invocation_logging", "large_bodies")
def _large_bodies_written(
    where: str, _now: datetime, stack: Stack, logging: InvocationLogging | None, access: Access | None
) -> Findings:
    large = logging.large_bodies if logging else None
    if large is None or access is None or not access.bucket_there:
        return
    if not _lets_in(access.writers, {"bedrock.amazonaws.com"}, stack.bedrock, stack.account):
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": stack.arn_of_bucket(f"{large.folder}{stack.account}/BedrockModelInvocationLogs/*"),
            "Condition": _for_the_account(stack),
        }
        yield Finding(
            Status.PROBLEM,
            where,
            f"Bedrock may not write to s3://{large.bucket}/{large.prefix}: max_tokens of calls over 100 KB is unknown",
            f"add to the policy of that bucket: {msgspec.json.encode(statement).decode()}",
        )


# ---------------------------------------------------------------- quotas


@_of("quotas", "stack", "parts", "snapshot")
def _quotas(where: str, now: datetime, stack: Stack, parts: Parts, found: Snapshot | None) -> Findings:
    if "StateTable" in parts.gone:
        return
    if found is None or not found.quotas:
        yield Finding(Status.PROBLEM, where, "were never fetched: there are no percentages", _fetch(stack))
    elif now - found.fetched_at > OLDEST_QUOTAS:
        yield Finding(Status.PROBLEM, where, f"were last fetched {_ago(found.fetched_at, now)}", _fetch(stack))
    else:
        yield Finding(Status.OK, where, f"of {len(found.quotas)} buckets were fetched {_ago(found.fetched_at, now)}")
    for sentence in (*found.active_notices.get(ZERO, ()), *found.active_notices.get(DRIFT, ())) if found else ():
        yield Finding(Status.WARNING, where, sentence, "docs/operations.md, When something is wrong")


@_of("quotas", "stack", "traffic")
def _failed_fetches(where: str, now: datetime, stack: Stack, traffic: Traffic) -> Findings:
    failed = traffic.last_failed_fetch
    if failed and now - failed < OLDEST_QUOTAS:
        yield Finding(Status.WARNING, where, f"a fetch failed {_ago(failed, now)}, in whole or in part", _fetch(stack))


def _fetch(stack: Stack) -> str:
    fetcher = stack.resources.get("QuotaFetcherFunction", "")
    invoke = _command("aws", "lambda", "invoke", "--function-name", fetcher, "/dev/stdout")
    return f"fetch them now and read the answer: {invoke}"


@_of("fetcher", "fetcher")
def _fetcher(where: str, _now: datetime, found: Function | None) -> Findings:
    yield from _function(where, found)


@_of("schedule", "stack", "schedule")
def _schedule(where: str, _now: datetime, stack: Stack, found: str | None) -> Findings:
    if found is None:
        return  # a finding on the parts
    if found == "ENABLED":
        yield Finding(Status.OK, where, "starts the fetcher every 174 minutes")
    else:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{stack.resources.get('QuotaFetcherFunctionSchedule', '')} is switched off: quotas grow old",
            "switch it on in the EventBridge console, under Schedules",
        )


@_of("overrides", "stack", "overrides_rule")
def _overrides(where: str, _now: datetime, stack: Stack, found: str | None) -> Findings:
    if found is None:
        return  # a finding on the parts
    name = stack.resources.get("QuotaFetcherFunctionOverridesChanged", "")
    if found == "ENABLED":
        yield Finding(Status.OK, where, "a change starts the fetcher")
    else:
        yield Finding(
            Status.WARNING,
            where,
            f"the rule {name} is switched off: a change waits for the schedule",
            f"switch it on: {_command('aws', 'events', 'enable-rule', '--name', name)}",
        )


# ---------------------------------------------------------------- alarms


@_of("alarms", "stack", "alarms")
def _alarms(where: str, _now: datetime, stack: Stack, found: tuple[Alarm, ...]) -> Findings:
    logical = {stack.resources[each]: each for each in stack.of_type("AWS::CloudWatch::Alarm")}
    topic = stack.resources.get("AlarmTopic", "")
    muted = [each.name for each in found if not each.armed]
    astray = [logical.get(each.name, each.name) for each in found if topic not in each.actions]
    if muted:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{', '.join(logical.get(name, name) for name in muted)}: actions are switched off, nobody is told",
            f"switch them on: {_command('aws', 'cloudwatch', 'enable-alarm-actions', '--alarm-names', *muted)}",
        )
    if astray:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{', '.join(astray)} no longer reports to {topic}",
            "put the topic back among its actions in the CloudWatch console",
        )
    if found and not (muted or astray):
        yield Finding(Status.OK, where, f"{len(found)} are armed")
    for each in found:
        if each.state == "ALARM" and logical.get(each.name) != "TestAlarm":
            yield Finding(
                Status.WARNING,
                where,
                f"{logical.get(each.name, each.name)} rings",
                each.description or "see docs/operations.md",
            )


@_of("topic", "stack", "subscribers")
def _topic(where: str, _now: datetime, stack: Stack, found: dict[str, int] | None) -> Findings:
    if found is None:
        return  # a finding on the parts
    topic = stack.resources.get("AlarmTopic", "")
    if found["confirmed"]:
        yield Finding(Status.OK, where, f"{found['confirmed']} confirmed subscribers")
    else:
        pending = f"; {found['pending']} have not confirmed" if found["pending"] else ""
        subscribe = _command(
            *("aws", "sns", "subscribe", "--topic-arn", topic, "--protocol", "email"),
            *("--notification-endpoint", "YOUR-ADDRESS"),
        )
        yield Finding(
            Status.PROBLEM,
            where,
            f"nobody is subscribed, no alarm is heard{pending}",
            f"subscribe: {subscribe}",
        )
