"""The dashboard's body, which no linter reads: its layout, and that it shows metrics there are."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from records import MINUTE, NOW, SONNET, Process, ReadLine, converse
from samcli.yamlhelper import yaml_parse

from bedrock_quota import lines
from bedrock_quota.buckets import Bucket, EndpointType
from bedrock_quota.quotas import BucketQuota

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
Tree = dict[str, Any]
NAMESPACE = {"Ref": "MetricsNamespace"}


@pytest.fixture(scope="module")
def template() -> Tree:
    found: Tree = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def body(template: Tree) -> Tree:
    found: Tree = template["Resources"]["QuotaDashboard"]["Properties"]["DashboardBody"]["Fn::ToJsonString"]
    return found


def graphs(body: Tree) -> list[Tree]:
    return [widget["properties"] for widget in body["widgets"] if widget["type"] == "metric"]


def rows(body: Tree) -> Iterator[list[Any]]:
    for graph in graphs(body):
        yield from graph["metrics"]


@pytest.fixture
def published(process: Process, read_line: ReadLine) -> set[tuple[str, tuple[str, ...]]]:
    """Name and dimensions of every metric that the functions can publish."""
    bucket = Bucket(SONNET, EndpointType.REGIONAL)
    quotas = {bucket: BucketQuota(tokens_per_minute=1_000, requests_per_minute=10)}
    outcome = process([converse()], quotas=quotas)
    written = [*outcome.lines, *lines.of_quotas("Bedrock/Quotas", MINUTE, quotas)]
    return {
        (metric["Name"], tuple(dimensions))
        for line in map(read_line, written)
        for directive in line["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


def test_widgets_stay_inside_24_columns_and_do_not_overlap(body: Tree) -> None:
    def cells(widget: Tree) -> set[tuple[int, int]]:
        return {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }

    assert len(body["widgets"]) > 3
    for widget in body["widgets"]:
        assert widget["x"] >= 0
        assert widget["width"] >= 1
        assert widget["height"] >= 1
        assert widget["x"] + widget["width"] <= 24
    assert [pair for pair in combinations(body["widgets"], 2) if cells(pair[0]) & cells(pair[1])] == []


def test_graphs_name_metrics_that_are_published(body: Tree, published: set[tuple[str, tuple[str, ...]]]) -> None:
    named = set()
    for row in rows(body):
        if row[0] == NAMESPACE:
            plain = [each for each in row if not isinstance(each, dict)]  # without namespace and options
            named.add((plain[0], tuple(plain[1::2])))
        else:
            assert row[0].keys() >= {"expression"}, row

    assert ("ReservedTokens", ("ModelId", "EndpointType")) in named
    assert ("TokenQuota", ("ModelId", "EndpointType")) in named
    assert ("RecordsRejected", ()) in named
    assert named <= published


def test_searches_look_for_metrics_that_are_published(body: Tree, published: set[tuple[str, tuple[str, ...]]]) -> None:
    texts = [row[0]["expression"]["Fn::Sub"] for row in rows(body) if "Fn::Sub" in str(row[0])]
    texts += [variable["search"]["Fn::Sub"] for variable in body["variables"] if "search" in variable]
    assert len(texts) >= 3
    for text in texts:
        # In quotes, for a namespace may have characters that mean something in a search
        found = re.search(r'\{"\$\{MetricsNamespace\}",(?P<dimensions>[\w,]+)\} MetricName="(?P<name>\w+)"', text)
        assert found, text
        assert (found["name"], tuple(found["dimensions"].split(","))) in published


def test_ids_are_unique_in_a_graph_and_expressions_use_ids_there_are(body: Tree) -> None:
    for graph in graphs(body):
        options = [row[-1] for row in graph["metrics"] if isinstance(row[-1], dict) and row[-1] != NAMESPACE]
        ids = [option["id"] for option in options if "id" in option]
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(r"[a-z]\w*", each) for each in ids)
        for option in options:
            expression = option.get("expression")
            if isinstance(expression, str):
                assert set(re.findall(r"\b[a-z]\w*\b", expression)) <= set(ids)


def test_tokens_per_minute_are_summed_over_a_minute(body: Tree) -> None:
    for graph in graphs(body):
        assert graph["period"] == 60
        assert graph["region"] == {"Ref": "AWS::Region"}
        for row in graph["metrics"]:
            if row[0] == NAMESPACE and row[1] in {"ReservedTokens", "ConsumedTokens"}:
                assert row[-1]["stat"] in {"Sum", "SampleCount"}


def test_quotas_are_drawn_as_they_are_and_not_added_up(body: Tree) -> None:
    # Every line of a minute carries the quota, so only its maximum (or minimum, or average) is the quota.
    drawn = [row for row in rows(body) if row[0] == NAMESPACE and row[1] in {"TokenQuota", "RequestQuota"}]

    assert sorted(row[1] for row in drawn) == ["RequestQuota", "TokenQuota"]
    assert {row[-1]["stat"] for row in drawn} == {"Maximum"}


def test_endpoint_types_to_choose_from_are_those_there_are(body: Tree) -> None:
    (variable,) = [each for each in body["variables"] if each["property"] == "EndpointType"]
    values = [each["value"] for each in variable["values"]]

    assert sorted(values) == sorted(EndpointType)
    assert variable["defaultValue"] in values


def test_variables_change_every_graph_of_one_bucket(body: Tree) -> None:
    assert {variable["property"] for variable in body["variables"]} == {"ModelId", "EndpointType"}
    with_dimensions = [row for row in rows(body) if "ModelId" in row]
    assert len(with_dimensions) >= 5
    for row in with_dimensions:
        assert row[2] == "ModelId"
        assert row[4] == "EndpointType"


def test_dashboard_is_named_after_stack_and_region(template: Tree) -> None:
    properties = template["Resources"]["QuotaDashboard"]["Properties"]

    assert properties["DashboardName"] == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}


def test_fixtures_moment_is_the_minute_of_now() -> None:
    assert datetime.fromtimestamp(MINUTE, NOW.tzinfo) == NOW.replace(second=0)
