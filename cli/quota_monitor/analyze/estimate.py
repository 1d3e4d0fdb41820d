"""The data that reading a log group scans, and its price, before anything is read. Expensive scans need a "yes".

CloudWatch counts the bytes of a log group: `IncomingBytes` in `AWS/Logs`, "the volume of log events in uncompressed
bytes uploaded to the log group" (CloudWatch Logs User Guide, "Monitoring with CloudWatch metrics", read 2026-11-28).
Logs Insights is billed by the uncompressed bytes that a query scans.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.access_denied import is_denied
from quota_monitor.answers.numbers import count
from quota_monitor.cost.bill import GIGABYTE
from quota_monitor.cost.prices import read_prices
from quota_monitor.window import Window

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

ACTION = "cloudwatch:GetMetricStatistics"

ASK_ABOVE_DOLLARS = 1.0
"""Price above which the user is asked first."""

WHOLE_RECORDS_BYTES_PER_SECOND = 5e6
"""Bytes of whole records that come per second: pages of 1 MB, of which slow Regions serve 5 per second (CloudWatch Logs
quotas, FilterLogEvents, read 2026-11-28)."""

_MAX_POINTS = 1_440
"""Most values of a call of GetMetricStatistics (its API reference, read 2026-11-28)."""

_PERIODS = (300, 3_600, 86_400)
"""Seconds per value. CloudWatch keeps those of 300 s for 63 days and those of 3,600 s for 455 days."""


class Estimate(msgspec.Struct, frozen=True):
    """A sentence on what reading costs. `dollars` is None if that is not known, and 0 if it costs nothing."""

    sentence: str
    dollars: float | None


def scan_options(yes_help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the options `--yes` and `--estimate` to a command."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in (
            click.option("--estimate", "only_estimate", is_flag=True, help="Only print what the scan would cost."),
            click.option("--yes", is_flag=True, help=yes_help),
        ):
            command = option(command)
        return command

    return add


def is_wanted(costs: Sequence[Estimate], *, only: bool, yes: bool) -> bool:
    """Say what reading costs, and ask if all of it is expensive. Return False if nothing is to be read.

    Raises `click.UsageError` if it is expensive and nobody can be asked.
    """
    for each in costs:
        click.echo(each.sentence, err=not only)
    if only:
        return False
    if yes or sum(each.dollars or 0 for each in costs) <= ASK_ABOVE_DOLLARS:
        return True
    if not _is_terminal():
        raise click.UsageError(f"Reading costs more than ${ASK_ABOVE_DOLLARS:g}. Use a shorter window, or --yes.")
    return click.confirm("Go on?", err=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def estimate_scan(
    client: CloudWatchClient, group: str, windows: Sequence[Window], *, whole_records: bool = False
) -> Estimate:
    """Return the data of a log group that is read in windows, and what reading it costs. Propagates botocore errors.

    A window that is read more than once counts each time. Without the right to ask CloudWatch, the sentence names that
    right and the price per GB.
    """
    per_gigabyte = read_prices().log_scanned_gigabyte
    try:
        size = sum(_sum_bytes(client, group, window) * times for window, times in Counter(windows).items())
    except ClientError as error:
        if not is_denied(error):
            raise
        cost = "" if whole_records else f" Logs Insights costs ${per_gigabyte:g} per GB."
        return Estimate(
            f"The size of log group {group} is not known, because these credentials may not call {ACTION}.{cost}", None
        )
    gigabytes = size / GIGABYTE
    if whole_records:
        seconds = round(size / WHOLE_RECORDS_BYTES_PER_SECOND)
        return Estimate(
            f"Reading {_write_amount(gigabytes)} of log group {group}, which takes up to {timedelta(seconds=seconds)}.",
            0.0,
        )
    return _price_scan(f"log group {group}", gigabytes * per_gigabyte)


def sum_up(costs: Mapping[str, Estimate]) -> list[Estimate]:
    """Return one estimate for all scans of log groups, and one for each whose size is not known, with its name."""
    known = [each.dollars for each in costs.values() if each.dollars is not None]
    unknown = [Estimate(f"{name}: {each.sentence}", None) for name, each in costs.items() if each.dollars is None]
    return [*([_price_scan(count(len(known), "log group"), sum(known))] if known else []), *unknown]


def _price_scan(what: str, dollars: float) -> Estimate:
    amount = _write_amount(dollars / read_prices().log_scanned_gigabyte)
    price = f"${dollars:,.2f}" if dollars >= _LEAST_DOLLARS else f"less than ${_LEAST_DOLLARS:g}"
    return Estimate(f"Scanning {what}: {amount}, {price}.", dollars)


def _write_amount(gigabytes: float) -> str:
    return f"about {gigabytes:,.1f} GB" if gigabytes >= _LEAST else f"less than {_LEAST:g} GB"


_LEAST, _LEAST_DOLLARS = 0.1, 0.01


def _sum_bytes(client: CloudWatchClient, group: str, window: Window) -> float:
    """Return the bytes that a log group got in a window, up to one period more at each end."""
    end = min(window.ends_at, datetime.now(UTC))
    span = (end - window.starts_at).total_seconds()
    period = next((each for each in _PERIODS if span / each < _MAX_POINTS - 1), _PERIODS[-1])
    start = window.start // period * period
    answer = client.get_metric_statistics(
        Namespace="AWS/Logs",
        MetricName="IncomingBytes",
        Dimensions=[{"Name": "LogGroupName", "Value": group}],
        StartTime=datetime.fromtimestamp(start, UTC),
        EndTime=max(end, datetime.fromtimestamp(start + period, UTC)),
        Period=period,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])
