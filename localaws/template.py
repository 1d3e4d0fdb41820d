"""A built template as the emulator can take it: the same, but for what an explicit list leaves out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from localaws.errors import LocalAwsError

Template: TypeAlias = dict[str, Any]

_SUBSTITUTED = re.compile(r"\$\{([^!}][^}]*)\}")


class Omission(msgspec.Struct, frozen=True):
    """Resources to leave out: by logical id or by type and, for a type, only those with a certain property."""

    of: str
    reason: str
    having: str | None = None

    def covers(self, logical_id: str, resource: Mapping[str, Any]) -> bool:
        """Whether this is such a resource."""
        if self.of == logical_id:
            return True
        if self.of != resource.get("Type"):
            return False
        return self.having is None or self.having in resource.get("Properties", {})


LEFT_OUT = (
    Omission(
        of="AWS::Logs::QueryDefinition",
        reason="MiniStack knows no saved queries and refuses the whole change set",
    ),
    Omission(
        of="AWS::CloudWatch::Alarm",
        having="Metrics",
        reason="MiniStack evaluates no metric math or query and refuses alarms on them",
    ),
)


def without(template: Template, omissions: tuple[Omission, ...] = LEFT_OUT) -> tuple[Template, dict[str, str]]:
    """`template` without what `omissions` cover, and the reason by logical id of each resource left out.

    Outputs and DependsOn that name such a resource go with it. Anything else that does is an error: the template
    would not mean the same any more.
    """
    given = template.get("Resources", {})
    left_out = {
        name: reason for name, resource in given.items() if (reason := _reason(name, resource, omissions)) is not None
    }
    resources = {name: _independent(resource, left_out) for name, resource in given.items() if name not in left_out}
    outputs = {
        name: output
        for name, output in template.get("Outputs", {}).items()
        if left_out.keys().isdisjoint(references(output))
    }
    for name, resource in resources.items():
        for reference in references(resource):
            if reference in left_out:
                raise LocalAwsError(
                    f"{name} refers to {reference}, which is left out on this machine: {left_out[reference]}"
                )
    kept = {**template, "Resources": resources, "Outputs": outputs}
    return (kept if outputs else {name: part for name, part in kept.items() if name != "Outputs"}), left_out


def references(part: object) -> Iterator[str]:
    """Every name that Ref, Fn::GetAtt, Fn::Sub or DependsOn mentions in a part of a template."""
    if isinstance(part, list):
        for item in part:
            yield from references(item)
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from _named(key, value)
            yield from references(value)


def _named(key: str, value: object) -> Iterator[str]:
    if key == "Ref" and isinstance(value, str):
        yield value
    elif key == "Fn::GetAtt":
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str):
            yield first.split(".")[0]
    elif key == "Fn::Sub":
        text = value[0] if isinstance(value, list) and value else value
        if isinstance(text, str):
            yield from (name.split(".")[0] for name in _SUBSTITUTED.findall(text))
    elif key == "DependsOn":
        yield from _as_list(value)


def _reason(name: str, resource: Mapping[str, Any], omissions: tuple[Omission, ...]) -> str | None:
    """Return the reason to leave a resource out, if there is one."""
    return next((omission.reason for omission in omissions if omission.covers(name, resource)), None)


def _independent(resource: Any, left_out: Mapping[str, str]) -> Any:
    """The resource with no DependsOn on what is left out."""
    if not isinstance(resource, dict) or "DependsOn" not in resource:
        return resource
    depends_on = [name for name in _as_list(resource["DependsOn"]) if name not in left_out]
    rest = {key: value for key, value in resource.items() if key != "DependsOn"}
    return {**rest, "DependsOn": depends_on} if depends_on else rest


def _as_list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
