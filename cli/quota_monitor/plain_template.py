"""A SAM template as plain CloudFormation, with no macro left for CloudFormation to run.

StackSets with service-managed permissions take no macros, AWS::Serverless and AWS::LanguageExtensions among them
(https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html, Capabilities, read
2026-11-24). The SAM CLI brings AWS's own translator of the first; of the second the template uses one function,
Fn::ToJsonString, which is written out here as the text that it would become.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from samtranslator.translator.transform import transform  # type: ignore[import-untyped]

from localaws.template import Template

Value: TypeAlias = Any
"""A part of a template: JSON, with CloudFormation's functions as objects of one key."""

_TO_JSON = "Fn::ToJsonString"
_MACROS = ("Fn::ForEach", "Fn::Length", _TO_JSON)  # of AWS::LanguageExtensions
_REGION = "us-east-1"  # the translator wants one; what it writes names none


class MacroLeftError(Exception):
    """A function of AWS::LanguageExtensions that is not written out here."""


def plain(template: Template) -> Template:
    """Return a packaged template without macros; the given one stays as it is. Raises `MacroLeftError`."""
    given = {name: part for name, part in copy.deepcopy(template).items() if name != "Transform"}
    translated = _written_out(_translated(given))
    for name in _functions(translated):
        if name.startswith(_MACROS):
            raise MacroLeftError(f"{name} needs a macro, which a stack set may not have")
    return translated  # type: ignore[no-any-return]


class _NoManagedPolicies:
    """The template names none: asking IAM for them would need an account."""

    def load(self) -> Mapping[str, str]:
        return {}


def _translated(template: Template) -> Template:
    """SAM's own transform."""
    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = before or _REGION
    try:
        return transform(template, {}, _NoManagedPolicies())  # type: ignore[no-any-return]
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]


def _written_out(node: Value) -> Value:
    if isinstance(node, list):
        return [_written_out(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == {_TO_JSON}:
        return _joined(_json(node[_TO_JSON]))
    return {key: _written_out(value) for key, value in node.items()}


def _json(node: Value) -> Iterator[Value]:
    """The parts of JSON text: texts, and functions that become text."""
    if isinstance(node, list):
        yield "["
        for number, each in enumerate(node):
            yield "," if number else ""
            yield from _json(each)
        yield "]"
    elif not isinstance(node, dict):
        yield json.dumps(node, ensure_ascii=False)
    elif (function := _function(node)) == "Fn::If":
        condition, *branches = node["Fn::If"]
        yield {"Fn::If": [condition, *(_joined(_json(branch)) for branch in branches)]}
    elif function:  # CloudFormation, too, makes text of whatever a function gives
        yield '"'
        yield _inside(node)
        yield '"'
    else:
        yield "{"
        for number, (key, value) in enumerate(node.items()):
            yield f"{',' if number else ''}{json.dumps(key)}:"
            yield from _json(value)
        yield "}"


def _inside(node: Value) -> Value:
    """What stands between the quotes: literal text escaped, functions kept.

    What they give is not escaped: ids, Regions, and parameters whose patterns have neither quotes nor backslashes.
    """
    if isinstance(node, str):
        return json.dumps(node, ensure_ascii=False)[1:-1]
    match node:
        case {"Fn::Sub": [text, own]}:
            return {"Fn::Sub": [_inside(text), {name: _inside(value) for name, value in own.items()}]}
        case {"Fn::Sub": text}:
            return {"Fn::Sub": _inside(text)}
        case {"Fn::If": [condition, *branches]}:
            return {"Fn::If": [condition, *map(_inside, branches)]}
        case {"Fn::Join": [separator, list(texts)]}:
            return {"Fn::Join": [_inside(separator), [_inside(text) for text in texts]]}
    return node


def _joined(parts: Iterator[Value]) -> Value:
    """Texts that stand side by side as one, and all of it as one value."""
    joined: list[Value] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined[0] if len(joined) == 1 else {"Fn::Join": ["", joined]}


def _function(node: Mapping[str, Value]) -> str:
    """The function that this object is; empty if it is none."""
    (name,) = node if len(node) == 1 else ("",)
    return name if name == "Ref" or name.startswith("Fn::") else ""


def _functions(node: Value) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _functions(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key.startswith("Fn::"):
                yield key
            yield from _functions(value)
