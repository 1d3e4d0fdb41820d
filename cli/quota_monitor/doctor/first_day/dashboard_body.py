"""The dashboard's body: compare the deployed one with that of the stack's template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from quota_monitor.doctor.first_day.answers import safe_name

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


def find_body(template: Mapping[str, Any]) -> str | None:
    """Return the text of the dashboard's body in a template, with its placeholders. Return None if there is none."""
    resource = template.get("Resources", {}).get("QuotaDashboard", {})
    body = resource.get("Properties", {}).get("DashboardBody")
    text = body.get("Fn::Sub") if isinstance(body, dict) else None
    if isinstance(text, list):
        text = text[0] if text else None
    return text if isinstance(text, str) else None


def compare_bodies(template: str, deployed: str, known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the places in which two bodies differ, as paths such as `widgets/3/properties/title`.

    `known` has values of placeholders by name. A placeholder without a value matches any text. Raises
    `msgspec.DecodeError` if one of the two is not JSON.
    """
    return tuple(_differences(msgspec.json.decode(template), msgspec.json.decode(deployed), known, "body"))


def _differences(expected: Any, found: Any, known: Mapping[str, str], path: str) -> Iterator[str]:
    match expected, found:
        case dict(), dict():
            for key in sorted(expected.keys() | found.keys()):
                below = f"{path}/{safe_name(key)}"
                if key in expected and key in found:
                    yield from _differences(expected[key], found[key], known, below)
                else:
                    yield below
        case list(), list():
            if len(expected) != len(found):
                yield f"{path} (length)"
            for index, (one, other) in enumerate(zip(expected, found, strict=False)):
                yield from _differences(one, other, known, f"{path}/{index}")
        case str(), str():
            if not _pattern(expected, known).fullmatch(found):
                yield path
        case _:
            if type(expected) is not type(found) or expected != found:
                yield path


def _pattern(text: str, known: Mapping[str, str]) -> re.Pattern[str]:
    """Return the pattern of a text after CloudFormation has filled its placeholders. `${!x}` stands for `${x}`."""
    pieces = _PLACEHOLDER.split(text)
    for index in range(1, len(pieces), 2):
        name = pieces[index]
        pieces[index] = (
            re.escape(f"${{{name[1:]}}}" if name.startswith("!") else known[name])
            if (name.startswith("!") or name in known)
            else ".*"
        )
    pieces[::2] = map(re.escape, pieces[::2])
    return re.compile("".join(pieces), re.DOTALL)
