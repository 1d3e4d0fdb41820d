"""Metric lines: what CloudWatch would make of them, and what it would drop."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws import emf, metric_requests

NOW_MS = 1_795_420_800_000  # 2026-11-23T08:00:00Z
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DAY_MS = 24 * 60 * 60 * 1000


def line(**changes):
    """A valid line: two calls of one bucket, with `changes` at the root or in the directive."""
    directive = {
        "Namespace": "Bedrock/Quotas",
        "Dimensions": [["ModelId", "EndpointType"]],
        "Metrics": [{"Name": "ReservedTokens", "Unit": "Count"}],
    }
    directive |= {name: changes.pop(name) for name in list(changes) if name in directive}
    document = {
        "_aws": {"Timestamp": changes.pop("Timestamp", NOW_MS), "CloudWatchMetrics": [directive]},
        "ModelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "EndpointType": "cross-region",
        "ReservedTokens": [1100, 2100],
        "caller": "invoices",
    }
    return json.dumps({**document, **changes})


def test_a_line_becomes_one_datum_a_metric():
    assert emf.metric_data(line(), NOW_MS) == [
        (
            "Bedrock/Quotas",
            {
                "MetricName": "ReservedTokens",
                "Unit": "Count",
                "StorageResolution": 60,
                "Values": [1100.0, 2100.0],
                "Counts": [1.0, 1.0],
                "Timestamp": NOW,
                "Dimensions": [
                    {"Name": "ModelId", "Value": "anthropic.claude-sonnet-4-5-20250929-v1:0"},
                    {"Name": "EndpointType", "Value": "cross-region"},
                ],
            },
        )
    ]


def test_equal_values_are_counted_not_repeated():
    [(_, datum)] = emf.metric_data(line(ReservedTokens=[5, 7, 5, 5.0]), NOW_MS)
    assert (datum["Values"], datum["Counts"]) == ([5.0, 7.0], [3.0, 1.0])


def test_a_single_number_is_one_value():
    [(_, datum)] = emf.metric_data(line(ReservedTokens=0), NOW_MS)
    assert (datum["Values"], datum["Counts"]) == ([0.0], [1.0])


def test_every_dimension_set_is_a_metric_of_its_own_and_the_empty_set_is_one():
    data = emf.metric_data(line(Dimensions=[["ModelId"], []]), NOW_MS)
    assert [[dimension["Name"] for dimension in datum["Dimensions"]] for _, datum in data] == [["ModelId"], []]


def test_metrics_times_sets_times_directives():
    document = json.loads(line())
    directive = {
        "Namespace": "A",
        "Dimensions": [[], ["EndpointType"]],
        "Metrics": [{"Name": "ReservedTokens"}, {"Name": "Other", "StorageResolution": 1}],
    }
    document["_aws"]["CloudWatchMetrics"] = [directive, {**directive, "Namespace": "B"}]
    document["Other"] = 1
    data = emf.metric_data(json.dumps(document), NOW_MS)
    assert [namespace for namespace, _ in data] == ["A"] * 4 + ["B"] * 4
    assert {datum["StorageResolution"] for _, datum in data if datum["MetricName"] == "Other"} == {1}
    assert {datum["Unit"] for _, datum in data} == {"None"}


def test_names_with_a_dot_are_members_of_the_root_and_never_paths():
    named = {"Metrics": [{"Name": "a.b"}], "Dimensions": [[]]}
    assert emf.metric_data(line(**named, **{"a.b": 1}), NOW_MS)
    with pytest.raises(emf.Rejected, match=r"metric without a value at the root: a\.b"):
        emf.metric_data(line(**named, a={"b": 1}), NOW_MS)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty line"),
        pytest.param("START RequestId: 1 Version: $LATEST", id="START line"),
        pytest.param('{"level":"INFO","message":"x"}', id="JSON log line"),
        pytest.param('{"message":"mentions \\"_aws\\" only"}', id="_aws in a text"),
        pytest.param('{"nested":{"_aws":{}}}', id="_aws below the root"),
        pytest.param('["_aws"]', id="array"),
        pytest.param("{", id="unfinished object"),
    ],
)
def test_other_lines_are_none_of_ours(text):
    assert emf.metric_data(text, NOW_MS) == []


def test_a_directive_list_may_be_empty():
    assert emf.metric_data(json.dumps({"_aws": {"Timestamp": NOW_MS, "CloudWatchMetrics": []}}), NOW_MS) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"Timestamp": None}, "Timestamp is not an integer", id="timestamp null"),
        pytest.param({"Timestamp": NOW_MS + 0.5}, "Timestamp is not an integer", id="timestamp with a fraction"),
        pytest.param({"Timestamp": True}, "Timestamp is not an integer", id="timestamp true"),
        pytest.param({"Timestamp": "1795420800000"}, "Timestamp is not an integer", id="timestamp as text"),
        pytest.param({"Timestamp": NOW_MS // 1000}, "Timestamp over 14 days old", id="timestamp in seconds"),
        pytest.param(
            {"Timestamp": NOW_MS - 14 * DAY_MS - 1}, "Timestamp over 14 days old", id="timestamp a millisecond too old"
        ),
        pytest.param(
            {"Timestamp": NOW_MS + DAY_MS // 12 + 1},
            "Timestamp over 2 hours ahead",
            id="timestamp a millisecond too far ahead",
        ),
        pytest.param({"Timestamp": 10**30}, "Timestamp over 2 hours ahead", id="timestamp enormous"),
        pytest.param({"Namespace": None}, "invalid Namespace", id="namespace null"),
        pytest.param({"Namespace": ""}, "invalid Namespace", id="namespace empty"),
        pytest.param({"Namespace": " "}, "invalid Namespace", id="namespace blank"),
        pytest.param({"Namespace": "AWS/Bedrock"}, "invalid Namespace", id="namespace of AWS"),
        pytest.param({"Namespace": ":x"}, "invalid Namespace", id="namespace with a leading colon"),
        pytest.param({"Namespace": "Käse"}, "invalid Namespace", id="namespace with an umlaut"),
        pytest.param({"Namespace": "x" * 256}, "invalid Namespace", id="namespace too long"),
        pytest.param({"Dimensions": None}, "not an array", id="dimensions null"),
        pytest.param({"Dimensions": []}, "no dimension set", id="no dimension set"),
        pytest.param({"Dimensions": ["ModelId"]}, "not an array", id="dimension set as text"),
        pytest.param({"Dimensions": [["ModelId", "ModelId"]]}, "dimension twice in a set", id="dimension named twice"),
        pytest.param(
            {"Dimensions": [["Absent"]]}, "dimension without a value at the root", id="dimension without a value"
        ),
        pytest.param({"Dimensions": [[1]]}, "invalid dimension name", id="dimension name a number"),
        pytest.param(
            {"Dimensions": [["d" * 251]], "d" * 251: "v"}, "invalid dimension name", id="dimension name too long"
        ),
        pytest.param(
            {"Dimensions": [[f"d{i}" for i in range(31)]]}, "over 30 dimensions in a set", id="too many dimensions"
        ),
        pytest.param({"ModelId": 7}, "invalid dimension value", id="dimension value a number"),
        pytest.param({"ModelId": ""}, "invalid dimension value", id="dimension value empty"),
        pytest.param({"ModelId": " "}, "invalid dimension value", id="dimension value blank"),
        pytest.param({"ModelId": "é"}, "invalid dimension value", id="dimension value with an accent"),
        pytest.param({"ModelId": "a\nb"}, "invalid dimension value", id="dimension value with a line break"),
        pytest.param({"ModelId": "m" * 1025}, "invalid dimension value", id="dimension value too long"),
        pytest.param({"Metrics": {}}, "not an array", id="metrics an object"),
        pytest.param({"Metrics": ["ReservedTokens"]}, "not an object", id="metric as text"),
        pytest.param({"Metrics": [{}]}, "invalid metric name", id="metric without a name"),
        pytest.param({"Metrics": [{"Name": "m" * 256}]}, "invalid metric name", id="metric name too long"),
        pytest.param(
            {"Metrics": [{"Name": "ReservedTokens"}] * 101}, "over 100 metrics in a directive", id="too many metrics"
        ),
        pytest.param({"Metrics": [{"Name": "ReservedTokens", "Unit": "Tokens"}]}, "invalid Unit", id="unit unknown"),
        pytest.param(
            {"Metrics": [{"Name": "ReservedTokens", "Unit": "count"}]}, "invalid Unit", id="unit in lower case"
        ),
        pytest.param({"Metrics": [{"Name": "ReservedTokens", "Unit": []}]}, "invalid Unit", id="unit a list"),
        pytest.param(
            {"Metrics": [{"Name": "ReservedTokens", "StorageResolution": 60.0}]},
            "invalid StorageResolution",
            id="resolution with a fraction",
        ),
        pytest.param(
            {"Metrics": [{"Name": "ReservedTokens", "StorageResolution": []}]},
            "invalid StorageResolution",
            id="resolution a list",
        ),
        pytest.param(
            {"Metrics": [{"Name": "Größe"}], "Größe": 1}, "invalid metric name", id="metric name with an umlaut"
        ),
        pytest.param(
            {"Metrics": [{"Name": "ReservedTokens", "StorageResolution": 30}]},
            "invalid StorageResolution",
            id="resolution of 30 seconds",
        ),
        pytest.param(
            {"Metrics": [{"Name": "ReservedTokens", "StorageResolution": True}]},
            "invalid StorageResolution",
            id="resolution true",
        ),
        pytest.param(
            {"Metrics": [{"Name": "Absent"}]}, "metric without a value at the root", id="metric without a value"
        ),
        pytest.param({"ReservedTokens": []}, "metric with no values", id="metric with an empty list"),
        pytest.param({"ReservedTokens": list(range(101))}, "over 100 values in a metric", id="too many values"),
        pytest.param({"ReservedTokens": "1100"}, "value is not a number", id="value as text"),
        pytest.param({"ReservedTokens": [1, None]}, "value is not a number", id="value null in a list"),
        pytest.param({"ReservedTokens": True}, "value is not a number", id="value true"),
        pytest.param({"ReservedTokens": [[1]]}, "value is not a number", id="value a nested list"),
        pytest.param({"ReservedTokens": 2**360 * 2}, "value out of range", id="value above the range"),
        pytest.param({"ReservedTokens": 10**400}, "value out of range", id="value an enormous integer"),
        pytest.param({"ReservedTokens": float("nan")}, "not JSON", id="value NaN"),
        pytest.param({"ReservedTokens": float("-inf")}, "not JSON", id="value infinite"),
        pytest.param({"padding": "x" * 1024 * 1024}, "line over 1 MB", id="line too long"),
    ],
)
def test_what_cloudwatch_would_drop_is_rejected_with_a_reason(changes, reason):
    with pytest.raises(emf.Rejected) as rejected:
        emf.metric_data(line(**changes), NOW_MS)
    assert rejected.value.reason == reason
    assert len(rejected.value.detail) <= 100


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"Timestamp": NOW_MS - 14 * DAY_MS}, id="oldest timestamp"),
        pytest.param({"Timestamp": NOW_MS + DAY_MS // 12}, id="latest timestamp"),
        pytest.param({"Namespace": "x" * 255}, id="longest namespace"),
        pytest.param({"ModelId": "m" * 1024}, id="longest dimension value"),
        pytest.param(
            {"Dimensions": [[f"d{i}" for i in range(30)]], **{f"d{i}": "v" for i in range(30)}}, id="most dimensions"
        ),
        pytest.param({"Metrics": [{"Name": "ReservedTokens"}] * 100}, id="most metrics"),
        pytest.param({"ReservedTokens": list(range(100))}, id="most values"),
        pytest.param({"ReservedTokens": -1.5}, id="negative value"),
        pytest.param({"ReservedTokens": 2**360}, id="largest value"),
    ],
)
def test_the_limits_themselves_are_within(changes):
    assert emf.metric_data(line(**changes), NOW_MS)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"_aws":1}', id="_aws a number"),
        pytest.param('{"_aws":{"Timestamp":1795420800000}}', id="_aws without metrics"),
        pytest.param('{"_aws":{"a":', id="unfinished object"),
        pytest.param('{"_aws":{}} x', id="text after the object"),
    ],
)
def test_broken_metadata_is_rejected(text):
    with pytest.raises(emf.Rejected):
        emf.metric_data(text, NOW_MS)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ("Timestamp", "Namespace", "Dimensions", "Metrics", "ModelId", "EndpointType", "ReservedTokens")


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES, min_size=1))
def test_any_value_anywhere_gives_data_or_a_rejection(changes):
    try:
        data = emf.metric_data(line(**changes), NOW_MS)
    except emf.Rejected:
        return
    assert all(1 <= len(datum["Values"]) == len(datum["Counts"]) <= 100 for _, datum in data)


@given(st.text(st.characters()))
def test_any_text_gives_nothing_or_a_rejection(text):
    try:
        assert emf.metric_data('{"_aws"' + text, NOW_MS) == []
    except emf.Rejected:
        return


def test_deep_nesting_is_rejected_and_does_not_crash():
    with pytest.raises(emf.Rejected):
        emf.metric_data('{"_aws":' + "[" * 100_000, NOW_MS)


def test_the_published_example():
    text = (
        '{"_aws":{"Timestamp":1574109732004,"CloudWatchMetrics":[{"Namespace":"lambda-function-metrics",'
        '"Dimensions":[["functionVersion"]],"Metrics":[{"Name":"time","Unit":"Milliseconds","StorageResolution":60}]}]},'
        '"functionVersion":"$LATEST","time":100,"requestId":"989ffbf8-9ace-4817-a57c-e4dd734019ee"}'
    )
    [(namespace, datum)] = emf.metric_data(text, 1574109732500)
    assert namespace == "lambda-function-metrics"
    assert datum["Timestamp"] == datetime(2019, 11, 18, 20, 42, 12, 4000, tzinfo=UTC)
    assert datum["Dimensions"] == [{"Name": "functionVersion", "Value": "$LATEST"}]
    assert datum["Values"] == [100.0]


def test_requests_merge_equal_metrics_of_one_moment():
    data = emf.metric_data(line(ReservedTokens=[5, 7]), NOW_MS) + emf.metric_data(line(ReservedTokens=[7, 9]), NOW_MS)
    [request] = metric_requests.requests(data)
    [datum] = request.data
    assert request.namespace == "Bedrock/Quotas"
    assert (datum["Values"], datum["Counts"]) == ([5.0, 7.0, 9.0], [1.0, 2.0, 1.0])


def test_requests_keep_apart_what_differs():
    lines = [line(), line(Timestamp=NOW_MS + 1), line(ModelId="m"), line(Namespace="Other"), line(Dimensions=[[]])]
    data = [datum for text in lines for datum in emf.metric_data(text, NOW_MS)]
    made = list(metric_requests.requests(data))
    assert {request.namespace: len(request.data) for request in made} == {"Bedrock/Quotas": 4, "Other": 1}


def test_requests_hold_at_most_150_values_a_datum_and_1000_data():
    values = [
        datum
        for first in (0, 100)
        for datum in emf.metric_data(line(ReservedTokens=list(range(first, first + 100))), NOW_MS)
    ]
    [request] = metric_requests.requests(values)
    assert [len(datum["Values"]) for datum in request.data] == [150, 50]
    many = [datum for i in range(1001) for datum in emf.metric_data(line(ModelId=f"m{i}"), NOW_MS)]
    assert [len(request.data) for request in metric_requests.requests(many)] == [1000, 1]


def test_requests_stay_under_a_megabyte():
    data = [
        datum
        for i in range(700)
        for datum in emf.metric_data(line(ModelId="m" * 1000 + str(i), EndpointType="e" * 1000), NOW_MS)
    ]
    made = list(metric_requests.requests(data))
    assert len(made) == 2
    assert sum(len(request.data) for request in made) == 700
    assert all(len(json.dumps(request.data, default=str)) <= 1024 * 1024 for request in made)


def test_nothing_makes_no_request():
    assert list(metric_requests.requests([])) == []
