"""The deployed dashboard, drawn on this machine: its data, and the page in a real browser."""

import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from samcli.yamlhelper import yaml_parse
from test_stack import Deliver, converse, record

from bedrock_quota.settings import DEFAULT_NAMESPACE
from dashboard.chromium import FLAGS, find_chromium
from localaws.instance import Instance
from quota_monitor.deployment.checkout import ROOT

PEAKS = "Peak reserved, % of quota per minute"
MODEL, OTHER = "amazon.nova-premier-v1:0", "cohere.command-r-plus-v1:0"


@pytest.fixture(scope="module")
def minute() -> datetime:
    """A whole minute of the three hours that the page shows when it opens."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=150)


@pytest.fixture(scope="module")
def dashboard(local: Instance, deliver: Deliver, minute: datetime, resource: Callable[[str], str]) -> str:
    """The name of the dashboard, after calls of two pools and a fetch of their quotas."""
    deliver(
        [
            record(minute, f"us.{MODEL}", body=converse(900_000), tokens=(100_000, 20), second=second)
            for second in range(3)
        ]
        + [record(minute, OTHER, body=converse(100), tokens=(5, 5))]
    )
    local.session().client("lambda").invoke(FunctionName=resource("QuotaFetcherFunction"), Payload=b"{}")
    local.drain()
    return local.outputs["DashboardName"]


def api(local: Instance, path: str, **query: object) -> Any:
    url = f"{local.preview_url}/api/dashboards/{path}?{urlencode(query)}"
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - this machine's
        return json.loads(answer.read())


def drawings(
    local: Instance, name: str, minute: datetime, before: int = 600, **values: str
) -> Sequence[dict[str, Any]]:
    """What is drawn of the time from so many seconds before `minute` on."""
    start = int(minute.timestamp())
    widgets = api(local, name)["widgets"]
    window = {"from": start - before, "to": start + 4 * 3600}
    return [api(local, f"{name}/widgets/{index}", **window, **values) for index in range(len(widgets))]


def test_every_widget_of_the_deployed_dashboard_is_drawn(local: Instance, dashboard: str, minute: datetime) -> None:
    # when the deployed dashboard is drawn for one pool
    found = drawings(local, dashboard, minute, model=MODEL, endpoint="cross-region")
    # then nothing in it is unknown to the preview
    assert [each["problems"] for each in found if each.get("problems")] == []
    assert [each["reason"] for each in found if each["kind"] == "unsupported"] == []
    by_title = {each["title"]: each for each in found if each.get("title")}
    # and the numbers are those of the calls: 3 × (100,000 + 900,000) reserved, 3 × (100,000 + 20) consumed
    lines = {each["label"]: each for each in by_title["Tokens per minute"]["series"]}
    at = lines["reserved (what throttles)"]["times"].index(int(minute.timestamp()) * 1000)
    assert lines["reserved (what throttles)"]["values"][at] == 3_000_000
    assert lines["consumed"]["values"][at] == 300_060
    quota = lines["quota"]["values"][-1]
    (peak,) = by_title["Peak reserved, % of the quota"]["series"]
    reserved = 100 * 3_000_000 / quota
    assert peak["values"][-1] == pytest.approx(reserved)
    (row,) = by_title[next(title for title in by_title if title.startswith("Callers of the chosen pool"))]["rows"]
    freed = 100 * 3 * (900_000 - 256) / quota
    proposal = [900_000, 256, 20, 0, pytest.approx(freed, abs=0.06), pytest.approx(reserved, abs=0.06)]
    assert row == ["e2e-app", "explicit", *proposal, 3_000_000, 300_060, 3]
    to_change = next(rows for title, rows in by_title.items() if title.startswith("Callers to change first"))["rows"]
    assert [MODEL, "cross-region", "e2e-app", *proposal] in to_change
    assert [row[:2] for row in by_title["Quotas of the chosen pool"]["rows"]] == [[quota, None]]
    assert MODEL in [each[1] for each in by_title["Callers of all pools by consumed tokens"]["rows"]]


def test_any_dashboard_is_drawn_and_an_alarms_query_sees_what_it_watches(
    local: Instance, dashboard: str, minute: datetime
) -> None:
    # given another dashboard, of somebody's own, with the very query of an alarm, as in a monitoring account
    template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    alarm = template["Resources"]["ReservedQuotaAlarm"]["Properties"]
    text, values = alarm["Metrics"][0]["Expression"]["Fn::Sub"]
    _, in_monitoring_account, _ = values["OwnAccount"]["Fn::If"]
    query = text.replace("${MetricsNamespace}", DEFAULT_NAMESPACE).replace("${OwnAccount}", in_monitoring_account)
    assert "CURRENT_ACCOUNT_ID()" in query
    widget = {"view": "timeSeries", "period": 60, "metrics": [[{"expression": query, "id": "q", "label": ""}]]}
    body = {"widgets": [{"type": "metric", "properties": {**widget, "trend": True}}]}
    local.session().client("cloudwatch").put_dashboard(DashboardName="own", DashboardBody=json.dumps(body))
    # when both are drawn
    (own,) = drawings(local, "own", minute)
    gauges = drawings(local, dashboard, minute, model=MODEL, endpoint="cross-region")
    (peak,) = [
        each["series"][0]["values"][-1] for each in gauges if each.get("title") == "Peak reserved, % of the quota"
    ]
    # then the alarm sees the pool's peak, in the pool's name, and what cannot be drawn is named
    series = {each["label"]: each for each in own["series"]}
    assert max(series[f"{MODEL} cross-region"]["values"]) == pytest.approx(peak)
    assert own["problems"] == ["not drawn by this preview: trend"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        reason = "the dashboard's page was not tried: no chromium is installed"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


class Watched:
    """A page, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or ""))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)


@pytest.fixture
def watched(browser: Browser, local: Instance, dashboard: str) -> Watched:
    found = Watched(browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme="light"))
    found.page.goto(f"{local.preview_url}/dashboards/{dashboard}?{choices(MODEL, 'cross-region')}")
    wait_until_drawn(found.page, MODEL, "cross-region")
    return found


def choices(model: str, endpoint: str) -> str:
    return urlencode({"model": model, "endpoint": endpoint, "region": "us-east-1", "hours": 12})


def wait_until_drawn(page: Page, model: str, endpoint: str) -> None:
    """Wait until all widgets are those of this choice, whatever was drawn or begun before."""
    page.wait_for_selector(f"body[data-drawn='{choices(model, endpoint)}']", timeout=60_000)


def card(page: Page, title: str) -> Any:
    return page.locator("section", has=page.locator("h2", has_text=title)).first


def test_the_page_shows_the_quota_where_it_is_and_changes_with_its_variables(
    watched: Watched, local: Instance, dashboard: str, minute: datetime
) -> None:
    page = watched.page
    chart = card(page, "Tokens per minute").locator(".drawing")
    # then the red line stands where the quota is: at the very height of the axis' value, in its colour
    (quota,) = [
        each["values"][-1]
        for drawing in drawings(local, dashboard, minute, model=MODEL, endpoint="cross-region")
        if drawing.get("title") == "Tokens per minute"
        for each in drawing["series"]
        if each["label"] == "quota"
    ]
    colour = chart.evaluate(
        """(place, quota) => {
            const chart = place.chart, index = chart.data[3].findLastIndex((value) => value !== null);
            const x = Math.round(chart.valToPos(chart.data[0][index - 1], "x", true));
            const y = Math.round(chart.valToPos(quota, "left", true));
            const area = chart.ctx.getImageData(x - 2, y - 3, 4, 7).data;
            const found = [];
            for (let at = 0; at < area.length; at += 4) found.push(area.slice(at, at + 4));
            return found.some(([r, g, b, a]) => a > 128 && r > 180 && g < 140 && b < 80);
        }""",
        quota,
    )
    assert colour is True
    # and what is over its quota is marked in the tables of peaks, be it the peak or the average
    marked = card(page, PEAKS).locator("td.over").all_text_contents()
    (peaks,) = [
        [each["values"] for each in drawing["series"]]
        for drawing in drawings(local, dashboard, minute, before=12 * 3600)  # as the page does, other tests' calls too
        if drawing.get("title") == PEAKS
    ]
    assert len(marked) == sum((max(each) >= 100) + (sum(each) >= 100 * len(each)) for each in peaks) > 0
    # when another pool is chosen
    page.select_option("#variable-model", OTHER)
    page.select_option("#variable-endpoint", "regional")
    wait_until_drawn(page, OTHER, "regional")
    # then headings, graphs and tables are about that one
    assert page.get_by_text(f"The chosen pool: {OTHER}, regional").is_visible()
    reserved = chart_values(page, "Tokens per minute")
    assert max(value for value in reserved if value is not None) == 105  # 5 + 100
    # and nothing went wrong, and nothing came from elsewhere
    assert watched.errors == []
    assert watched.hosts == {"127.0.0.1"}


def test_the_first_screen_answers_before_anybody_chooses(browser: Browser, local: Instance, dashboard: str) -> None:
    # given a browser of the usual size
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    # when the dashboard is opened without a choice, as late as the other tests may have made it
    page.goto(f"{local.preview_url}/dashboards/{dashboard}?hours=12")
    page.wait_for_selector("body[data-drawn]", timeout=60_000)
    # then the pool nearest its quota, and who to change first, with both values, are seen without a click
    for title, cells in ((PEAKS, 3), ("Callers to change first", 9)):
        row = card(page, title).locator("tbody tr").first
        box = row.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 900, title
        assert all(text not in {"", "–"} for text in row.locator("td").all_text_contents()[:5]), title
        assert row.locator("td").count() == cells
    # and the page is drawn again each minute, counted from the end of the last time
    assert page.locator("#refresh").input_value() == "60"


def test_what_is_not_yet_drawn_again_is_dimmed_and_charts_fit_their_widgets(watched: Watched) -> None:
    page = watched.page
    # given widgets that take a while
    held: list[Any] = []
    page.route("**/widgets/*", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks its handlers
    # when another pool is chosen
    page.select_option("#variable-endpoint", "regional")
    # then no widget looks as if it were about that one, until it is
    assert page.locator("section.stale").count() == page.locator("section").count() > 30
    page.unroute("**/widgets/*")  # lets those go on that were held
    wait_until_drawn(page, MODEL, "regional")
    assert page.locator("section.stale").count() == 0
    # and when the window changes, then so do the charts
    for width in (900, 1500):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(
            """() => [...document.querySelectorAll(".drawing")].filter((place) => place.chart)
                .every((place) => Math.abs(place.chart.width - place.clientWidth) < 2)""",
            timeout=10_000,
        )
    assert watched.errors == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("/dashboards/nothing", "there is no dashboard named nothing", id="dashboard"),
        pytest.param("/dashboards/{}?region=eu-west-1", "no stack in eu-west-1: choose us-east-1", id="Region"),
        pytest.param("/dashboards/{}?region=Mars", "no stack in Mars: choose us-east-1", id="no Region"),
    ],
)
def test_the_page_names_what_is_not_there(
    browser: Browser, local: Instance, dashboard: str, path: str, message: str
) -> None:
    page = browser.new_page()

    page.goto(local.preview_url + path.format(dashboard))

    page.get_by_text(message).first.wait_for(timeout=60_000)


def chart_values(page: Page, title: str) -> list[float | None]:
    found: list[float | None] = card(page, title).locator(".drawing").evaluate("(place) => place.chart.data[1]")
    return found


def test_a_picture_of_the_whole_page(watched: Watched, tmp_path: Path) -> None:
    picture = tmp_path / "dashboard.png"
    watched.page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000
    assert watched.page.locator(".problem").count() == 0


@pytest.mark.usefixtures("dashboard")
def test_a_dashboard_of_another_kind_is_drawn_without_errors(
    browser: Browser, local: Instance, minute: datetime, resource: Callable[[str], str]
) -> None:
    # given a dashboard with what ours has not: marks of all kinds, bars, pies, alarms, a widget that nobody can draw
    row = [DEFAULT_NAMESPACE, "ConsumedTokens", "ModelId", MODEL, "EndpointType", "cross-region", {"stat": "Sum"}]
    marks = {
        "horizontal": [[{"value": 1, "label": "band"}, {"value": 9}], {"value": 5, "fill": "above"}],
        "vertical": [{"value": minute.isoformat(), "label": "release", "fill": "after"}],
    }
    query = f"SOURCE '{resource('MetricProcessorLogGroup')}' | stats sum(requests) as calls by ModelId"
    alarm = local.session().client("cloudwatch").describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    properties = [
        ("metric", {"metrics": [row], "annotations": marks, "legend": {"position": "hidden"}, "stacked": True}),
        ("metric", {"metrics": [row], "view": "bar", "setPeriodToTimeRange": True}),
        ("metric", {"metrics": [row], "view": "pie"}),
        ("log", {"query": query, "view": "bar"}),
        ("alarm", {"title": "alarms", "alarms": [alarm]}),
        ("custom", {"endpoint": "arn"}),
    ]
    widgets = [{"type": kind, "properties": each, "y": 6 * y} for y, (kind, each) in enumerate(properties)]
    body = {"widgets": widgets}
    local.session().client("cloudwatch").put_dashboard(DashboardName="others", DashboardBody=json.dumps(body))
    # when a browser shows it
    found = Watched(browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="dark"))
    found.page.goto(f"{local.preview_url}/dashboards/others?hours=12")
    found.page.wait_for_selector("body[data-drawn='hours=12']", timeout=60_000)
    # then all but the last is drawn, and that is said, and that CloudWatch would take other periods
    assert found.page.locator(".nothing").count() == 0
    assert found.page.locator(".problem").all_text_contents() == [
        "not drawn by this preview: periodOverride: auto, with which long time ranges have longer periods",
        "not supported by this preview: widgets of the type 'custom'",
    ]
    assert found.page.locator(".legend").count() == 1  # the pie's
    assert found.errors == []
