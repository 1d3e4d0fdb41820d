"""The data that reading a log group scans, and its price, before anything is read.

CloudWatch counts the bytes of a log group: `IncomingBytes` in `AWS/Logs`, "the volume of log events in uncompressed
bytes uploaded to the log group" (CloudWatch Logs User Guide, "Monitoring with CloudWatch metrics", read 2026-11-28).
Logs Insights is billed by the uncompressed bytes that a query scans.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.access_denied import is_denied
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


def estimate_scan(client: CloudWatchClient, group: str, window: Window, *, whole_records: bool) -> Estimate:
    """Return the data of a log group in a window, and what reading it costs. Propagates botocore errors.

    Without the right to ask CloudWatch, the sentence names that right and the price per GB.
    """
    per_gigabyte = read_prices().log_scanned_gigabyte
    try:
        size = _sum_bytes(client, group, window)
    except ClientError as error:
        if not is_denied(error):
            raise
        cost = "" if whole_records else f" Logs Insights costs ${per_gigabyte:g} per GB."
        return Estimate(
            f"The size of log group {group} is not known, because these credentials may not call {ACTION}.{cost}", None
        )
    gigabytes = size / GIGABYTE
    amount = f"about {gigabytes:,.1f} GB" if gigabytes >= _LEAST else f"less than {_LEAST:g} GB"
    if whole_records:
        seconds = round(size / WHOLE_RECORDS_BYTES_PER_SECOND)
        return Estimate(f"Reading {amount} of log group {group}, which takes up to {timedelta(seconds=seconds)}.", 0.0)
    dollars = gigabytes * per_gigabyte
    price = f"${dollars:,.2f}" if dollars >= _LEAST_DOLLARS else f"less than ${_LEAST_DOLLARS:g}"
    return Estimate(f"Scanning log group {group}: {amount}, {price}.", dollars)


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
