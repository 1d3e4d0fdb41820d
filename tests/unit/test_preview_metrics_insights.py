"""Metrics Insights queries over a handful of metrics, with series worked out by hand."""

from collections.abc import Iterable, Mapping

import pytest

from localaws.preview import metrics_insights
from localaws.preview.errors import PreviewError
from localaws.preview.series import Metric, MetricStat, Series

SPACE = "Own/Space"


def metric(model: str, endpoint: str, **others: str) -> Metric:
    dimensions = {"EndpointType": endpoint, "ModelId": model, **others}
    return Metric(SPACE, "Percent", tuple(sorted(dimensions.items())))


VALUES: dict[Metric, dict[str, dict[int, float]]] = {
    metric("a", "x"): {"Sum": {0: 10, 60: 90}, "SampleCount": {0: 2, 60: 3}, "Maximum": {0: 6, 60: 50}},
    metric("a", "y"): {"Sum": {60: 30}, "SampleCount": {60: 1}, "Maximum": {60: 30}},
    metric("b", "x"): {"Sum": {0: 5}, "SampleCount": {0: 5}, "Maximum": {0: 1}},
    metric("b", "x", Caller="c"): {"Sum": {0: 1_000}, "SampleCount": {0: 1}, "Maximum": {0: 1_000}},
    Metric(SPACE, "Percent"): {"Sum": {0: 7}, "SampleCount": {0: 1}, "Maximum": {0: 7}},
    Metric(SPACE, "Other"): {"Sum": {0: 9_999}},
    Metric("Another", "Percent"): {"Sum": {0: 9_999}},
    # of two accounts that a monitoring account is linked with
    Metric("Linked", "Percent", (("ModelId", "a"),)): {"Sum": {0: 1}},
    Metric("Linked", "Percent", (("ModelId", "b"),)): {"Sum": {0: 2}},
    Metric("Linked", "Percent", (("ModelId", "a"),), "444455556666"): {"Sum": {0: 10}},
    Metric("Linked", "Percent", (("ModelId", "a"),), "777788889999"): {"Sum": {0: 100}},
}


def read(wanted: Iterable[MetricStat]) -> Mapping[MetricStat, Series]:
    return {stat: Series(stat.period, VALUES[stat.metric].get(stat.stat, {}), stat) for stat in wanted}


def run(query: str) -> dict[str, dict[int, float]]:
    found = metrics_insights.run(metrics_insights.parse(query), VALUES, read, 60)
    return {
        " ".join(value for _, value in series.source.metric.dimensions): dict(series.values)
        for series in found
        if series.source
    }


FROM = 'FROM SCHEMA("Own/Space", ModelId, EndpointType)'


@pytest.mark.parametrize(
    ("query", "series"),
    [
        # of exactly these dimensions, in the order of the names of the groups
        pytest.param(
            f"SELECT SUM(Percent) {FROM} GROUP BY ModelId, EndpointType",
            {"a x": {0: 10, 60: 90}, "a y": {60: 30}, "b x": {0: 5}},
            id="grouped by two dimensions",
        ),
        pytest.param(
            f"SELECT SUM(Percent) {FROM} GROUP BY EndpointType, ModelId ORDER BY MAX() DESC LIMIT 2",
            {"x a": {0: 10, 60: 90}, "y a": {60: 30}},
            id="ordered and limited",
        ),
        pytest.param(
            f"select sum(Percent) {FROM} group by ModelId order by sum()",
            {"b": {0: 5}, "a": {0: 10, 60: 120}},
            id="keywords in lower case",
        ),
        pytest.param(
            f"SELECT AVG(Percent) {FROM} GROUP BY ModelId", {"a": {0: 5, 60: 30}, "b": {0: 1}}, id="averages"
        ),  # 120 over 4 values
        pytest.param(f"SELECT MAX(Percent) {FROM}", {"": {0: 6, 60: 50}}, id="no group"),
        pytest.param(
            f"SELECT COUNT(Percent) {FROM} WHERE EndpointType = 'x' AND ModelId != 'b'",
            {"": {0: 2, 60: 3}},
            id="conditions",
        ),
        # of any dimensions; those without one of the groups' are a group of their own
        pytest.param(
            'SELECT SUM(Percent) FROM "Own/Space" GROUP BY Caller ORDER BY SUM() DESC',
            {"c": {0: 1_000}, "Other": {0: 22, 60: 120}},
            id="groups without the dimension",
        ),
        pytest.param('SELECT SUM("Percent") FROM SCHEMA("Own/Space")', {"": {0: 7}}, id="schema without dimensions"),
        pytest.param('SELECT SUM(Nothing) FROM "Own/Space"', {}, id="unknown metric"),
        pytest.param("SELECT SUM(Percent) FROM Linked", {"": {0: 113}}, id="all accounts"),
        pytest.param(
            "SELECT SUM(Percent) FROM Linked WHERE AWS.AccountId = CURRENT_ACCOUNT_ID()", {"": {0: 3}}, id="own account"
        ),
        pytest.param(
            "SELECT SUM(Percent) FROM Linked where ModelId = 'a' and AWS.AccountId=current_account_id()",
            {"": {0: 1}},
            id="own account and a dimension",
        ),
        pytest.param(
            "SELECT SUM(Percent) FROM Linked WHERE AWS.AccountId != CURRENT_ACCOUNT_ID()",
            {"": {0: 110}},
            id="linked accounts",
        ),
        pytest.param(
            "SELECT SUM(Percent) FROM Linked WHERE AWS.AccountId = '444455556666'", {"": {0: 10}}, id="linked account"
        ),
    ],
)
def test_a_query_makes_these_series(query: str, series: dict[str, dict[int, float]]) -> None:
    found = run(query)

    assert found == series
    assert list(found) == list(series)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("SELECT MEDIAN(Percent) FROM x", id="unknown function"),
        pytest.param("SELECT SUM(Percent)", id="missing FROM"),
        pytest.param(
            "SELECT SUM(Percent) FROM Own/Space", id="namespace without quotes"
        ),  # a slash wants quotation marks
        pytest.param("SELECT SUM(Percent) FROM 'Own/Space'", id="namespace in single quotes"),
        pytest.param('SELECT SUM(Percent) FROM x WHERE ModelId = "a"', id="value in double quotes"),
        pytest.param("SELECT SUM(Percent) FROM x GROUP ModelId", id="GROUP without BY"),
        pytest.param("SELECT SUM(Percent) FROM x ORDER BY SUM DESC", id="ORDER BY without parentheses"),
        pytest.param("SELECT SUM(Percent) FROM x LIMIT 501", id="limit too large"),
        pytest.param("SELECT SUM(Percent) FROM x LIMIT 0", id="limit of 0"),
        pytest.param("SELECT SUM(Percent) FROM x GROUP BY ModelId DESC", id="direction after GROUP BY"),
        pytest.param("SELECT SUM(Percent) FROM x WHERE AWS.Region = 'a'", id="unknown property of AWS"),
        pytest.param("SELECT SUM(Percent) FROM x WHERE AWS.AccountId = CURRENT_ACCOUNT_ID", id="function without ()"),
        pytest.param("SELECT SUM(Percent) FROM x WHERE a = CURRENT_ACCOUNT_ID()", id="account of a dimension"),
    ],
)
def test_what_is_no_query_is_refused(query: str) -> None:
    with pytest.raises(PreviewError):
        metrics_insights.parse(query)


def test_a_query_is_told_from_metric_math() -> None:
    assert metrics_insights.is_query(" select SUM(a) FROM b")
    assert not metrics_insights.is_query("SELECTED + 1")
