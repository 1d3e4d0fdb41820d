"""The properties of widgets that this preview draws. The page names any other property.

Source: AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html, read 2026-11-23.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_MARK = {"value", "label", "color", "fill", "visible"}
_AXIS = {"min", "max", "label", "showUnits"}
_DRAWN: dict[str, set[str]] = {
    "text": {"markdown", "background"},
    "alarm": {"title", "alarms"},
    "log": {"title", "query", "region", "view"},
    "metric": {
        "title", "region", "view", "period", "stat", "stacked", "metrics", "yAxis", "annotations", "legend", "table",
        "setPeriodToTimeRange", "singleValueFullPrecision", "liveData",
    },
    "metric.legend": {"position"},
    "metric.yAxis": {"left", "right"},
    "metric.yAxis.left": _AXIS,
    "metric.yAxis.right": _AXIS,
    "metric.annotations": {"horizontal", "vertical"},
    "metric.annotations.horizontal": {*_MARK, "yAxis"},
    "metric.annotations.vertical": _MARK,
    "metric.table": {"summaryColumns"},
    "metric.metrics": {"id", "label", "stat", "period", "color", "visible", "yAxis", "expression"},
}  # fmt: skip
_WITHOUT_EFFECT: dict[str, list[Any]] = {
    "sparkline": [False], "trend": [False], "timezone": ["+0000", "UTC"], "queryLanguage": ["CWLI"],
    "showTimeSeriesData": [False], "layout": ["horizontal"], "stickySummary": [True, False],
}  # fmt: skip
"""Values that do not change the drawing."""


def not_drawn(kind: str, properties: Mapping[str, Any]) -> list[str]:
    """Return the paths of a widget's properties that are not drawn, in order and without duplicates."""
    return list(dict.fromkeys(path.partition(".")[2] for path in _unknown(kind, properties)))


def _unknown(path: str, node: object) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _unknown(path, each)
    elif isinstance(node, Mapping) and path in _DRAWN:
        for name, value in node.items():
            if name in _DRAWN[path] or value in _WITHOUT_EFFECT.get(name, []):
                yield from _unknown(f"{path}.{name}", value)
            else:
                yield f"{path}.{name}"
