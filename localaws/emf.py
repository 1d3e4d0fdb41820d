"""Turn a line in CloudWatch's embedded metric format into the metric data that CloudWatch would extract from it.

This is as strict as CloudWatch. CloudWatch drops an invalid line and only increases EMFParsingErrors or
EMFValidationErrors in AWS/Logs. Here such a line is rejected with a reason. Source of the format:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
Source of a metric's limits: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

MAX_LINE_BYTES = 1024 * 1024
MAX_METRICS = 100
MAX_VALUES = 100
MAX_DIMENSIONS = 30
MAX_DIMENSION_NAME = 250
MAX_DIMENSION_VALUE = 1024
MAX_NAME = 255
MAX_MAGNITUDE = 2**360
MAX_AGE_MS = 14 * 24 * 60 * 60 * 1000
MAX_AHEAD_MS = 2 * 60 * 60 * 1000
RESOLUTIONS = (1, 60)

_BYTES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes")
_BITS = ("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits")
_COUNTS = (*_BYTES, *_BITS, "Count")
UNITS = frozenset(
    ("Seconds", "Microseconds", "Milliseconds", "Percent", "None", *_COUNTS, *(f"{unit}/Second" for unit in _COUNTS))
)

_NAMESPACE = re.compile(r"(?!:)(?!AWS/)[0-9A-Za-z._/#: -]*[0-9A-Za-z._/#:-][0-9A-Za-z._/#: -]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Datum: TypeAlias = dict[str, Any]
"""A MetricDatum as PutMetricData takes it."""


class Rejected(Exception):  # noqa: N818 - an outcome, not an error of this program
    """CloudWatch would drop this line. `reason` is one of a few, and `detail` names the invalid part."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def metric_data(line: str, ingestion_ms: int) -> list[tuple[str, Datum]]:
    """Return namespace and datum of every metric in a log line. A line in another format has none."""
    if not line.lstrip().startswith("{") or '"_aws"' not in line:
        return []
    if len(line.encode(errors="surrogatepass")) > MAX_LINE_BYTES:
        raise Rejected("line over 1 MB")
    root = _root(line)
    if "_aws" not in root:
        return []
    metadata = _object(root["_aws"], "_aws")
    directives = _list(metadata.get("CloudWatchMetrics"), "CloudWatchMetrics")
    timestamp = _timestamp(metadata.get("Timestamp"), ingestion_ms)
    data: list[tuple[str, Datum]] = []
    for each in directives:
        directive = _object(each, "metric directive")
        namespace = _namespace(directive.get("Namespace"))
        dimension_sets = [_dimensions(root, names) for names in _dimension_sets(directive)]
        for metric in _metrics(directive):
            datum = {**_metric(root, metric), "Timestamp": timestamp}
            data.extend((namespace, {**datum, "Dimensions": dimensions}) for dimensions in dimension_sets)
    return data


def _root(line: str) -> Mapping[str, Any]:
    try:
        root = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Rejected("not JSON", str(error)) from error
    return _object(root, "line")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Rejected("not an object", what)
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Rejected("not an array", what)
    return value


def _timestamp(value: object, ingestion_ms: int) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Rejected("Timestamp is not an integer", repr(value)[:100])
    if value < ingestion_ms - MAX_AGE_MS:
        raise Rejected("Timestamp over 14 days old", str(value)[:100])
    if value > ingestion_ms + MAX_AHEAD_MS:
        raise Rejected("Timestamp over 2 hours ahead", str(value)[:100])
    return _EPOCH + timedelta(milliseconds=value)


def _namespace(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not _NAMESPACE.fullmatch(value):
        raise Rejected("invalid Namespace", repr(value)[:100])
    return value


def _dimension_sets(directive: Mapping[str, Any]) -> list[list[Any]]:
    sets = _list(directive.get("Dimensions"), "Dimensions")
    if not sets:
        raise Rejected("no dimension set", "without dimensions is [[]], not []")
    return [_list(names, "dimension set") for names in sets]


def _dimensions(root: Mapping[str, Any], names: list[Any]) -> list[dict[str, str]]:
    if len(names) > MAX_DIMENSIONS:
        raise Rejected(f"over {MAX_DIMENSIONS} dimensions in a set", str(len(names)))
    if len({str(name) for name in names}) != len(names):
        raise Rejected("dimension twice in a set", str(names)[:100])
    return [{"Name": _dimension_name(name), "Value": _dimension_value(root, name)} for name in names]


def _dimension_name(name: object) -> str:
    if not isinstance(name, str) or not _is_label(name, MAX_DIMENSION_NAME) or name.startswith(":"):
        raise Rejected("invalid dimension name", repr(name)[:100])
    return name


def _dimension_value(root: Mapping[str, Any], name: str) -> str:
    if name not in root:
        raise Rejected("dimension without a value at the root", name)
    value = root[name]
    if not isinstance(value, str) or not _is_label(value, MAX_DIMENSION_VALUE):
        raise Rejected("invalid dimension value", name)
    return value


def _is_label(text: str, longest: int) -> bool:
    """Return True for printable ASCII that is not only blanks."""
    return 1 <= len(text) <= longest and text.isascii() and text.isprintable() and not text.isspace()


def _metrics(directive: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    metrics = _list(directive.get("Metrics"), "Metrics")
    if len(metrics) > MAX_METRICS:
        raise Rejected(f"over {MAX_METRICS} metrics in a directive", str(len(metrics)))
    return [_object(metric, "metric definition") for metric in metrics]


def _metric(root: Mapping[str, Any], definition: Mapping[str, Any]) -> Datum:
    name = definition.get("Name")
    if not isinstance(name, str) or not _is_label(name, MAX_NAME):
        raise Rejected("invalid metric name", repr(name)[:100])
    unit = definition.get("Unit", "None")
    if not isinstance(unit, str) or unit not in UNITS:
        raise Rejected("invalid Unit", f"{name}: {unit!r}"[:100])
    resolution = definition.get("StorageResolution", max(RESOLUTIONS))
    if type(resolution) is not int or resolution not in RESOLUTIONS:
        raise Rejected("invalid StorageResolution", f"{name}: {resolution!r}"[:100])
    if name not in root:
        raise Rejected("metric without a value at the root", name)
    counted = Counter(_values(name, root[name]))
    return {
        "MetricName": name,
        "Unit": unit,
        "StorageResolution": resolution,
        "Values": list(counted),
        "Counts": [float(count) for count in counted.values()],
    }


def _values(name: str, target: object) -> list[float]:
    values: list[Any] = target if isinstance(target, list) else [target]
    if not values:
        raise Rejected("metric with no values", name)
    if len(values) > MAX_VALUES:
        raise Rejected(f"over {MAX_VALUES} values in a metric", f"{name}: {len(values)}")
    for value in values:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Rejected("value is not a number", name)
        if abs(value) > MAX_MAGNITUDE:
            raise Rejected("value out of range", name)
    return [float(value) for value in values]
