"""`quota-monitor cost`: the command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.registry.sources import read_sources
from quota_monitor.answers.options import require_finite
from quota_monitor.aws_session import aws_errors_as_messages, explain_aws_error, open_session
from quota_monitor.cost import output
from quota_monitor.cost.account import measure_account
from quota_monitor.cost.estimate import DEFAULTS, Estimate, Given, make_estimate
from quota_monitor.cost.prices import read_prices
from quota_monitor.data_files import MODELS
from quota_monitor.json_output import json_option
from quota_monitor.places import list_places, parse_profiles, parse_regions
from quota_monitor.terminal import COULD_NOT_LOOK


@click.command()
@click.option("--pools", show_default=str(DEFAULTS.pools), type=click.IntRange(0), help="Quota pools in use.")
@click.option("--calls", show_default=str(DEFAULTS.calls), type=click.IntRange(0), help="Calls per month.")
@click.option(
    "--calls-per-delivery",
    show_default=f"{DEFAULTS.calls_per_delivery:g}",
    type=click.FloatRange(1, 1_000),
    help="Calls that reach the processor together. A busy account has more.",
)
@click.option(
    "--duplicate-detection/--no-duplicate-detection",
    default=None,
    show_default="on",
    help="Count repeated deliveries once, at two table writes per delivery (parameter DuplicateDetection).",
)
@click.option(
    "--ingestion",
    show_default="direct",
    type=click.Choice(["direct", "kinesis"]),
    help="Path of the logs: one run per delivery, or many per run by a stream (parameter Ingestion).",
)
@click.option(
    "--caller-detail",
    show_default="role",
    type=click.Choice(["role", "session"]),
    help="Lines per role, or per session of a role (parameter CallerDetail). Invented roles have 8 sessions each.",
)
@click.option(
    "--late-calls",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Calls over 100 KB per month whose body is not in S3 yet when their record arrives. The estimate "
    "assumes that the first retry, a minute later, finds it.",
)
@click.option(
    "--kb-per-call",
    type=click.FloatRange(0, 1_000),
    metavar="KB",
    help="Size of a record of the invocation log, with its prompt and answer. Adds that log to the estimate.",
)
@click.option(
    "--from-account",
    is_flag=True,
    help="Read pools, calls, deliveries and the size of the log from the account, before or after a deployment. Other "
    "options overrule what it finds.",
)
@click.option(
    "--regions",
    metavar="A,B",
    callback=parse_regions,
    help="With --from-account: Regions. Default: that of the profile.",
)
@click.option(
    "--profiles", metavar="A,B", callback=parse_profiles, help="With --from-account: AWS profiles, one account each."
)
@click.option(
    "--stack-name",
    default="bedrock-quota-monitor",
    show_default=True,
    help="With --from-account: name of the stack, if it is deployed.",
)
@json_option
def cost(*, from_account: bool, as_json: bool, stack_name: str, **given: Any) -> None:
    """Estimate what the monitor costs per month.

    Prices are list prices of us-east-1. Metric lines are those that the processor writes for invented calls.

    --from-account changes nothing. It needs the rights cloudwatch:ListMetrics, cloudwatch:GetMetricData,
    cloudformation:DescribeStacks, cloudformation:ListStackResources and
    bedrock:GetModelInvocationLoggingConfiguration, and for a deployed stack logs:StartQuery and
    logs:GetQueryResults. It goes on without one that is missing, and says what it assumes.
    """
    if not from_account and (given["regions"] or given["profiles"]):
        raise click.UsageError("--regions and --profiles need --from-account.")
    require_finite(given, "calls_per_delivery", "kb_per_call")
    chosen = Given(
        given["pools"],
        given["calls"],
        given["calls_per_delivery"],
        given["duplicate_detection"],
        None if given["ingestion"] is None else given["ingestion"] == "kinesis",
        None if given["caller_detail"] is None else given["caller_detail"] == "session",
        given["late_calls"],
        given["kb_per_call"],
    )
    if chosen.calls is not None or not from_account:
        _check_late_calls(chosen.late_calls, DEFAULTS.calls if chosen.calls is None else chosen.calls)
    price, failures = read_prices(), list[str]()
    if from_account:
        estimates = list(_measure_each(chosen, stack_name, given, failures))
    else:
        estimates = [make_estimate(chosen, price)]
    if as_json:
        click.echo(output.to_json(estimates, price))
    else:
        for number, estimate in enumerate(estimates):
            click.echo("\n" if number else "", nl=False)
            output.write(estimate, price)
    if len(estimates) > 1 and not as_json:
        total = sum(estimate.dollars for estimate in estimates)
        click.echo(f"\nAll {len(estimates)}: ${total:,.2f} per month, without invocation logs.")
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    sys.exit(COULD_NOT_LOOK if failures else 0)


def _measure_each(given: Given, stack_name: str, options: dict[str, Any], failures: list[str]) -> Iterator[Estimate]:
    """Yield an estimate per profile and Region. One that cannot be read is noted, unless it is the only one."""
    registry, price = read_sources(MODELS), read_prices()
    wanted = list_places(None, None, options["profiles"], options["regions"])
    for place in wanted:
        with aws_errors_as_messages():
            try:
                found = measure_account(
                    open_session(place.profile, place.region), stack_name, registry, datetime.now(UTC)
                )
            except (BotoCoreError, ClientError) as error:
                if len(wanted) == 1:
                    raise
                failures.append(f"{place.name()}: {explain_aws_error(error)}")
                continue
        estimate = make_estimate(given, price, found)
        _check_late_calls(given.late_calls, estimate.use.calls)
        yield estimate


def _check_late_calls(late_calls: int, calls: int) -> None:
    if late_calls > calls:
        raise click.UsageError(
            f"--late-calls is {late_calls:,}, but there are only {calls:,} calls per month (--calls)."
        )
