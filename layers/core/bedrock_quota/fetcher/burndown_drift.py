"""Burndown drift: the rate AWS really applies, worked out from its own metrics, where it is not the registry's.

`EstimatedTPMQuotaUsage` is what AWS counts as consumed, so (estimated - input - cache write) / output is the rate
(https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-runtime-metrics.html, read 2026-11-23).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.model_ids import Reference
from bedrock_quota.registry.models import RateStatus, Registry

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

NAMESPACE = "AWS/Bedrock"
LOOK_BACK = timedelta(hours=3)
"""A little more than the time between two fetches."""

SETTLED = timedelta(minutes=10)
"""Before the newest metrics: their minutes may not be complete, each metric's in its own way."""

MIN_OUTPUT_TOKENS = 1_000
"""With less output, a call that falls between two metrics would already look like another rate."""

TOLERANCE = 0.05
"""Difference of rates that is rounding: this much, and this part of the rate."""

TOKENS_TOLERANCE = 0.01
"""Part of all tokens that may be counted in one metric and not in another."""

ESTIMATED, INPUT, OUTPUT = "EstimatedTPMQuotaUsage", "InputTokenCount", "OutputTokenCount"
CACHE_WRITE, OLD_CACHE_WRITE = "CacheWriteInputTokenCount", "CacheWriteInputTokens"
"""Older pages name the metric without `Count`; where there are both, they are one number."""

_METRICS = (ESTIMATED, INPUT, OUTPUT, CACHE_WRITE, OLD_CACHE_WRITE)
_MAX_QUERIES = 500
"""Of one GetMetricData call (API reference, read 2026-11-23)."""


def subject(model_id: str) -> str:
    """Return the beginning of a sentence about a model's rate."""
    return f"burndown rate of {model_id}:"


class Drift(msgspec.Struct, frozen=True, order=True):
    """A model whose applied rate is not the registry's."""

    model_id: str
    registry_rate: float
    registry_status: RateStatus
    applied_rate: float

    def __str__(self) -> str:
        """Say it as a person would: as a whole number if it may be one, for it must not differ every time."""
        whole = round(self.applied_rate)
        applied = whole if abs(self.applied_rate - whole) <= _rounding(whole) else round(self.applied_rate, 1)
        return (
            f"{subject(self.model_id)} AWS applies {applied:g}, "
            f"the registry has {self.registry_rate:g} ({self.registry_status})"
        )


def _rounding(rate: float) -> float:
    return TOLERANCE * max(1, rate)


def read_token_sums(client: CloudWatchClient, providers: Iterable[str], now: datetime) -> dict[str, dict[str, float]]:
    """Return the sums of AWS's token metrics over the last hours, by foundation model id and metric.

    The dimension `ModelId` is what callers passed, so several series may be one model's. Raises what botocore raises.
    """
    known = frozenset(providers)
    by_model: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    names = list(_model_ids_in_use(client))
    per_call = _MAX_QUERIES // len(_METRICS)
    end = now.replace(second=0, microsecond=0) - SETTLED
    for start in range(0, len(names), per_call):
        for name, sums in _sums(client, names[start : start + per_call], end).items():
            found = model_ids.parse_model_id(name, known)
            if isinstance(found, Reference):
                sums[CACHE_WRITE] = max(sums[CACHE_WRITE], sums.pop(OLD_CACHE_WRITE))
                for metric, value in sums.items():
                    by_model[found.model_id][metric] += value
    return {model_id: dict(sums) for model_id, sums in by_model.items()}


def _model_ids_in_use(client: CloudWatchClient) -> Iterator[str]:
    pages = client.get_paginator("list_metrics").paginate(
        Namespace=NAMESPACE, MetricName=ESTIMATED, RecentlyActive="PT3H"
    )
    for page in pages:
        for metric in page["Metrics"]:
            if [dimension["Name"] for dimension in metric["Dimensions"]] == ["ModelId"]:
                yield metric["Dimensions"][0]["Value"]


def _sums(client: CloudWatchClient, names: list[str], end: datetime) -> dict[str, dict[str, float]]:
    """Return all sums of each series of these names, 0 where there is none."""
    wanted = {f"m{number}": pair for number, pair in enumerate((name, metric) for name in names for metric in _METRICS)}
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": query_id,
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": metric,
                    "Dimensions": [{"Name": "ModelId", "Value": name}],
                },
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for query_id, (name, metric) in wanted.items()
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
    """Return the rate that AWS applied, by model id, for the models that were used enough to tell."""
    found = {}
    for model_id, metrics in sums.items():
        output = metrics.get(OUTPUT, 0)
        if output >= MIN_OUTPUT_TOKENS and metrics.get(ESTIMATED):
            new_input = metrics.get(INPUT, 0) + metrics.get(CACHE_WRITE, 0)
            found[model_id] = (metrics[ESTIMATED] - new_input) / output
    return found


def detect_drift(sums: Mapping[str, Mapping[str, float]], registry: Registry, now: datetime) -> list[Drift]:
    """Return the models whose applied rate differs from the registry's by more than a rounding.

    Where the registry's changed in the time that was measured, both of its rates are right.
    """
    found = []
    for model_id, rate in measure_rates(sums).items():
        burndown = registry.find_burndown(model_id, now.date())
        before = registry.find_burndown(model_id, (now - SETTLED - LOOK_BACK).date())
        unsure = TOKENS_TOLERANCE * sums[model_id][ESTIMATED] / sums[model_id][OUTPUT]
        if all(abs(rate - each.rate) > max(_rounding(each.rate), unsure) for each in (burndown, before)):
            found.append(Drift(model_id, burndown.rate, burndown.status, round(rate, 2)))
    return sorted(found)
