"""The CloudFormation template as data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BARE = {"Ref", "Condition"}
"""Short forms whose long form has no `Fn::` in front."""


def read_template(path: Path) -> dict[str, Any]:
    """Read a template, with the short forms of CloudFormation's functions (`!Sub`) in their long form."""
    return parse_template(path.read_text(encoding="utf-8"))


def parse_template(text: str) -> dict[str, Any]:
    """Parse the text of a template, YAML or JSON, like `read_template`. Raises `yaml.YAMLError` if it is neither."""
    found: dict[str, Any] = yaml.load(text, Loader=_TemplateLoader)  # noqa: S506 - a safe one
    return found


class _TemplateLoader(_Loader):  # type: ignore[misc]  # the C loader where PyYAML has one
    """PyYAML's safe loader, which also reads short forms and leaves dates as text."""


def _read_function(loader: Any, name: str, node: yaml.Node) -> dict[str, Any]:
    read: Callable[..., Any] = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: loader.construct_sequence,
        yaml.MappingNode: loader.construct_mapping,
    }[type(node)]
    value = read(node) if isinstance(node, yaml.ScalarNode) else read(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in _BARE else f"Fn::{name}": value}


_TemplateLoader.add_multi_constructor("!", _read_function)
_TemplateLoader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
