"""The findings on a deployed stack: what its signs mean, and what to do about each."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from bedrock_quota.fetching import DRIFT, ZERO
from bedrock_quota.log_groups import MAX_FILTERS, LogGroup
from bedrock_quota.snapshots import OLDEST_QUOTAS, Snapshot
from quota_monitor.signs import (
    HOURS,
    Access,
    Alarm,
    Filter,
    Function,
    InvocationLogging,
    Kept,
    Permission,
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

LOOK_AGAIN = (
    "deploy again with another LogRetentionDays (sam deploy --parameter-overrides LogRetentionDays=60): "
    "the stack then looks at the invocation logging anew"
)
"""What makes CloudFormation ask LoggingSetupFunction once more: one of its properties must change."""

_DELIVER = "have it delivered to CloudWatch Logs in the Bedrock console, under Settings, Model invocation logging"


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


def _stack_events(stack: Stack) -> str:
    return f"see why, and deploy again: aws cloudformation describe-stack-events --stack-name {stack.name}"


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
            "switch on Text in the Bedrock console, under Settings, Model invocation logging",
        )


@_of("log group", "stack", "log_group")
def _log_group(where: str, _now: datetime, stack: Stack, found: LogGroup | None) -> Findings:
    name = stack.outputs.get("InvocationLogGroupName", "")
    if found is None:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} is gone, and the subscription with it",
            f"make it again, and look again for the subscription: aws logs create-log-group --log-group-name {name}, "
            f"and aws logs put-retention-policy --log-group-name {name} --retention-in-days 30",
        )
    elif found.log_class != "STANDARD":
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} is of the class {found.log_class}, which cannot be subscribed",
            f"have Bedrock deliver to another group (its console, under Settings), and {LOOK_AGAIN}",
        )
    else:
        yield Finding(Status.OK, where, f"{name} is there")


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
    again = (
        f"put it back: aws logs put-subscription-filter --log-group-name {group} "
        f"--filter-name {stack.name}-metric-processor --filter-pattern '' --destination-arn {destination}"
    ) + (f" --role-arn {stream.role} --distribution Random" if stream else "")
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
    allowed = any(
        each.service in {"logs.amazonaws.com", f"logs.{stack.region}.amazonaws.com"}
        and (each.source_arn is None or fnmatchcase(source, each.source_arn))
        and each.source_account in {None, stack.account}
        for each in found
    )
    if allowed:
        yield Finding(Status.OK, where, f"CloudWatch Logs may invoke {processor.name}")
    else:
        yield Finding(
            Status.PROBLEM,
            where,
            f"CloudWatch Logs may not invoke {processor.name}: every record is lost at once",
            f"allow it: aws lambda add-permission --function-name {processor.name} --statement-id invocation-log "
            f"--action lambda:InvokeFunction --principal logs.amazonaws.com --source-account {stack.account} "
            f"--source-arn '{source}'",
        )


@_of("stream", "stack", "stream")
def _stream(where: str, _now: datetime, stack: Stack, found: Stream | None) -> Findings:
    if found is None:
        return
    name = found.arn.rpartition("/")[2]
    again = "deploy with Ingestion=direct, and then with Ingestion=kinesis: CloudFormation makes it anew only so"
    if found.status is None:
        yield Finding(Status.PROBLEM, where, f"{name} is gone: every record is lost at once", again)
        return
    if found.role is None:
        yield Finding(Status.PROBLEM, where, "CloudWatch Logs may not put records into it and loses them", again)
    reader, kept = found.reader, f"arn:{stack.partition}:s3:::{stack.resources.get('FailedDeliveriesBucket', '')}"
    if reader is None:
        yield Finding(Status.PROBLEM, where, f"nothing reads {name}: records are lost after 24 hours", again)
        return
    change = f"aws lambda update-event-source-mapping --uuid {reader.uuid}"
    if reader.state not in {"Enabled", "Enabling", "Creating", "Updating"}:
        yield Finding(
            Status.PROBLEM,
            where,
            f"the processor does not read {name}: its event source mapping is {reader.state}",
            f"switch it on, before records are lost after 24 hours: {change} --enabled",
        )
    elif reader.on_failure != kept:
        yield Finding(
            Status.PROBLEM,
            where,
            "what the processor fails at is not kept",
            f"set where it goes: {change} --destination-config OnFailure={{Destination={kept}}}",
        )
    elif found.role is not None:
        yield Finding(Status.OK, where, f"{name} is {found.status}, and the processor reads it")


# ---------------------------------------------------------------- records to metrics


@_of("processor", "stack", "processor")
def _processor(where: str, _now: datetime, stack: Stack, found: Function | None) -> Findings:
    yield from _function(where, stack, "MetricProcessorFunction", found)


def _function(where: str, stack: Stack, logical_id: str, found: Function | None) -> Findings:
    if found is None:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{stack.resources.get(logical_id, logical_id)} is gone",
            "delete the stack and deploy it again: CloudFormation does not make it anew",
        )
        return
    if found.reserved == 0:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{found.name} is switched off: its reserved concurrency is 0",
            f"switch it on: aws lambda delete-function-concurrency --function-name {found.name}",
        )
    if found.state != "Active":
        yield Finding(
            Status.PROBLEM,
            where,
            f"{found.name} is {found.state}",
            f"see why: aws lambda get-function-configuration --function-name {found.name}",
        )
    if found.last_update == "Failed":
        yield Finding(Status.PROBLEM, where, f"the last update of {found.name} failed", "deploy again")
    if found.reserved != 0 and found.state == "Active" and found.last_update != "Failed":
        yield Finding(Status.OK, where, f"{found.name} is active")


@_of("failed deliveries", "stack", "on_failure", "kept")
def _failed_deliveries(where: str, _now: datetime, stack: Stack, on_failure: str | None, kept: Kept) -> Findings:
    bucket = stack.resources.get("FailedDeliveriesBucket", "")
    destined = on_failure == f"arn:{stack.partition}:s3:::{bucket}"
    if not destined:
        function = stack.resources.get("MetricProcessorFunction", "")
        yield Finding(
            Status.PROBLEM,
            where,
            f"are not kept: {function} has no failure destination {bucket}",
            f"set it: aws lambda update-function-event-invoke-config --function-name {function} --qualifier '$LATEST' "
            f"--destination-config OnFailure={{Destination=arn:{stack.partition}:s3:::{bucket}}}",
        )
    if kept.count:
        since = f", the oldest since {kept.oldest:%Y-%m-%d %H:%M} UTC" if kept.oldest else ""
        yield Finding(
            Status.PROBLEM,
            where,
            f"{kept.count:,} wait in s3://{bucket}{since}; their records are missing from the metrics",
            f"mend what the processor's log names, then: quota-monitor failed replay --stack-name {stack.name}",
        )
    elif destined:
        yield Finding(Status.OK, where, "there are none")


@_of("metric lines", "own_log_groups")
def _metric_lines(where: str, _now: datetime, found: dict[str, bool]) -> Findings:
    for name, there in found.items():
        if not there:
            yield Finding(
                Status.PROBLEM,
                where,
                f"{name} is gone, and with it every metric that is written there",
                f"make it again: aws logs create-log-group --log-group-name {name}, "
                f"and aws logs put-retention-policy --log-group-name {name} --retention-in-days 30",
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


@_of("large bodies", "stack", "invocation_logging", "processor", "large_bodies")
def _large_bodies(
    where: str,
    _now: datetime,
    stack: Stack,
    logging: InvocationLogging | None,
    processor: Function | None,
    access: Access,
) -> Findings:
    if logging is None or processor is None:
        return
    large = logging.large_bodies
    if large is None:
        yield Finding(Status.OK, where, "go nowhere: max_tokens of calls over 100 KB stays unknown (docs/limits.md)")
        return
    arn = f"arn:{stack.partition}:s3:::{large.folder}"
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
    elif not any(fnmatchcase(arn + "x", each) for each in access.readable):
        yield Finding(
            Status.PROBLEM, where, f"the processor may not read s3://{large.bucket}/{large.prefix}", LOOK_AGAIN
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
            f"s3://{large.bucket} is encrypted with {access.key}, which the processor may not use: "
            "max_tokens of calls over 100 KB stays unknown",
            f"add to the policy of that key: {msgspec.json.encode(statement).decode()}",
        )
    else:
        yield Finding(Status.OK, where, f"the processor may read s3://{large.bucket}/{large.prefix}")


# ---------------------------------------------------------------- quotas


@_of("quotas", "stack", "snapshot", "traffic")
def _quotas(where: str, now: datetime, stack: Stack, found: Snapshot | None, traffic: Traffic) -> Findings:
    fetcher = stack.resources.get("QuotaFetcherFunction", "")
    fetch = f"fetch them now and read the answer: aws lambda invoke --function-name {fetcher} /dev/stdout"
    if found is None or not found.quotas:
        yield Finding(Status.PROBLEM, where, "were never fetched: there are no percentages", fetch)
    elif now - found.fetched_at > OLDEST_QUOTAS:
        yield Finding(Status.PROBLEM, where, f"were last fetched {_ago(found.fetched_at, now)}", fetch)
    else:
        yield Finding(Status.OK, where, f"of {len(found.quotas)} buckets were fetched {_ago(found.fetched_at, now)}")
    if traffic.last_failed_fetch and now - traffic.last_failed_fetch < OLDEST_QUOTAS:
        yield Finding(
            Status.WARNING, where, f"a fetch failed {_ago(traffic.last_failed_fetch, now)}, in whole or in part", fetch
        )
    for sentence in (*found.standing.get(ZERO, ()), *found.standing.get(DRIFT, ())) if found else ():
        yield Finding(Status.WARNING, where, sentence, "docs/operations.md, When something is wrong")


@_of("fetcher", "stack", "fetcher")
def _fetcher(where: str, _now: datetime, stack: Stack, found: Function | None) -> Findings:
    yield from _function(where, stack, "QuotaFetcherFunction", found)


@_of("schedule", "stack", "schedule")
def _schedule(where: str, _now: datetime, stack: Stack, found: str | None) -> Findings:
    name = stack.resources.get("QuotaFetcherFunctionSchedule", "")
    if found == "ENABLED":
        yield Finding(Status.OK, where, "starts the fetcher every 174 minutes")
    else:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{name} is {'switched off' if found else 'gone'}: quotas grow old",
            "switch it on in the EventBridge console, under Schedules"
            if found
            else "delete the stack and deploy it again",
        )


@_of("overrides", "stack", "overrides_rule")
def _overrides(where: str, _now: datetime, stack: Stack, found: str | None) -> Findings:
    name = stack.resources.get("QuotaFetcherFunctionOverridesChanged", "")
    if found == "ENABLED":
        yield Finding(Status.OK, where, "a change starts the fetcher")
    else:
        yield Finding(
            Status.WARNING,
            where,
            f"the rule {name} is {'switched off' if found else 'gone'}: a change waits for the schedule",
            f"switch it on: aws events enable-rule --name {name}" if found else "delete the stack and deploy it again",
        )


# ---------------------------------------------------------------- alarms


@_of("alarms", "stack", "alarms")
def _alarms(where: str, _now: datetime, stack: Stack, found: tuple[Alarm, ...]) -> Findings:
    logical = {stack.resources[logical_id]: logical_id for logical_id in stack.alarms}
    topic = stack.resources.get("AlarmTopic", "")
    gone = sorted(logical[name] for name in logical.keys() - {each.name for each in found})
    muted = [each.name for each in found if not each.armed]
    astray = [logical.get(each.name, each.name) for each in found if topic not in each.actions]
    if gone:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone",
            "change the AlarmDescription in template.yaml and deploy: CloudFormation puts an alarm that it changes",
        )
    if muted:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{', '.join(logical.get(name, name) for name in muted)}: actions are switched off, nobody is told",
            f"switch them on: aws cloudwatch enable-alarm-actions --alarm-names {' '.join(muted)}",
        )
    if astray:
        yield Finding(
            Status.PROBLEM,
            where,
            f"{', '.join(astray)} no longer reports to {topic}",
            "put the topic back among its actions in the CloudWatch console",
        )
    if found and not (gone or muted or astray):
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
def _topic(where: str, _now: datetime, stack: Stack, found: dict[str, int]) -> Findings:
    topic = stack.resources.get("AlarmTopic", "")
    if found["confirmed"]:
        yield Finding(Status.OK, where, f"{found['confirmed']} confirmed subscribers")
    else:
        pending = f"; {found['pending']} have not confirmed" if found["pending"] else ""
        yield Finding(
            Status.PROBLEM,
            where,
            f"nobody is subscribed, no alarm is heard{pending}",
            f"subscribe: aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOUR-ADDRESS",
        )
