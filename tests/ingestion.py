"""The template as each of the two ways of ingestion makes it."""

from typing import Any

from samcli.yamlhelper import yaml_parse

CONDITION = "ThroughStream"
WAYS = ("direct", "kinesis")
_NO_VALUE = {"Ref": "AWS::NoValue"}
_GONE = object()


def template_of(source: str, way: str) -> dict[str, Any]:
    """Parse a template, and take every choice that depends on the way of ingestion; other conditions stay."""
    parsed: dict[str, Any] = yaml_parse(source)
    assert parsed["Parameters"]["Ingestion"]["AllowedValues"] == list(WAYS)
    assert parsed["Conditions"].pop(CONDITION) == {"Fn::Equals": [{"Ref": "Ingestion"}, "kinesis"]}
    through_stream = way == "kinesis"
    for part in ("Resources", "Outputs"):
        parsed[part] = {
            name: {key: value for key, value in each.items() if (key, value) != ("Condition", CONDITION)}
            for name, each in parsed[part].items()
            if through_stream or each.get("Condition") != CONDITION
        }
    taken: dict[str, Any] = _taken(parsed, through_stream)
    return taken


def _taken(node: Any, through_stream: bool) -> Any:
    if isinstance(node, list):
        return [taken for each in node if (taken := _taken(each, through_stream)) is not _GONE]
    if not isinstance(node, dict):
        return node
    if node == _NO_VALUE:
        return _GONE
    if node.get("Fn::If", [None])[0] == CONDITION:
        _, yes, no = node["Fn::If"]
        return _taken(yes if through_stream else no, through_stream)
    if "Fn::If" in node:
        condition, *choices = node["Fn::If"]
        return {
            "Fn::If": [condition, *(each if each == _NO_VALUE else _taken(each, through_stream) for each in choices)]
        }
    return {key: taken for key, value in node.items() if (taken := _taken(value, through_stream)) is not _GONE}
