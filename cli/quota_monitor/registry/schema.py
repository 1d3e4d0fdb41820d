"""JSON Schema of `registry/models/*.toml` for editors, generated from the types that read these files."""

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from bedrock_quota.registry import models
from bedrock_quota.registry.models import RegistryFile

DIALECT = "http://json-schema.org/draft-07/schema#"
"""Newest dialect that the TOML plug-ins of editors (Taplo, Even Better TOML) support."""


def render() -> str:
    """Return the JSON Schema of a registry file, the content of `registry/schema.json`."""
    (root,), definitions = msgspec.json.schema_components([RegistryFile], ref_template="#/definitions/{name}")
    said = dict(_field_docstrings())
    for name, definition in definitions.items():
        definition.get("properties", {}).update(
            {
                field: _described(_without_null(about), said.get((name, field)))
                for field, about in definition.get("properties", {}).items()
            }
        )
    definitions["Model"]["properties"]["quota_codes"]["propertyNames"] = {"$ref": "#/definitions/EndpointType"}
    schema = {"$schema": DIALECT, "title": "A provider's models", **root, "definitions": definitions}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _without_null(about: dict[str, Any]) -> dict[str, Any]:
    """Remove null, which TOML does not have, and defaults that only mean that a field is optional."""
    kept = {key: value for key, value in about.items() if key != "default" or value not in (None, [], {})}
    choices = [each for each in kept.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        kept |= choices[0]
    return kept


def _described(about: dict[str, Any], text: str | None) -> dict[str, Any]:
    return about if text is None else about | {"description": text}


def _field_docstrings() -> Iterator[tuple[tuple[str, str], str]]:
    """Yield class and field with the docstring below the field in the source."""
    for node in ast.parse(inspect.getsource(models)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, below in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                yield (node.name, field.target.id), inspect.cleandoc(below.value.value).replace("\n", " ")
