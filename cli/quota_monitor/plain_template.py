"""A SAM template as plain CloudFormation, with no macro for CloudFormation to run.

StackSets with service-managed permissions take no macros, AWS::Serverless among them
(https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html, Capabilities, read
2026-11-24). The SAM CLI contains AWS's own translator of it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from samtranslator.translator.transform import transform  # type: ignore[import-untyped]

from localaws.template import Template

Value: TypeAlias = Any
"""A part of a template: JSON, with CloudFormation's functions as objects of one key."""

_MACROS = ("Fn::ForEach", "Fn::Length", "Fn::ToJsonString", "Fn::Transform")
_REGION = "us-east-1"  # the translator wants one; what it writes names none


class MacroLeftError(Exception):
    """The template has a function that only a macro evaluates."""


def plain(template: Template) -> Template:
    """Return a packaged template without macros; the given one stays as it is. Raises `MacroLeftError`."""
    given = {name: part for name, part in copy.deepcopy(template).items() if name != "Transform"}
    translated = _translated(given)
    for name in _functions(translated):
        if name.startswith(_MACROS):
            raise MacroLeftError(f"{name} needs a macro, which a stack set may not have")
    return translated


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


def _functions(node: Value) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _functions(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key.startswith("Fn::"):
                yield key
            yield from _functions(value)
