"""Read the variables of a dashboard's body, and apply chosen values to the body.

Source: AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html, read 2026-11-23. A `pattern`
variable replaces every match of its regular expression in the body. A `property` variable sets a property or dimension
of every widget.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from localaws.preview import metric_search
from localaws.preview.errors import PreviewError
from localaws.preview.series import Metric

FIRST = "__FIRST"
"""A default that stands for the first available value."""


class Variable(msgspec.Struct, frozen=True):
    """One variable: its options with labels, and its default."""

    id: str
    label: str
    options: tuple[tuple[str, str], ...]
    default: str
    typed: bool
    """True if the user types a value instead of choosing one."""


Find = Callable[[metric_search.Search], Iterable[Metric]]
"""Returns the metrics that a search finds."""


def variables(body: Mapping[str, Any], find: Find, regions: Sequence[str] = ()) -> list[Variable]:
    """Return a body's variables, visible or not. A variable with a search has the values that exist now.

    A Region to type becomes a choice of these `regions`, because no other has data. CloudWatch has a text field.
    """
    return [_variable(each, find, regions) for each in body.get("variables", [])]


def _variable(given: Mapping[str, Any], find: Find, regions: Sequence[str]) -> Variable:
    options = [(each["value"], each.get("label", each["value"])) for each in given.get("values", [])]
    typed = given.get("inputType") == "input"
    if typed and regions and given.get("property") == "region":
        typed, options = False, [(region, region) for region in regions]
    if "search" in given:
        found = find(metric_search.parse(given["search"]))
        values = {dict(metric.dimensions).get(given["populateFrom"], "") for metric in found}
        options += [(value, value) for value in sorted(values - {""})]
    default = given.get("defaultValue", "")
    if default == FIRST:
        default = options[0][0] if options else ""
    return Variable(given["id"], given.get("label", given["id"]), tuple(options), default, typed)


def not_drawn(body: Mapping[str, Any]) -> list[str]:
    """Return the settings of the whole body that this preview does not support."""
    if body.get("periodOverride", "auto") == "inherit":
        return []
    return ["periodOverride: auto, with which long time ranges have longer periods"]


def chosen(text: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a body with these values for its variables, by id. A variable without a value stays unchanged."""
    body: dict[str, Any] = json.loads(text)
    for variable in body.get("variables", []):
        value = values.get(variable["id"])
        if not value:
            continue
        if variable["type"] == "pattern":
            body["widgets"] = _replaced(body["widgets"], re.compile(variable["pattern"]), value)
        elif variable["type"] == "property":
            body["widgets"] = _set(body["widgets"], variable["property"], value)
        else:
            raise PreviewError(f"a variable is a pattern or a property, not {variable['type']!r}")
    return body


def _replaced(node: Any, pattern: re.Pattern[str], value: str) -> Any:
    if isinstance(node, str):
        return pattern.sub(lambda _: value, node)
    if isinstance(node, list):
        return [_replaced(each, pattern, value) for each in node]
    if isinstance(node, dict):
        return {key: _replaced(inner, pattern, value) for key, inner in node.items()}
    return node


def _set(node: Any, name: str, value: str) -> Any:
    """Set a property wherever it is. In rows of metrics, set a dimension, whose value follows its name."""
    if isinstance(node, dict):
        return {key: value if key == name else _set(inner, name, value) for key, inner in node.items()}
    if isinstance(node, list):
        found = [_set(each, name, value) for each in node]
        for index in range(2, len(found) - 1, 2):
            if found[index] == name and isinstance(found[index + 1], str):
                found[index + 1] = value
        return found
    return node
