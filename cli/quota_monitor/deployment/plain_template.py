"""Convert a SAM template to plain CloudFormation without macros.

StackSets with service-managed permissions accept no macros, such as AWS::Serverless and AWS::LanguageExtensions
(https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html, Capabilities, read
2026-11-24). The SAM CLI contains AWS's own translator for the first. The template uses one function of the second,
Fn::ToJsonString, which is replaced here by the text that it would return.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from localaws.template import Template

Value: TypeAlias = Any
"""A part of a template: JSON, with CloudFormation's functions as objects with one key."""

_TO_JSON = "Fn::ToJsonString"
_MACROS = ("Fn::ForEach", "Fn::Length", _TO_JSON)  # of AWS::LanguageExtensions
_REGION = "us-east-1"  # the translator needs one, but does not write it


class MacroLeftError(Exception):
    """The template uses a function of AWS::LanguageExtensions that cannot be expanded here."""


def expand_macros(template: Template) -> Template:
    """Return a packaged template without macros. The given one stays unchanged. Raises `MacroLeftError`."""
    given = {name: part for name, part in copy.deepcopy(template).items() if name != "Transform"}
    translated = _expand_json(_translate(given))
    for name in _functions(translated):
        if name.startswith(_MACROS):
            raise MacroLeftError(f"{name} needs a macro, which stack sets do not accept")
    return translated  # type: ignore[no-any-return]


class _NoManagedPolicies:
    """The template uses none, and reading them from IAM would need an account."""

    def load(self) -> Mapping[str, str]:
        return {}


def _translate(template: Template) -> Template:
    """Run SAM's own transform."""
    from samtranslator.translator.transform import transform  # type: ignore[import-untyped]  # noqa: PLC0415 - of the extra `local`

    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = before or _REGION
    try:
        return transform(template, {}, _NoManagedPolicies())  # type: ignore[no-any-return]
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]


def _expand_json(node: Value) -> Value:
    if isinstance(node, list):
        return [_expand_json(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == {_TO_JSON}:
        return _joined(_json(node[_TO_JSON]))
    return {key: _expand_json(value) for key, value in node.items()}


def _json(node: Value) -> Iterator[Value]:
    """Yield the parts of a JSON text: texts, and functions that return text."""
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
    elif function:  # CloudFormation also converts the result of a function to text
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
    """Return the content of a JSON string: literal text is escaped, functions are kept.

    Their results are not escaped: ids, Regions, and parameters whose patterns exclude quotes and backslashes.
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
    """Join adjacent texts, and return all parts as one value."""
    joined: list[Value] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined[0] if len(joined) == 1 else {"Fn::Join": ["", joined]}


def _function(node: Mapping[str, Value]) -> str:
    """Return the name of the function that this object is, or an empty text."""
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
