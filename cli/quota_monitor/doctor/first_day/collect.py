"""Collect the evidence for the first-day check. This only reads from AWS, and never reads a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.first_day import collect_alarms, collect_logs, collect_metrics
from quota_monitor.doctor.first_day.collect_logs import QueryIncompleteError
from quota_monitor.doctor.first_day.dashboard_body import compare_bodies, find_body
from quota_monitor.doctor.first_day.evidence import Evidence, Unreadable
from quota_monitor.template import parse_template

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient

Value = TypeVar("Value")
Other = TypeVar("Other")


def collect(session: boto3.Session, stack: Stack, template: Mapping[str, Any] | Unreadable, now: datetime) -> Evidence:
    """Read all evidence. Evidence that AWS refuses is `Unreadable`, so this raises no error of AWS."""
    cloudwatch = session.client("cloudwatch")
    namespace = stack.parameters.get("MetricsNamespace", "")
    lines = attempt(lambda: collect_logs.read_lines(session.client("logs"), stack, now))
    alarms = attempt(lambda: collect_alarms.describe_alarms(cloudwatch, stack))
    return Evidence(
        lines=lines,
        values=_from(lines, lambda found: collect_metrics.read_values(cloudwatch, namespace, found)),
        refused=attempt(lambda: collect_metrics.read_refused(cloudwatch, stack, now)),
        dashboard=_from(template, lambda found: _compare_dashboard(cloudwatch, stack, found)),
        alarms=_from(
            alarms, lambda found: tuple(collect_alarms.read_alarm(cloudwatch, stack, each, now) for each in found)
        ),
        contributors=_from(alarms, lambda found: collect_alarms.read_contributors(cloudwatch, stack, found)),
        actions=_from(alarms, lambda found: collect_alarms.read_actions(cloudwatch, stack, found)),
        failure_path=attempt(lambda: collect_metrics.read_failure_path(session, stack, now)),
        dimensions=attempt(lambda: collect_metrics.read_dimensions(cloudwatch)),
        delays=attempt(lambda: collect_logs.read_delays(session.client("logs"), stack, now)),
        bodies=attempt(lambda: collect_logs.read_bodies(session, stack, now)),
        sdk=attempt(lambda: collect_logs.read_sdk(session, stack)),
        counts=attempt(lambda: collect_metrics.read_counts(cloudwatch, stack, now)),
        throttles=_from(lines, lambda found: collect_metrics.read_throttles(cloudwatch, stack, found, now)),
        overrides=attempt(lambda: collect_metrics.read_overrides(cloudwatch, stack, now)),
    )


def _from(read: Value | Unreadable, look: Callable[[Value], Other]) -> Other | Unreadable:
    return read if isinstance(read, Unreadable) else attempt(lambda: look(read))


def attempt(look: Callable[[], Value]) -> Value | Unreadable:
    """Return what `look` returns, or the operation and the code of the error that it raises."""
    try:
        return look()
    except ClientError as error:
        return Unreadable(error.operation_name, str(error.response.get("Error", {}).get("Code")))
    except QueryIncompleteError:
        return Unreadable("GetQueryResults", "QueryIncomplete")
    except BotoCoreError as error:
        return Unreadable("AWS", type(error).__name__)
    except KeyError:
        return Unreadable("DescribeStackResources", "NotInThisStack")
    except (msgspec.DecodeError, yaml.YAMLError, ValueError) as error:
        return Unreadable("decode", type(error).__name__)


def read_template_of(session: boto3.Session, stack: Stack) -> Mapping[str, Any] | Unreadable:
    """Return the template of a deployed stack, after its transforms."""

    def look() -> Mapping[str, Any]:
        client = session.client("cloudformation")
        body: Any = client.get_template(StackName=stack.name, TemplateStage="Processed")["TemplateBody"]
        return parse_template(body) if isinstance(body, str) else body

    return attempt(look)


def _compare_dashboard(client: CloudWatchClient, stack: Stack, template: Mapping[str, Any]) -> tuple[str, ...] | None:
    body = find_body(template)
    if body is None:
        return None
    deployed = client.get_dashboard(DashboardName=stack.resources["QuotaDashboard"])["DashboardBody"]
    pseudo = {
        "AWS::Region": stack.region,
        "AWS::StackName": stack.name,
        "AWS::AccountId": stack.account,
        "AWS::Partition": stack.partition,
    }
    return compare_bodies(body, deployed, {**stack.parameters, **stack.resources, **pseudo})
