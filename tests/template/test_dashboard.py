"""The dashboard's body, which no linter reads: its structure, its layout, and that it shows metrics there are."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import resolved
from records import MINUTE, NOW, SONNET, Process, ReadLine, converse, cut_answer, failed
from resolved import ENDPOINT, MODEL, NAMESPACE, TEMPLATE, VALUES, Resolver, Tree

from bedrock_quota.fetcher.quota_lines import lines_for_quotas
from bedrock_quota.model_ids import UNRESOLVED
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.health import line_for_duplicate
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry
from localaws.preview import body as preview_body
from localaws.preview import (
    log_evaluation,
    logs_insights,
    math_evaluation,
    metric_math,
    metric_search,
    metrics_insights,
    properties,
)
from localaws.preview.series import Metric
from quota_monitor.deployed.report import report

TESTS = Path(__file__).parents[1]
SCHEMA = jsonschema.Draft7Validator(json.loads((TESTS / "data" / "dashboard_body.schema.json").read_bytes()))


@pytest.fixture(scope="module")
def template() -> Tree:
    return resolved.template()


@pytest.fixture(params=[("", "no"), ("team,environment", "yes")], ids=["no tags", "tags and monitoring account"])
def body(template: Tree, request: pytest.FixtureRequest) -> Tree:
    """The body as CloudFormation would make it, without keys of requestMetadata and with some."""
    keys, monitoring_account = request.param
    return resolved.dashboard(template, keys, monitoring_account=monitoring_account)


def graphs(body: Tree) -> list[Tree]:
    return [widget["properties"] for widget in body["widgets"] if widget["type"] == "metric"]


def rows(body: Tree) -> Iterator[list[Any]]:
    for graph in graphs(body):
        yield from graph["metrics"]


def options(row: list[Any]) -> Tree:
    return row[-1] if isinstance(row[-1], dict) else {}


def expressions(body: Tree) -> list[str]:
    return [options(row)["expression"] for row in rows(body) if "expression" in options(row)]


def queries(body: Tree) -> list[str]:
    return [widget["properties"]["query"] for widget in body["widgets"] if widget["type"] == "log"]


@pytest.fixture
def written(process: Process, registry: Registry, read_line: ReadLine) -> list[Tree]:
    """A line of each kind that the functions write, with sessions."""
    by = UsageCalculator(registry, lambda _profile: UNRESOLVED, with_sessions=True)
    pool = QuotaPool(SONNET, EndpointType.REGIONAL)
    quotas = {pool: PoolQuota(tokens_per_minute=1_000, requests_per_minute=10)}
    outcome = process([cut_answer(converse(cache_read=4, cache_write=5)), failed()], quotas=quotas, by=by)
    again = line_for_duplicate(NAMESPACE, NOW.timestamp(), 0)
    of_quotas = lines_for_quotas(NAMESPACE, MINUTE, {pool: PoolQuota(0, 10)})
    return [read_line(line) for line in (*outcome.lines, again, *of_quotas)]


@pytest.fixture
def published(written: list[Tree]) -> set[tuple[str, tuple[str, ...]]]:
    """Name and dimensions of every metric that the functions can publish."""
    return {
        (metric["Name"], tuple(dimensions))
        for line in written
        if "_aws" in line
        for directive in line["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


def test_the_body_is_of_the_documented_structure(body: Tree) -> None:
    assert [f"{list(each.absolute_path)}: {each.message}"[:300] for each in SCHEMA.iter_errors(body)] == []


def test_the_preview_draws_every_property(body: Tree) -> None:
    for widget in body["widgets"]:
        assert properties.not_drawn(widget["type"], widget["properties"]) == [], widget["properties"].get("title")


def test_a_minute_is_a_minute_in_every_time_range(body: Tree) -> None:
    # "auto" is the default, and makes the console take longer periods for longer ranges, whatever a widget says: a sum
    # of shares over five minutes is no percentage (CloudWatch-Dashboard-Body-Structure.html, read 2026-11-24).
    assert body["periodOverride"] == "inherit"
    assert preview_body.not_drawn(body) == []
    assert len(preview_body.not_drawn({"widgets": []})) == 1


def test_a_pool_is_a_row_of_the_peaks_and_what_is_over_its_quota_is_marked(body: Tree) -> None:
    # "vertical" makes metrics columns (add_remove_table_dashboard.html, read 2026-11-24).
    peaks = [graph for graph in graphs(body) if graph["view"] == "table"]
    marks = {}
    for graph in peaks:
        (mark,) = graph["annotations"]["horizontal"]
        assert graph["table"]["layout"] == "horizontal"
        marks[graph["title"]] = (graph["table"]["summaryColumns"], mark["value"], mark["fill"])
    over = (["MAX", "AVG"], 100, "above")
    assert marks == {
        "Peak reserved, % of quota per minute": over,
        "Throttled calls, counted by Bedrock": (["SUM"], 1, "above"),
        "Lowest token quotas. 0: every call fails": (["MIN"], 1, "below"),
        "Peak consumed, % of quota per minute": over,
        "Peak requests, % of quota per minute": over,
    }


def test_widgets_stay_inside_24_columns_and_do_not_overlap(body: Tree) -> None:
    def cells(widget: Tree) -> set[tuple[int, int]]:
        return {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }

    for widget in body["widgets"]:
        assert widget["x"] + widget["width"] <= 24
    assert [pair for pair in combinations(body["widgets"], 2) if cells(pair[0]) & cells(pair[1])] == []
    # and every row is full: nothing moves up into a gap
    deepest = max(widget["y"] + widget["height"] for widget in body["widgets"])
    assert sum(len(cells(widget)) for widget in body["widgets"]) == 24 * deepest


def test_architecture_counts_the_graphs_and_tables(body: Tree) -> None:
    page = (TEMPLATE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert f"{len(graphs(body)) + len(queries(body))} graphs and tables" in page


def test_graphs_name_metrics_that_are_published_with_exactly_those_dimensions(
    body: Tree, published: set[tuple[str, tuple[str, ...]]]
) -> None:
    named = set()
    for row in rows(body):
        plain = [each for each in row if isinstance(each, str)]
        if plain and plain[0] == NAMESPACE:
            named.add((plain[1], tuple(plain[2::2])))
        elif plain:
            assert (plain[:2], plain[2::2]) == (["AWS/Lambda", "Errors"], ["FunctionName"])

    assert ("ReservedTokens", ("ModelId", "EndpointType")) in named
    assert ("TokenQuota", ("ModelId", "EndpointType")) in named
    assert ("RecordsRejected", ()) in named
    assert named - published == set()


OF_AWS = {
    "InvocationThrottles", "InvocationClientErrors", "InvocationServerErrors", "EstimatedTPMQuotaUsage",
    "ModelInvocationLogsCloudWatchDeliveryFailure",
}  # fmt: skip
"""https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-runtime-metrics.html (read 2026-11-23)."""


def test_searches_look_for_metrics_that_are_published(body: Tree, published: set[tuple[str, tuple[str, ...]]]) -> None:
    calls = [call for each in expressions(body) for call in math_evaluation.searches(metric_math.parse(each))]
    texts = [call.expression for call in calls] + [
        variable["search"] for variable in body["variables"] if "search" in variable
    ]
    ours = 0
    for search in map(metric_search.parse, texts):
        names = designated(search.condition, "MetricName")
        assert names
        if search.schema is not None and search.schema.namespace == NAMESPACE:
            ours += 1
            assert {(name, search.schema.dimensions) for name in names} <= published
        else:
            namespaces = {search.schema.namespace} if search.schema else designated(search.condition, "Namespace")
            assert (namespaces, names <= OF_AWS) == ({"AWS/Bedrock"}, True)
    assert ours >= 8


def test_searches_of_a_monitoring_account_find_nothing_of_linked_accounts(template: Tree) -> None:
    def searches(body: Tree) -> list[metric_search.Search]:
        called = [call for each in expressions(body) for call in math_evaluation.searches(metric_math.parse(each))]
        texts = [call.expression for call in called]
        return list(map(metric_search.parse, [*texts, *(each["search"] for each in body["variables"][:2])]))

    own, everything = (
        searches(resolved.dashboard(template, monitoring_account=parameter)) for parameter in ("yes", "no")
    )

    assert len(own) == len(everything) > 10
    for limited, unlimited in zip(own, everything, strict=True):
        metrics = [Metric(*parts, account) for parts in wanted(unlimited) for account in ("", "444455556666")]
        assert {each.account for each in metric_search.find(unlimited, metrics)} == {"", "444455556666"}
        assert {each.account for each in metric_search.find(limited, metrics)} == {""}


def wanted(search: metric_search.Search) -> Iterator[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Namespace, name and dimensions of metrics that a search wants."""
    namespaces = {search.schema.namespace} if search.schema else designated(search.condition, "Namespace")
    dimensions = search.schema.dimensions if search.schema else ()
    values = tuple((name, min(designated(search.condition, name), default="x")) for name in sorted(dimensions))
    for namespace in namespaces:
        for name in designated(search.condition, "MetricName"):
            yield namespace, name, values


def designated(condition: metric_search.Condition, designator: str) -> set[str]:
    """What a search wants exactly a property to be."""
    match condition:
        case metric_search.Term(text, True, named) if named == designator:
            return {text}
        case metric_search.All(parts) | metric_search.Any(parts):
            return {text for part in parts for text in designated(part, designator)}
    return set()


def test_ids_are_unique_in_a_graph_and_expressions_follow_the_grammar_and_use_ids_there_are(body: Tree) -> None:
    for graph in graphs(body):
        ids = [options(row)["id"] for row in graph["metrics"] if "id" in options(row)]
        assert len(ids) == len(set(ids))
        for row in graph["metrics"]:
            if "expression" in options(row):
                tree = metric_math.parse(options(row)["expression"])
                assert set(math_evaluation.names(tree)) <= set(ids), options(row)
                for search in math_evaluation.searches(tree):
                    metric_search.parse(search.expression)


def test_shares_and_tokens_are_summed_over_a_minute(body: Tree) -> None:
    for graph in graphs(body):
        for row in graph["metrics"]:
            if row[0] == NAMESPACE and row[1] in {"ReservedTokens", "ConsumedTokens"}:
                assert options(row)["stat"] in {"Sum", "SampleCount"}
                assert graph["period"] == 60
            if row[0] == NAMESPACE and row[1].endswith("Percent"):
                assert (options(row)["stat"], graph["period"]) == ("Sum", 60)
    percents = [each for each in expressions(body) if "QuotaPercent" in each]
    assert len(percents) == 8
    assert all("'Sum', 60)" in each for each in percents)


def test_the_quota_and_the_alarms_threshold_are_drawn_beside_every_percentage(body: Tree) -> None:
    percentages = {graph["title"]: graph for graph in graphs(body) if "% of quota" in graph["title"]}
    percentages = {title: graph for title, graph in percentages.items() if graph["view"] == "timeSeries"}

    alarms = {}
    for title, graph in percentages.items():
        assert [mark["value"] for mark in graph["annotations"]["horizontal"]] == [100]
        drawn = [options(row) for row in graph["metrics"] if options(row)["id"] == "alarm"]
        alarms[title.partition(",")[0]] = [(each["expression"], each["label"]) for each in drawn]
    assert alarms == {
        "Highest use of any pool": [],  # one line to look at
        **{
            f"{what} of each pool": [("TIME_SERIES(80)", "alarm at 80%")]
            for what in ("Reserved", "Consumed", "Requests")
        },
    }


FIRST_ROWS = 14
"""Rows of the grid that a browser of 1440 × 900 shows below CloudWatch's own bars."""


def test_the_first_screen_answers_without_a_choice(body: Tree) -> None:
    # A new visitor has chosen nothing. The variables then name two first values, which may not belong together.
    first = [widget for widget in body["widgets"] if widget["y"] < FIRST_ROWS]
    assert max(widget["y"] + widget["height"] for widget in first) == FIRST_ROWS
    assert [re.split("[,.]", widget["properties"].get("title", ""))[0] for widget in first] == [
        "", "Peak reserved", "Highest use of any pool", "Throttled calls", "Lowest token quotas",
        "Callers to change first",
    ]  # fmt: skip
    assert not [name for name in (MODEL, ENDPOINT) if name in json.dumps(first)]
    # and what is about the chosen pool stands together, below a heading that says what to choose
    (heading,) = [widget for widget in body["widgets"] if MODEL in widget["properties"].get("markdown", "")]
    assert heading["properties"]["markdown"].startswith(f"## The chosen pool: {MODEL}, {ENDPOINT}\n**Choose Model and ")
    about = [widget["y"] for widget in body["widgets"] if MODEL in json.dumps(widget)]
    below = [widget["y"] for widget in body["widgets"] if widget["type"] == "text" and widget["y"] > heading["y"]]
    assert heading["y"] == min(about)
    assert max(about) < min(below)


def test_texts_name_widgets_and_lines_by_their_titles(body: Tree) -> None:
    shown = [widget["properties"].get("title", "") for widget in body["widgets"]]
    shown += [options(row).get("label", "") for row in rows(body)]
    texts = [widget["properties"]["markdown"] for widget in body["widgets"] if widget["type"] == "text"]
    without_addresses = [re.sub(r"\]\(\S+\)", "]", text) for text in texts]
    named = {name for text in without_addresses for name in re.findall(r"(?<!\*)\*(\w[^*]+)\*(?!\*)", text)}

    assert named - {"pool", "average"} == {  # a new word, and the column of a table
        "Peak reserved", "Callers to change first", "highest consumed", "max_tokens_source"
    }  # fmt: skip
    for name in named - {"pool", "average"}:
        assert any(name in each for each in shown), name


def test_quotas_are_drawn_as_they_are_and_not_added_up(body: Tree) -> None:
    # Every line of a minute carries the quota, so only its maximum (or minimum, or average) is the quota.
    drawn = [row for row in rows(body) if row[0] == NAMESPACE and row[1] in {"TokenQuota", "RequestQuota"}]

    assert sorted(row[1] for row in drawn) == ["RequestQuota", "TokenQuota"]
    assert {options(row)["stat"] for row in drawn} == {"Maximum"}


def test_variables_change_every_graph_query_and_heading_of_one_pool(body: Tree) -> None:
    assert [(each["type"], each.get("pattern", each.get("property"))) for each in body["variables"]] == [
        ("pattern", MODEL),
        ("pattern", ENDPOINT),
        ("property", "region"),
    ]
    with_dimensions = [row for row in rows(body) if "ModelId" in row]
    assert len(with_dimensions) >= 10
    for row in with_dimensions:
        assert row[2:6] == ["ModelId", MODEL, "EndpointType", ENDPOINT]
    assert sum(f'ModelId = "{MODEL}" and EndpointType = "{ENDPOINT}"' in each for each in queries(body)) == 4
    # and the placeholders stand for nothing else
    text = json.dumps(body["widgets"])
    assert text.count(MODEL) >= text.count(ENDPOINT) > 10


def test_another_region_is_that_of_every_graph_and_table(body: Tree) -> None:
    (variable,) = [each for each in body["variables"] if each["type"] == "property"]
    drawn = [widget["properties"] for widget in body["widgets"] if widget["type"] in {"metric", "log"}]
    # given a page that begins with its own Region, all of whose widgets name it once
    assert variable["defaultValue"] == VALUES["AWS::Region"]
    assert {each["region"] for each in drawn} == {VALUES["AWS::Region"]}
    # when another one is written
    found = preview_body.chosen(json.dumps(body), {"region": "eu-west-1"})
    # then it is that of all of them, and nothing else has changed
    changed = [widget["properties"] for widget in found["widgets"] if widget["type"] in {"metric", "log"}]
    assert changed == [{**each, "region": "eu-west-1"} for each in drawn]


def names_of(written: list[Tree]) -> set[str]:
    """The fields of our lines as Logs Insights names them."""
    rows = [log_evaluation.parse_event({"timestamp": 0, "message": json.dumps(line)}) for line in written]
    return {name for row in rows for name in row} | {"application_profile"}


def test_queries_read_our_own_logs_by_fields_that_their_lines_have(body: Tree, written: list[Tree]) -> None:
    fields = names_of(written) | {"request_metadata.team"}
    found = queries(body)
    assert len(found) >= 6
    for query in found:
        parsed = logs_insights.parse(query)
        assert set(parsed.groups) <= {VALUES["MetricProcessorLogGroup"], VALUES["QuotaFetcherLogGroup"]}
        assert logs_insights.read_fields(parsed) - fields == set()


@pytest.mark.parametrize(
    "key", ["team", "cost-center", "Cost Center", "a/b", "app#1", "k8s:app", "a.b"], ids="key {}".format
)
def test_any_key_of_the_metadata_is_a_column(template: Tree, key: str) -> None:
    # given a stack that keeps a key in which characters are special to Logs Insights, and lines of two of its values
    (query,) = [each for each in queries(resolved.dashboard(template, f"{key},other")) if "request_metadata" in each]
    calls = {"caller": "a", "requests": 1, "reserved_tokens": 10, "consumed_tokens": 3}
    lines_of = [calls | {"request_metadata": {key: value}} for value in ("x", "y", "x")]
    events = [{"timestamp": 0, "message": json.dumps(line)} for line in lines_of]
    # when its query is run, then it tells them apart
    columns, found = log_evaluation.run(logs_insights.parse(query), map(log_evaluation.parse_event, events))
    assert columns[0] == f"request_metadata.{key}"
    assert [row[0] for row in found] == ["x", "y"]
    assert [row[2:] for row in found] == [[20, 6, 2], [10, 3, 1]]


def test_saved_queries_read_the_processors_log_by_fields_that_its_lines_have(
    template: Tree, written: list[Tree]
) -> None:
    saved = {
        logical_id: resource["Properties"]
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Logs::QueryDefinition"
    }
    assert len(saved) == 5
    resolve = Resolver(VALUES | {"CallerDetail": "session"}, template)
    for query in saved.values():
        assert query["LogGroupNames"] == [{"Ref": "MetricProcessorLogGroup"}]
        assert query["Name"]["Fn::Sub"].startswith("${AWS::StackName}/")
        assert (
            logs_insights.read_fields(logs_insights.parse(resolve(query["QueryString"]))) - names_of(written) == set()
        )


# The colour-blind


VISION = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}
"""Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009:
matrices for linear RGB at full severity."""


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_one_graph_can_be_told_apart_by_the_colour_blind(body: Tree, vision: str) -> None:
    for graph in graphs(body):
        drawn = {options(row)["color"] for row in graph["metrics"] if "color" in options(row)}
        drawn |= {each["color"] for each in graph.get("annotations", {}).get("horizontal", [])}
        for one, other in combinations(sorted(drawn), 2):
            apart = distance(seen(one, vision), seen(other, vision))
            assert apart > 11, f"{graph['title']}: {one} and {other} are {apart:.0f} apart with {vision}"


MEANINGS = {
    "#0072B2": ["reserved", "max_tokens"],
    "#56B4E9": ["median max_tokens"],
    "#E69F00": ["consumed", "largest output"],
    "#F0E442": ["median output"],
    "#D55E00": ["quota"],
    "#009E73": ["requests", "processed"],
    "#CC79A7": ["failed", "throttled"],
    "#999999": ["alarm"],
    "#8C564B": ["out of scope"],
    "#DDCC77": ["rejected"],
    "#44AA99": ["age"],
    "#AA4466": ["EstimatedTPMQuotaUsage"],
    "#8B8B2A": ["unlisted models"],
    "#33BBEE": ["duplicate"],
    "#6B5FC7": ["could not log"],
}


def test_a_colour_has_one_meaning_on_the_whole_page(body: Tree) -> None:
    drawn = {(options(row).get("label", ""), options(row).get("color")) for row in rows(body)}
    drawn |= {
        (each["label"], each["color"])
        for graph in graphs(body)
        for each in graph.get("annotations", {}).get("horizontal", [])
    }

    assert {colour for _, colour in drawn} - {None} == set(MEANINGS)
    for label, colour in drawn:
        if colour is not None:
            assert any(word in label for word in MEANINGS[colour]), (label, colour)


def test_a_series_of_zeros_is_not_painted_over_the_others(body: Tree) -> None:
    # In a stack the last series is drawn on top, so the one that is never 0 comes last.
    (stack,) = [graph for graph in graphs(body) if graph.get("stacked")]

    assert [options(row)["label"] for row in stack["metrics"]] == [
        "rejected", "out of scope", "failed calls", "processed"
    ]  # fmt: skip


def test_names_of_many_pools_have_room_beside_their_graph(body: Tree) -> None:
    for graph in graphs(body):
        if any(", 20)" in options(row).get("expression", "") for row in graph["metrics"]):
            assert graph["legend"] == {"position": "right"}, graph["title"]


def test_a_metric_of_a_median_is_not_drawn_on_the_scale_of_another(body: Tree) -> None:
    # max_tokens can be 200 times the output, which would be a flat line at 0.
    for graph in graphs(body):
        named = {row[1] for row in graph["metrics"] if row[0] == NAMESPACE}
        assert not {"MaxTokens", "OutputTokens"} <= named, graph["title"]


def seen(colour: str, vision: str) -> tuple[float, float, float]:
    """Return CIE L*a*b* of a colour as somebody with that vision sees it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    r, g, b = (min(1.0, max(0.0, sum(w * c for w, c in zip(row, linear, strict=True)))) for row in VISION[vision])
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """CIE76: below 10 a difference must be looked for."""
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


# Alarms on any pool


@pytest.mark.parametrize(
    ("logical_id", "metric"),
    [
        pytest.param("ReservedQuotaAlarm", "ReservedQuotaPercent", id="reserved"),
        pytest.param("ConsumedQuotaAlarm", "ConsumedQuotaPercent", id="consumed"),
        pytest.param("RequestQuotaAlarm", "RequestQuotaPercent", id="requests"),
    ],
)
def test_one_alarm_watches_every_pool_by_itself(
    template: Tree, body: Tree, published: set[tuple[str, tuple[str, ...]]], logical_id: str, metric: str
) -> None:
    alarm = Resolver(VALUES, template)(template["Resources"][logical_id]["Properties"])

    (query,) = alarm["Metrics"]
    found = metrics_insights.parse(query["Expression"])
    assert (found.function, found.metric, found.namespace, found.conditions) == ("SUM", metric, NAMESPACE, ())
    assert found.dimensions == found.groups == ("ModelId", "EndpointType")
    assert (metric, found.dimensions) in published
    # An alarm on several series needs GROUP BY and ORDER BY, and LIMIT would leave pools out: CloudWatch User Guide,
    # Create_Metrics_Insights_Alarm.html (read 2026-11-24).
    assert (found.order, found.descending, found.limit) == ("SUM", True, metrics_insights.MAX_SERIES)
    assert (query["Period"], query["ReturnData"]) == (60, True)
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == ("80", "GreaterThanOrEqualToThreshold")
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 15)  # as test_alarms.py argues
    assert alarm["TreatMissingData"] == "notBreaching"  # a pool that nobody calls any more is no alarm
    # and says at night what to do and where to look, in what CloudWatch takes
    assert len(alarm["AlarmDescription"]) <= 1024
    what, which, command, do, where = alarm["AlarmDescription"].split("\n")
    assert "80% or more" in what
    # A message of a contributor names the pool. The command names its callers, and the pool of the whole alarm.
    assert which == (
        "Model: see ModelId and EndpointType in this message. To see its callers, and what to change, run:"
    )
    assert shlex.split(command) == [
        *("quota-monitor", "report", "--hours", "3"),
        *("--region", "us-east-1", "--stack-name", "stack"),
    ]
    report.make_context("report", shlex.split(command)[2:])  # takes these options
    titles = [widget["properties"].get("title", "") for widget in body["widgets"]]
    (named,) = re.findall(r'"([^"]+)"', do)
    assert any(title.startswith(named) for title in titles)
    assert where == (
        "Dashboard: https://us-east-1.console.aws.amazon.com/cloudwatch/home"
        "?region=us-east-1#dashboards/dashboard/stack-us-east-1"
    )
    assert alarm["AlarmName"].startswith("stack ")


@pytest.mark.parametrize("logical_id", ["ReservedQuotaAlarm", "ConsumedQuotaAlarm", "RequestQuotaAlarm"])
def test_the_description_is_short_enough_with_the_longest_names(template: Tree, logical_id: str) -> None:
    name = "x" * 128  # CreateStack
    values = {
        "AWS::StackName": name,
        "AWS::Region": "ap-southeast-7",
        "AWS::Partition": "aws-us-gov",
        "QuotaDashboard": f"{name}-ap-southeast-7",
        "AlarmThresholdPercent": "99.999",
    }

    alarm = Resolver(VALUES | values, template)(template["Resources"][logical_id]["Properties"])

    assert 850 < len(alarm["AlarmDescription"]) <= 1024  # PutMetricAlarm
    assert len(alarm["AlarmName"]) <= 255


def test_the_address_for_alarms_is_asked_for_only_if_given(template: Tree) -> None:
    subscription = template["Resources"]["AlarmSubscription"]

    assert subscription["Condition"] == "HasAlarmEmail"
    assert subscription["Properties"]["Protocol"] == "email"
    pattern = template["Parameters"]["AlarmEmail"]["AllowedPattern"]
    for given, taken in (("", True), ("oncall@example.com", True), ("nobody", False), ("a b@c", False)):
        assert bool(re.fullmatch(pattern, given)) is taken


def test_dashboard_is_named_after_stack_and_region(template: Tree) -> None:
    properties = template["Resources"]["QuotaDashboard"]["Properties"]

    assert properties["DashboardName"] == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}
