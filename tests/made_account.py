"""An account's metrics and logs in memory, made of metric lines, for what reads them by CloudWatch's API."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

Line = Mapping[str, Any]
Values = dict[int, list[float]]

STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": math.fsum,
    "SampleCount": len,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: math.fsum(values) / len(values),
}


class MadeAccount:
    """Stands for a session and all its clients: the few calls that the dashboard's preview makes."""

    region_name = "us-east-1"

    def __init__(self) -> None:
        self.metrics: dict[tuple[str, str, tuple[tuple[str, str], ...]], Values] = {}
        self.groups: dict[str, list[tuple[int, Line]]] = {}

    def put(self, namespace: str, name: str, second: int, *values: float, **dimensions: str) -> None:
        """Publish values of a metric."""
        key = (namespace, name, tuple(sorted(dimensions.items())))
        self.metrics.setdefault(key, {}).setdefault(second, []).extend(values)

    def write(self, group: str, second: int, written: Iterable[Line]) -> None:
        """Write lines to a log group; of those in the embedded metric format metrics are made."""
        for line in written:
            self.groups.setdefault(group, []).append((second * 1000, line))
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                (names,) = directive["Dimensions"]
                for metric in directive["Metrics"]:
                    value = line[metric["Name"]]
                    values = value if isinstance(value, list) else [value]
                    at = line["_aws"]["Timestamp"] // 1000
                    dimensions = {name: line[name] for name in names}
                    self.put(directive["Namespace"], metric["Name"], at - at % 60, *values, **dimensions)

    def client(self, _service: str, **_given: Any) -> "MadeAccount":
        return self

    def get_paginator(self, operation: str) -> Any:
        return _Pages(getattr(self, operation))

    def list_metrics(self, Namespace: str | None = None) -> Any:  # noqa: N803 - botocore's names
        return {
            "Metrics": [
                {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": each, "Value": value} for each, value in dimensions],
                }
                for namespace, name, dimensions in self.metrics
                if Namespace in {None, namespace}
            ]
        }

    def get_metric_data(self, *, MetricDataQueries: Any, StartTime: datetime, EndTime: datetime) -> Any:  # noqa: N803
        start, end = int(StartTime.timestamp()), int(EndTime.timestamp())
        results = []
        for query in MetricDataQueries:
            stat = query["MetricStat"]
            metric, period = stat["Metric"], stat["Period"]
            dimensions = tuple(sorted((each["Name"], each["Value"]) for each in metric["Dimensions"]))
            periods: Values = {}
            for second, values in self.metrics.get((metric["Namespace"], metric["MetricName"], dimensions), {}).items():
                if start <= second < end:
                    periods.setdefault(second - second % period, []).extend(values)
            results.append(
                {
                    "Id": query["Id"],
                    "Timestamps": [datetime.fromtimestamp(at, UTC) for at in periods],
                    "Values": [statistic(stat["Stat"], values) for values in periods.values()],
                }
            )
        return {"MetricDataResults": results}

    def filter_log_events(self, *, logGroupName: str, startTime: int, endTime: int) -> Any:  # noqa: N803
        found = [(at, line) for at, line in self.groups.get(logGroupName, []) if startTime <= at < endTime]
        return {"events": [{"timestamp": at, "message": msgspec.json.encode(line).decode()} for at, line in found]}


class _Pages:
    def __init__(self, operation: Callable[..., Any]) -> None:
        self._operation = operation

    def paginate(self, **given: Any) -> Any:
        return [self._operation(**given)]


def statistic(name: str, values: Sequence[float]) -> float:
    """A statistic of values; of percentiles the nearest rank."""
    if name in STATISTICS:
        return float(STATISTICS[name](values))
    rank = math.ceil(float(name.removeprefix("p")) / 100 * len(values))
    return float(sorted(values)[max(0, rank - 1)])
