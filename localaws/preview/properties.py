"""The properties of widgets that this preview draws; any other is named on the page.

Read: AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html (2026-11-23).
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
"""Values of properties that ask for what is drawn anyway."""


def not_drawn(kind: str, properties: Mapping[str, Any]) -> list[str]:
    """Return the properties of a widget that are not drawn, each with its path, once and in order."""
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
