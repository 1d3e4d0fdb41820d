"""The dashboard's body: rendered from dashboard.yaml, and written into template.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from dashboard.query_links import list_addresses
from quota_monitor.template import parse_template

SOURCE = Path(__file__).with_name("dashboard.yaml")
TEMPLATE = Path(__file__).parents[1] / "template.yaml"

_FIRST = "        # Generated from dashboard/dashboard.yaml by `make dashboard`. Do not edit this part."
_LAST = "        # End of the generated part."
_BETWEEN_MARKS = re.compile(f"(?<={re.escape(_FIRST)}\n).*?(?={re.escape(_LAST)}\n)", re.DOTALL)
_SHARED_TEXT = re.compile(r"<<([\w-]+)>>")
_LISTS = ("variables", "widgets")
"""The members of a body whose parts get a line each."""


class MarksMissingError(Exception):
    """The template has no place for the body."""


def render(source: str, addresses: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the body as JSON, one variable or widget per line. `addresses` are those of saved queries by logical id.

    `${Name}` stays for Fn::Sub. It occurs inside JSON strings only, so the text is JSON before the substitution too.
    """
    parsed = yaml.safe_load(source)
    body = _with_shared_texts(parsed["dashboard"], {**parsed["shared"], **addresses})
    members = [f"{_json(name)}:{_lines(value) if name in _LISTS else _json(value)}" for name, value in body.items()]
    return "{" + ",".join(members) + "}"


def render_for(template: str) -> str:
    """Return the body from dashboard.yaml, with links to the saved queries of this template."""
    return render(SOURCE.read_text(encoding="utf-8"), list_addresses(parse_template(template)))


def write_into(template: str, body: str) -> str:
    """Return the template with this body between its two marks."""
    block = "".join(f"{line}\n" for line in ("        - |-", *(f"          {line}" for line in body.split("\n"))))
    written, places = _BETWEEN_MARKS.subn(lambda _: block, template)
    if places != 1:
        raise MarksMissingError(f"the template must have these two lines once:\n{_FIRST}\n{_LAST}")
    return written


def _with_shared_texts(node: Any, shared: Mapping[str, Any]) -> Any:
    """Return a part of the source with the shared text for every `<<name>>`."""
    if isinstance(node, str):
        return _SHARED_TEXT.sub(lambda found: str(shared[found[1]]), node)
    if isinstance(node, list):
        return [_with_shared_texts(each, shared) for each in node]
    if isinstance(node, dict):
        return {key: _with_shared_texts(value, shared) for key, value in node.items()}
    return node


def _lines(parts: list[Any]) -> str:
    return "[\n" + ",\n".join(map(_json, parts)) + "\n]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
