"""The preview's body, drawings and server over an account that answers from memory."""

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.preview import body, drawing
from localaws.preview.drawing import Reader
from localaws.preview.series import TimeRange
from localaws.preview.server import STATIC, Dashboards, Server

RANGE = TimeRange(1_795_435_200, 1_795_435_380)
"""Three minutes from 2026-11-23T12:00:00Z on."""
VALUES = {("Use", "a"): [10.0, None, 40.0], ("Use", "b"): [1.0, 2.0, 3.0], ("Quota", "a"): [100.0, None, None]}

BODY = {
    "start": "-PT1H",
    "variables": [
        {"type": "pattern", "pattern": "chosen", "inputType": "select", "id": "m", "label": "Model",
         "search": '{N,M} MetricName="Use"', "populateFrom": "M", "defaultValue": "__FIRST"},
        {"type": "property", "property": "region", "inputType": "select", "id": "r", "values": [{"value": "x"}]},
    ],
    "widgets": [
        {"type": "text", "x": 0, "y": 0, "width": 24, "height": 1, "properties": {"markdown": "about chosen"}},
        {"type": "metric", "x": 0, "y": 1, "width": 12, "height": 6, "properties": {
            "title": "Use", "view": "timeSeries", "region": "here", "period": 60, "stat": "Sum",
            "annotations": {"horizontal": [{"value": 50, "label": "half"}]},
            "metrics": [
                ["N", "Use", "M", "chosen", {"id": "use", "label": "use of ${PROP('Dim.M')}, at most ${MAX}"}],
                [".", "Quota", ".", ".", {"id": "quota", "visible": False}],
                [{"expression": "FILL(quota, REPEAT)", "id": "line", "color": "#D55E00"}],
            ]}},
        {"type": "metric", "x": 12, "y": 1, "width": 12, "height": 6, "properties": {
            "title": "All", "view": "table", "period": 60, "metrics": [
                [{"expression": "SORT(SEARCH('{N,M} MetricName=\"Use\"', 'Sum', 60), MAX, DESC)",
                  "id": "all", "label": ""}],
                [{"expression": "ANOMALY_DETECTION_BAND(all)", "id": "band"}],
            ]}},
        {"type": "log", "x": 0, "y": 7, "width": 12, "height": 6, "properties": {
            "query": "SOURCE 'g' | filter model = 'chosen' | stats sum(n) as n by who | sort n desc", "view": "table"}},
        {"type": "custom", "x": 12, "y": 7, "width": 12, "height": 6, "properties": {}},
    ],
}  # fmt: skip


class Account:
    """Three services of one account, as far as the preview asks them."""

    region_name = "here"

    def __init__(self) -> None:
        self.regions: list[str] = []

    def client(self, _service: str, region_name: str = region_name) -> "Account":
        self.regions.append(region_name)
        return self

    def list_dashboards(self) -> Any:
        return {"DashboardEntries": [{"DashboardName": "mine"}]}

    def get_dashboard(self, *, DashboardName: str) -> Any:  # noqa: N803 - botocore's names
        if DashboardName != "mine":
            raise ClientError({"Error": {"Code": "ResourceNotFound"}}, "GetDashboard")
        return {"DashboardBody": json.dumps(BODY)}

    def get_paginator(self, operation: str) -> Any:
        return Pages(getattr(self, operation))

    def list_metrics(self, **_given: Any) -> Any:
        named = [(name, [{"Name": "M", "Value": value}]) for name, value in VALUES]
        return {"Metrics": [{"Namespace": "N", "MetricName": name, "Dimensions": each} for name, each in named]}

    def get_metric_data(self, *, MetricDataQueries: Any, **_range: Any) -> Any:  # noqa: N803
        results = []
        for query in MetricDataQueries:
            metric = query["MetricStat"]["Metric"]
            values = VALUES.get((metric["MetricName"], metric["Dimensions"][0]["Value"]), [])
            if query["MetricStat"]["Period"] == RANGE.end:
                values = [sum(value for value in values if value is not None)]
            points = [(RANGE.start + 60 * at, value) for at, value in enumerate(values) if value is not None]
            times = [datetime.fromtimestamp(at, UTC) for at, _ in points]
            results.append({"Id": query["Id"], "Timestamps": times, "Values": [value for _, value in points]})
        return {"MetricDataResults": results}

    def filter_log_events(self, *, logGroupName: str, **_range: Any) -> Any:  # noqa: N803
        if logGroupName == "long":
            return self.one_page(**_range)
        assert logGroupName == "g"
        lines = [{"model": "a", "who": "x", "n": 1}, {"model": "a", "who": "y", "n": 5}, {"model": "b", "n": 9}]
        return {"events": [event(at, line) for at, line in enumerate(lines)]}

    def one_page(self, *, startTime: int, endTime: int) -> Any:  # noqa: N803
        """Three events a millisecond, a page of them and nothing of the next, as the emulator answers."""
        moments = range(max(startTime, RANGE.start * 1000), min(endTime, RANGE.start * 1000 + 8_000))
        events = [event(at, {"n": 1, "which": which}) for at in moments for which in range(3)]
        return {"events": events[:10_000]}


def event(at: int, line: Any) -> dict[str, Any]:
    return {"timestamp": at, "message": json.dumps(line)}


class Pages:
    def __init__(self, operation: Any) -> None:
        self._operation = operation

    def paginate(self, **given: Any) -> Any:
        return [self._operation(**given)]


@pytest.fixture
def account() -> Any:
    return Account()


def drawn(account: Any, index: int, **values: str) -> drawing.Drawing:
    return Dashboards(account).draw("mine", index, values, RANGE)


def test_variables_search_and_take_the_first(account: Any) -> None:
    found = Dashboards(account).describe("mine", {})

    assert found["variables"][0] == {
        "id": "m", "label": "Model", "value": "a", "typed": False,
        "options": [{"value": "a", "label": "a"}, {"value": "b", "label": "b"}],
    }  # fmt: skip
    assert found["widgets"][1] == {"x": 0, "y": 1, "width": 12, "height": 6}
    (problem,) = found["problems"]  # the body does not say that its periods are meant
    assert problem.startswith("not drawn by this preview: periodOverride: auto")


def test_a_variable_to_write_has_nothing_to_choose_from() -> None:
    given = {"type": "property", "property": "stat", "inputType": "input", "id": "s", "defaultValue": "Sum"}

    (found,) = body.variables({"variables": [given]}, lambda _search: [], ["here"])

    assert (found.default, found.options, found.typed) == ("Sum", (), True)


def test_a_region_is_one_of_those_that_have_something_to_draw() -> None:
    given = {"type": "property", "property": "region", "inputType": "input", "id": "r", "defaultValue": "here"}

    (found,) = body.variables({"variables": [given]}, lambda _search: [], ["here", "there"])

    assert (found.default, found.options, found.typed) == ("here", (("here", "here"), ("there", "there")), False)


def test_a_pattern_is_replaced_everywhere_and_a_property_set() -> None:
    widgets = body.chosen(json.dumps(BODY), {"m": "b", "r": "x"})["widgets"]

    assert widgets[0]["properties"]["markdown"] == "about b"
    assert widgets[1]["properties"]["metrics"][0][3] == "b"
    assert widgets[1]["properties"]["region"] == "x"
    assert "model = 'b'" in widgets[3]["properties"]["query"]


def test_a_dimension_is_set_in_every_row_by_a_property_variable() -> None:
    rows = [["N", "Use", "M", "a", "E", "e"], ["N", "M", "M", "a"]]
    variable = {"type": "property", "property": "M", "id": "m"}
    given = {"variables": [variable], "widgets": [{"properties": {"metrics": rows}}]}

    (widget,) = body.chosen(json.dumps(given), {"m": "b"})["widgets"]

    assert widget["properties"]["metrics"] == [["N", "Use", "M", "b", "E", "e"], ["N", "M", "M", "b"]]


def test_lines_labels_and_annotations_of_a_graph(account: Any) -> None:
    found = drawn(account, 1, m="a")

    assert [each["label"] for each in found["series"]] == ["use of a, at most 40", "line"]
    start = RANGE.start * 1000
    assert found["series"][0]["times"] == [start, start + 120_000]
    assert found["series"][0]["values"] == [10, 40]
    assert found["series"][1]["values"] == [100, 100, 100]  # the hidden quota, repeated to the end
    assert found["annotations"] == [[{"value": 50, "label": "half"}]]
    assert found["problems"] == []


def test_a_search_draws_what_it_finds_and_what_is_not_supported_is_a_problem(account: Any) -> None:
    found = drawn(account, 2)

    assert [(each["label"], each["values"]) for each in found["series"]] == [("a", [10, 40]), ("b", [1, 2, 3])]
    (problem,) = found["problems"]
    assert "ANOMALY_DETECTION_BAND" in problem


def test_a_query_draws_its_rows(account: Any) -> None:
    found = drawn(account, 3, m="a")

    assert (found["columns"], found["rows"]) == (["who", "n"], [["y", 5], ["x", 1]])


def test_a_widget_of_an_unknown_type_is_said_so(account: Any) -> None:
    assert drawn(account, 4) == {
        "kind": "unsupported",
        "title": "",
        "reason": "not supported by this preview: widgets of the type 'custom'",
    }


def test_rows_that_wait_for_each_other_are_a_problem(account: Any) -> None:
    rows = [[{"expression": "b + 1", "id": "a"}], [{"expression": "a + 1", "id": "b"}]]
    widget = {"type": "metric", "properties": {"metrics": rows}}

    assert drawing.draw(widget, RANGE, Reader(account, "here"))["problems"] == ["rows that refer to each other: a, b"]


def chart(account: Any, **properties: Any) -> drawing.Drawing:
    given = {"view": "timeSeries", "period": 60, "stat": "Sum", "metrics": [["N", "Use", "M", "a"]], **properties}
    return drawing.draw({"type": "metric", "properties": given}, RANGE, Reader(account, "here"))


def test_a_label_of_several_series_stands_before_that_of_each(account: Any) -> None:
    def labels(label: str) -> list[str]:
        expression = "SEARCH('{N,M} MetricName=\"Use\"', 'Sum', 60)"
        found = chart(account, metrics=[[{"expression": expression, "id": "all", "label": label}]])
        return [each["label"] for each in found["series"]]

    assert labels("") == ["a", "b"]
    assert labels("use of") == ["use of a", "use of b"]
    assert labels("${PROP('Dim.M')}: ${LAST}") == ["a: 40", "b: 3"]


def test_a_query_of_metrics_insights_is_a_series_a_group_in_its_order(account: Any) -> None:
    query = 'SELECT SUM("Use") FROM SCHEMA("N", M) GROUP BY M ORDER BY SUM() ASC'

    found = chart(account, metrics=[[{"expression": query, "id": "q", "label": ""}]])

    assert [(each["label"], each["values"]) for each in found["series"]] == [("b", [1, 2, 3]), ("a", [10, 40])]
    assert found["problems"] == []


def test_the_period_can_be_the_whole_time_range(account: Any) -> None:
    rows = [
        ["N", "Use", "M", "a", {"id": "use"}],
        [{"expression": "SUM(SEARCH('{N,M} MetricName=\"Use\"', 'Sum', 60))", "id": "all"}],
        [{"expression": "use / 2", "id": "half"}],
    ]

    found = chart(account, view="singleValue", setPeriodToTimeRange=True, metrics=rows)

    assert [each["values"] for each in found["series"]] == [[50], [56], [25]]
    assert {tuple(each["times"]) for each in found["series"]} == {(RANGE.start * 1000,)}
    # as CloudWatch has it, a graph of lines is not made of one point
    assert chart(account, setPeriodToTimeRange=True)["series"][0]["values"] == [10, 40]


def test_moments_bands_and_hidden_marks(account: Any) -> None:
    release, band = {"value": "2026-11-23T12:01:00Z", "label": "release"}, [{"value": 1}, {"value": 2}]

    found = chart(account, annotations={"vertical": [release], "horizontal": [band, {"value": 3, "visible": False}]})

    assert (found["moments"], found["annotations"], found["problems"]) == ([[release]], [band], [])


@pytest.mark.parametrize(
    ("kind", "properties", "named"),
    [
        pytest.param("metric", {"metrics": [], "sparkline": True, "trend": False}, "sparkline", id="sparkline"),
        pytest.param(
            "metric",
            {"metrics": [["N", "Use", "M", "a", {"region": "there"}]]},
            "metrics.region",
            id="Region of a metric",
        ),
        pytest.param(
            "metric",
            {"metrics": [], "annotations": {"alarms": ["arn"], "horizontal": [{"value": 1, "odd": 2}]}},
            "annotations.alarms, annotations.horizontal.odd",
            id="alarm annotation and unknown mark",
        ),
        pytest.param("log", {"query": "SOURCE 'g' | limit 1", "accountId": "1"}, "accountId", id="account of a query"),
        pytest.param(
            "metric",
            {"metrics": [], "table": {"layout": "vertical", "stickySummary": True}},
            "table.layout",
            id="layout of a table",
        ),
        pytest.param("text", {"markdown": "x", "colour": "red"}, "colour", id="colour of a text"),
    ],
)
def test_a_property_that_is_not_drawn_is_named(account: Any, kind: str, properties: Any, named: str) -> None:
    found = drawing.draw({"type": kind, "properties": properties}, RANGE, Reader(account, "here"))

    assert found["problems"] == [f"not drawn by this preview: {named}"]


def test_all_events_are_read_where_the_emulator_ends_after_a_page(account: Any) -> None:
    widget = {"type": "log", "properties": {"query": "SOURCE 'long' | stats sum(n) as n by which | sort which"}}

    found = drawing.draw(widget, RANGE, Reader(account, "here"))

    assert found["rows"] == [[0, 8_000], [1, 8_000], [2, 8_000]]


def test_more_events_than_somebody_waits_for_are_said(account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MAX_EVENTS", 23_999)
    widget = {"type": "log", "properties": {"query": "SOURCE 'long' | limit 1"}}

    found = drawing.draw(widget, RANGE, Reader(account, "here"))

    assert found["reason"] == "over 23,999 log events in this time range: choose a shorter one"


def test_a_widget_is_drawn_of_the_region_it_names(account: Any) -> None:
    dashboards = Dashboards(account, ["here", "x"])
    for _ in range(2):
        dashboards.draw("mine", 1, {"r": "x"}, RANGE)

    assert account.regions == ["here"] * 3 + ["x"] * 2


@pytest.mark.parametrize(("index", "title"), [pytest.param(1, "Use", id="graph"), pytest.param(0, "", id="text")])
def test_a_region_without_a_stack_is_named_in_the_widget(account: Any, index: int, title: str) -> None:
    found = Dashboards(account).draw("mine", index, {"r": "eu-west-1"}, RANGE)

    if title:
        assert found == {"kind": "unsupported", "title": title, "reason": "no stack in eu-west-1: choose here"}
        assert account.regions == ["here"] * 3  # nothing was read
    else:
        assert found["kind"] == "text"


def test_a_dashboard_that_is_not_there_is_named(port: int) -> None:
    status, headers, _ = get(port, "/dashboards/other")
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")  # the page says it, too

    status, _, content = get(port, "/api/dashboards/other")
    assert (status, json.loads(content)) == (404, {"message": "there is no dashboard named other"})


def test_a_series_has_its_period_so_that_gaps_are_seen(account: Any) -> None:
    assert [each["period"] for each in drawn(account, 1, m="a")["series"]] == [60, 60]


# The server


@pytest.fixture
def port(account: Any) -> Iterator[int]:
    with Server("127.0.0.1", 0, Dashboards(account)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def get(port: int, path: str, host: str | None = None) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_the_page_is_served_with_a_policy_that_lets_nothing_else_in(port: int) -> None:
    for path in ("/", "/dashboards/mine", "/static/page.js", "/static/vendor/uplot/uPlot.iife.min.js"):
        status, headers, content = get(port, path)
        assert (status, bool(content)) == (200, True)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_drawings_are_served_as_json(port: int) -> None:
    assert json.loads(get(port, "/api/dashboards")[2]) == ["mine"]
    status, _, content = get(port, f"/api/dashboards/mine/widgets/3?m=a&from={RANGE.start}&to={RANGE.end}")
    assert (status, json.loads(content)["rows"]) == (200, [["y", 5], ["x", 1]])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/api/dashboards/other", 404, id="unknown dashboard"),
        pytest.param("/api/nothing", 404, id="unknown path"),
        pytest.param("/static/../server.py", 404, id="path to the code"),
        pytest.param("/static/%2e%2e/server.py", 404, id="encoded path to the code"),
        pytest.param("/static//etc/passwd", 404, id="absolute path"),
        pytest.param("/static/vendor/uplot/LICENSE", 404, id="file of another type"),
        pytest.param("/api/dashboards/mine/widgets/99?from=1&to=2", 404, id="unknown widget"),
        pytest.param("/api/dashboards/mine/widgets/0", 400, id="missing time range"),
        pytest.param("/api/dashboards/mine/widgets/0?from=2&to=1", 400, id="reversed time range"),
        pytest.param("/api/dashboards/mine/widgets/0?from=1&to=99999999", 400, id="time range too long"),
        pytest.param("/api/dashboards/mine/widgets/x?from=1&to=2", 400, id="widget not a number"),
    ],
)
def test_what_is_not_there_or_wrong_is_refused(port: int, path: str, status: int) -> None:
    found, _, content = get(port, path)

    assert found == status
    assert json.loads(content)["message"]


def test_only_this_machine_is_answered(port: int) -> None:
    assert get(port, "/", host="somewhere.example")[0] == 403
    assert get(port, "/", host=f"localhost:{port}")[0] == 200


def test_the_charting_library_is_the_one_that_was_looked_at() -> None:
    folder = STATIC / "vendor" / "uplot"
    first, *lines = (folder / "VERSION").read_text().splitlines()
    assert first.startswith("uplot 1.6.32")
    assert {line.split()[1]: line.split()[0] for line in lines} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "VERSION"
    }
