"""Addresses that open the stack's saved queries in the CloudWatch console.

AWS documents no such address. This is the form that the console itself puts into the browser's address bar, and that
public tools build, for example Speedrun and cloudwatch-insights-url-builder (GitHub, read 2026-11-29): a JSURL text, in
which `*2f` is a slash, behind `queryDetail`. The console decodes the rest twice, and has `$` for `%`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SECONDS = 3 * 3600
"""Time range of an opened query. It is that of the dashboard."""

SUFFIX = "InLink"
"""Ends the names of what Fn::Sub puts into an address. `${CallerFieldsInLink}` is the encoded `${CallerFields}`."""

_CONSOLE = (
    "https://${AWS::Region}.${Console}/cloudwatch/home?region=${AWS::Region}#logsV2:logs-insights$3FqueryDetail$3D"
)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SPECIAL = re.compile(r"[^\w.-]", re.ASCII)
_SYNTAX = re.compile(r"[~()']")


def list_addresses(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the address of each saved query by its logical id, as a text for Fn::Sub."""
    return {
        logical_id: make_address(resource["Properties"])
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Logs::QueryDefinition"
    }


def make_address(saved: Mapping[str, Any]) -> str:
    """Return the address of a saved query, from the properties of its resource."""
    text, _ = saved["QueryString"]["Fn::Sub"]
    (log_group,) = saved["LogGroupNames"]
    before = _escape(f"~(end~0~start~-{SECONDS}~timeType~'RELATIVE~tz~'UTC~unit~'seconds~editorString~'")
    source = _escape("~source~(~'")
    return f"{_CONSOLE}{before}{_encode(text)}{source}${{{log_group['Ref']}{SUFFIX}}}{_escape('))')}"


def _encode(query: str) -> str:
    """Return a query as a value of JSURL. `${Name}` stays for Fn::Sub, as `${NameInLink}`."""
    pieces = _VARIABLE.split(query)  # text and names by turns
    pieces[::2] = (_SPECIAL.sub(lambda found: f"*{ord(found[0]):02x}", piece) for piece in pieces[::2])
    pieces[1::2] = (f"${{{name}{SUFFIX}}}" for name in pieces[1::2])
    return "".join(pieces)


def _escape(syntax: str) -> str:
    """Return JSURL's syntax as the console writes it, so that no Markdown can take a bracket for its own."""
    return _SYNTAX.sub(lambda found: f"$25{ord(found[0]):02X}", syntax)
