"""Burndown drift: the rate that AWS applies, computed from AWS's own metrics, differs from the registry's.

`EstimatedTPMQuotaUsage` is the number of tokens that AWS counts as consumed. So the rate is
(estimated - input - cache write) / output (
https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-runtime-metrics.html, read 2026-11-23).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.fetcher.metric_data import MAX_QUERIES, make_metric_query
from bedrock_quota.model_ids import Reference
from bedrock_quota.registry.models import RateStatus, Registry

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

NAMESPACE = "AWS/Bedrock"
LOOK_BACK = timedelta(hours=3)
"""Time range of the metrics: a little more than the time between two fetches."""

SETTLED = timedelta(minutes=10)
"""Age of the newest data that is used: more recent minutes of a metric may be incomplete."""

MIN_OUTPUT_TOKENS = 1_000
"""Least output. With less, one call that only some of the metrics contain would look like another rate."""

TOLERANCE = 0.05
"""Difference of rates that counts as rounding: this number, or this fraction of the rate if that is more."""

TOKENS_TOLERANCE = 0.01
"""Fraction of all tokens that one metric may contain and another not."""

ESTIMATED, INPUT, OUTPUT = "EstimatedTPMQuotaUsage", "InputTokenCount", "OutputTokenCount"
CACHE_WRITE, OLD_CACHE_WRITE = "CacheWriteInputTokenCount", "CacheWriteInputTokens"
"""Older pages name the metric without `Count`. If both exist, they are the same number."""

_METRICS = (ESTIMATED, INPUT, OUTPUT, CACHE_WRITE, OLD_CACHE_WRITE)


def make_notice_prefix(model_id: str) -> str:
    """Return the beginning of a notice about a model's rate."""
    return f"burndown rate of {model_id}:"


class Drift(msgspec.Struct, frozen=True, order=True):
    """A model whose applied rate is not the registry's."""

    model_id: str
    registry_rate: float
    registry_status: RateStatus
    applied_rate: float

    def __str__(self) -> str:
        """Return the drift as a sentence. The rate is rounded if possible, so that repeated notices are equal."""
        whole = round(self.applied_rate)
        applied = whole if abs(self.applied_rate - whole) <= _compute_tolerance(whole) else round(self.applied_rate, 1)
        return (
            f"{make_notice_prefix(self.model_id)} AWS applies {applied:g}, "
            f"the registry has {self.registry_rate:g} ({self.registry_status})"
        )


def _compute_tolerance(rate: float) -> float:
    return TOLERANCE * max(1, rate)


def read_token_sums(client: CloudWatchClient, providers: Iterable[str], now: datetime) -> dict[str, dict[str, float]]:
    """Return the sums of AWS's token metrics over the last hours, by foundation model id and metric.

    The dimension `ModelId` is the id that callers passed, so one model may have several series. Propagates
    botocore errors.
    """
    known = frozenset(providers)
    by_model: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    names = list(_list_model_ids(client))
    per_call = MAX_QUERIES // len(_METRICS)
    end = now.replace(second=0, microsecond=0) - SETTLED
    for start in range(0, len(names), per_call):
        for name, sums in _read_sums(client, names[start : start + per_call], end).items():
            found = model_ids.parse_model_id(name, known)
            if isinstance(found, Reference):
                sums[CACHE_WRITE] = max(sums[CACHE_WRITE], sums.pop(OLD_CACHE_WRITE))
                for metric, value in sums.items():
                    by_model[found.model_id][metric] += value
    return {model_id: dict(sums) for model_id, sums in by_model.items()}


def _list_model_ids(client: CloudWatchClient) -> Iterator[str]:
    pages = client.get_paginator("list_metrics").paginate(
        Namespace=NAMESPACE, MetricName=ESTIMATED, RecentlyActive="PT3H"
    )
    for page in pages:
        for metric in page["Metrics"]:
            if [dimension["Name"] for dimension in metric["Dimensions"]] == ["ModelId"]:
                yield metric["Dimensions"][0]["Value"]


def _read_sums(client: CloudWatchClient, names: list[str], end: datetime) -> dict[str, dict[str, float]]:
    """Return all sums of each series of these names. A missing series is 0."""
    wanted = {f"m{number}": pair for number, pair in enumerate((name, metric) for name in names for metric in _METRICS)}
    queries = [
        make_metric_query(query_id, NAMESPACE, metric, {"ModelId": name}) for query_id, (name, metric) in wanted.items()
    ]
    found = {name: dict.fromkeys(_METRICS, 0.0) for name in names}
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=end - LOOK_BACK, EndTime=end
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            name, metric = wanted[result["Id"]]
            found[name][metric] += sum(result["Values"])
    return found


def measure_rates(sums: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the rate that AWS applied, by model id, if the model was used enough to measure it."""
    found = {}
    for model_id, metrics in sums.items():
        output = metrics.get(OUTPUT, 0)
        if output >= MIN_OUTPUT_TOKENS and metrics.get(ESTIMATED):
            new_input = metrics.get(INPUT, 0) + metrics.get(CACHE_WRITE, 0)
            found[model_id] = (metrics[ESTIMATED] - new_input) / output
    return found


def detect_drift(sums: Mapping[str, Mapping[str, float]], registry: Registry, now: datetime) -> list[Drift]:
    """Return the models whose applied rate differs from the registry's by more than rounding.

    If the registry's rate changed during the measured time, both of its rates are right.
    """
    found = []
    for model_id, rate in measure_rates(sums).items():
        burndown = registry.find_burndown(model_id, now.date())
        before = registry.find_burndown(model_id, (now - SETTLED - LOOK_BACK).date())
        uncertainty = TOKENS_TOLERANCE * sums[model_id][ESTIMATED] / sums[model_id][OUTPUT]
        if all(abs(rate - each.rate) > max(_compute_tolerance(each.rate), uncertainty) for each in (burndown, before)):
            found.append(Drift(model_id, burndown.rate, burndown.status, round(rate, 2)))
    return sorted(found)
