"""The dashboard of the template as CloudFormation would make it."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
Tree = dict[str, Any]

NAMESPACE = "Bedrock/Quotas"
MODEL, ENDPOINT = "chosen-model", "chosen-endpoint"
VALUES: dict[str, str] = {  # strings, whatever the parameter's type: so CloudFormation puts them into a JSON text
    "AWS::Region": "us-east-1",
    "AWS::Partition": "aws",
    "AWS::StackName": "stack",
    "MetricsNamespace": NAMESPACE,
    "CallerDetail": "role",
    "AlarmThresholdPercent": "80",
    "MonitoringAccount": "no",
    "InvocationLogSetup.LogGroupName": "/aws/bedrock/modelinvocations",
    "MetricProcessorFunction": "processor",
    "MetricProcessorLogGroup": "/aws/lambda/processor",
    "QuotaFetcherLogGroup": "/aws/lambda/fetcher",
    "QuotaDashboard": "stack-us-east-1",
    "AlarmTopic": "arn:topic",
}


def template() -> Tree:
    """The template as it stands."""
    found: Tree = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    return found


def dashboard(
    template: Tree, metadata_keys: str = "", caller_detail: str = "role", monitoring_account: str = "no"
) -> Tree:
    """The body as CloudFormation would make it, with these keys of requestMetadata and this detail of callers."""
    properties = template["Resources"]["QuotaDashboard"]["Properties"]
    values = {
        **VALUES,
        "RequestMetadataKeys": metadata_keys,
        "CallerDetail": caller_detail,
        "MonitoringAccount": monitoring_account,
    }
    text = Resolver(values, template)(properties["DashboardBody"])
    found: Tree = json.loads(text)
    return found


class Resolver:
    """CloudFormation's functions, as far as this template uses them in a dashboard or an alarm."""

    def __init__(self, values: Mapping[str, str], template: Tree) -> None:
        self._values, self._template = values, template

    def __call__(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self(each) for each in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function in FUNCTIONS:
                return FUNCTIONS[function](self, argument)
        return {key: self(value) for key, value in node.items()}

    def ref(self, name: str) -> str:
        return self._values[name]

    def sub(self, given: Any) -> str:
        text, own = (given, {}) if isinstance(given, str) else (given[0], self(given[1]))
        values = {**self._values, **own}
        return re.sub(r"\$\{(!?)([^{}]+)\}", lambda found: f"${{{found[2]}}}" if found[1] else values[found[2]], text)

    def one_of(self, given: Any) -> Any:
        condition, yes, no = given
        return self(yes if CONDITIONS[condition](self._values) else no)

    def in_map(self, given: Any) -> Any:
        name, first, second = self(given)
        return self._template["Mappings"][name][first][second]


CONDITIONS: dict[str, Callable[[Mapping[str, str]], bool]] = {
    "HasMetadataKeys": lambda values: bool(values["RequestMetadataKeys"]),
    "InMonitoringAccount": lambda values: values["MonitoringAccount"] == "yes",
    "NamesSessions": lambda values: values["CallerDetail"] == "session",
}
"""Whether a condition of the template holds."""

FUNCTIONS: dict[str, Callable[[Resolver, Any], Any]] = {
    "Ref": Resolver.ref,
    "Fn::Sub": Resolver.sub,
    "Fn::If": Resolver.one_of,
    "Fn::FindInMap": Resolver.in_map,
    "Fn::Join": lambda resolve, given: given[0].join(resolve(given[1])),
    "Fn::Select": lambda resolve, given: resolve(given[1])[given[0]],
    "Fn::Split": lambda resolve, given: resolve(given[1]).split(given[0]),
}
