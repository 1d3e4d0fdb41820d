"""Remove the resources on an explicit list from a built template, because the emulator cannot create them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from localaws.errors import LocalAwsError

Template: TypeAlias = dict[str, Any]

_SUBSTITUTED = re.compile(r"\$\{([^!}][^}]*)\}")


class Omission(msgspec.Struct, frozen=True):
    """Resources to leave out: one logical id, or one type and only if it has a certain property."""

    target: str
    reason: str
    having: str | None = None
    nouns: tuple[str, str] = ("resource", "resources")
    instead: str = ""
    """Part of a sentence on where the local stack shows the same."""

    def covers(self, logical_id: str, resource: Mapping[str, Any]) -> bool:
        """Return True if the resource is to be left out."""
        if self.target == logical_id:
            return True
        if self.target != resource.get("Type"):
            return False
        return self.having is None or self.having in resource.get("Properties", {})


LEFT_OUT = (
    Omission(
        target="AWS::Logs::QueryDefinition",
        nouns=("saved query", "saved queries"),
        reason="MiniStack does not support saved queries and refuses the whole change set",
        instead="the tables of callers and failed calls show what the saved queries ask for",
    ),
    Omission(
        target="AWS::CloudWatch::Alarm",
        nouns=("alarm", "alarms"),
        having="Metrics",
        reason="MiniStack does not evaluate metric math or queries and refuses such alarms",
        instead="the gray line is the threshold of the quota alarms",
    ),
)


def describe_left_out(left_out: Mapping[str, str], omissions: tuple[Omission, ...] = LEFT_OUT) -> str:
    """Return what is left out, in numbers, and where the dashboard shows the same. Empty if nothing is left out."""
    counts = Counter(left_out.values())
    found = [each for each in omissions if counts[each.reason]]
    if not found:
        return ""
    named = " and ".join(f"{counts[each.reason]} {each.nouns[counts[each.reason] != 1]}" for each in found)
    instead = ", and ".join(each.instead for each in found if each.instead)
    return f"The emulator leaves out {named}." + (f" On the dashboard, {instead}." if instead else "")


def without(template: Template, omissions: tuple[Omission, ...] = LEFT_OUT) -> tuple[Template, dict[str, str]]:
    """Return `template` without the resources that `omissions` cover, and the reasons by logical id.

    Outputs and DependsOn that name such a resource are removed too. Any other reference to it is an error, because the
    template would have another meaning.
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
    """Yield every name that Ref, Fn::GetAtt, Fn::Sub or DependsOn mentions in a part of a template."""
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
    """Return the resource without DependsOn on resources that are left out."""
    if not isinstance(resource, dict) or "DependsOn" not in resource:
        return resource
    depends_on = [name for name in _as_list(resource["DependsOn"]) if name not in left_out]
    rest = {key: value for key, value in resource.items() if key != "DependsOn"}
    return {**rest, "DependsOn": depends_on} if depends_on else rest


def _as_list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
