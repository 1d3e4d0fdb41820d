"""Convert a SAM template to plain CloudFormation without macros.

StackSets with service-managed permissions accept no macros, such as AWS::Serverless
(https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html, Capabilities, read
2026-11-24). The SAM CLI contains AWS's own translator for it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from localaws.template import Template

Value: TypeAlias = Any
"""A part of a template: JSON, with CloudFormation's functions as objects with one key."""

_MACROS = ("Fn::ForEach", "Fn::Length", "Fn::ToJsonString", "Fn::Transform")
_REGION = "us-east-1"  # the translator needs one, but does not write it


class MacroLeftError(Exception):
    """The template uses a function that only a macro can evaluate."""


def expand_macros(template: Template) -> Template:
    """Return a packaged template without macros. The given one stays unchanged. Raises `MacroLeftError`."""
    given = {name: part for name, part in copy.deepcopy(template).items() if name != "Transform"}
    translated = _translate(given)
    for name in _functions(translated):
        if name.startswith(_MACROS):
            raise MacroLeftError(f"{name} needs a macro, which stack sets do not accept")
    return translated


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


def _functions(node: Value) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _functions(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key.startswith("Fn::"):
                yield key
            yield from _functions(value)
