"""Metric math over series worked out by hand, and searches over metrics."""

import pytest

from localaws.preview import math_evaluation, metric_math, metric_search
from localaws.preview.errors import PreviewError
from localaws.preview.math_evaluation import Inputs, SearchCall
from localaws.preview.series import Metric, Series, TimeRange

RANGE = TimeRange(0, 300)
A = Series(60, {0: 10.0, 60: 20.0, 180: 40.0})
B = Series(60, {0: 1.0, 60: 0.0, 120: 3.0})
NONE = Series(60, {})


def evaluate(expression: str, *, fills_empty: bool = True, **rows: Series) -> Series | tuple[Series, ...]:
    searched = {SearchCall("{N,D} x", "Sum", 60): (A, B)}
    return math_evaluation.evaluate(
        metric_math.parse(expression), Inputs(RANGE, 60, rows, tuple(rows), searched, fills_empty)
    )


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        pytest.param("a + 1", {0: 11, 60: 21, 180: 41}, id="addition"),
        pytest.param("2 * a - 5", {0: 15, 60: 35, 180: 75}, id="multiplication before subtraction"),
        pytest.param("-a / 10", {0: -1, 60: -2, 180: -4}, id="negation and division"),
        pytest.param("a ^ 2 / 100", {0: 1, 60: 4, 180: 16}, id="power before division"),
        pytest.param("a > 15", {0: 0, 60: 1, 180: 1}, id="comparison"),
        pytest.param(
            "a / b", {0: 10, 120: 0}, id="division of series"
        ),  # nothing over nothing is no point, a missing one counts as 0
        pytest.param("FILL(a, REPEAT)", {0: 10, 60: 20, 120: 20, 180: 40, 240: 40}, id="fill by repeating"),
        pytest.param("FILL(a, 7)", {0: 10, 60: 20, 120: 7, 180: 40, 240: 7}, id="fill with a number"),
        pytest.param("FILL(a, LINEAR)", {0: 10, 60: 20, 120: 30, 180: 40}, id="fill with lines"),
        pytest.param("TIME_SERIES(MAX(a))", {0: 40, 60: 40, 120: 40, 180: 40, 240: 40}, id="maximum as a series"),
        pytest.param(
            "TIME_SERIES(SUM(a) - MIN(b))",
            {0: 70, 60: 70, 120: 70, 180: 70, 240: 70},
            id="sum less minimum as a series",
        ),
        pytest.param("TIME_SERIES(80)", {0: 80, 60: 80, 120: 80, 180: 80, 240: 80}, id="number as a series"),
        pytest.param("TIME_SERIES(MAX(none))", {}, id="maximum of no values"),  # no peak, and not one of 0
        pytest.param("TIME_SERIES(SUM(none))", {0: 0, 60: 0, 120: 0, 180: 0, 240: 0}, id="sum of no values"),
        pytest.param("SUM([a, b])", {0: 11, 60: 20, 120: 3, 180: 40}, id="sum of an array"),
        pytest.param("MAX(METRICS())", {0: 10, 60: 20, 120: 3, 180: 40}, id="maximum of all metrics"),
        pytest.param("SUM(SEARCH('{N,D} x', 'Sum', 60))", {0: 11, 60: 20, 120: 3, 180: 40}, id="sum of a search"),
        pytest.param("RUNNING_SUM(a)", {0: 10, 60: 30, 180: 70}, id="running sum"),
        pytest.param("RATE(a)", {60: 10 / 60, 180: 20 / 120}, id="rate"),
        pytest.param("IF(b, a, 0)", {0: 10, 60: 0, 120: 0}, id="condition"),
    ],
)
def test_an_expression_over_two_series(expression: str, values: dict[int, float]) -> None:
    found = evaluate(expression, a=A, b=B, none=NONE)

    assert isinstance(found, Series)
    assert dict(found.values) == pytest.approx(values)


def test_series_are_sorted_by_a_summary_and_cut() -> None:
    assert evaluate("SORT(SEARCH('{N,D} x', 'Sum', 60), MAX, DESC)") == (A, B)
    assert evaluate("SORT(SEARCH('{N,D} x', 'Sum', 60), MAX, ASC)") == (B, A)
    assert evaluate("SORT(SEARCH('{N,D} x', 'Sum', 60), SUM, DESC, 1)") == (A,)


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("a +", id="missing operand"),
        pytest.param("NOTHING(a)", id="unknown function"),
        pytest.param("max(a)", id="function in lower case"),
        pytest.param("FILL(a)", id="missing argument"),
        pytest.param("c + 1", id="unknown row"),
        pytest.param("MAX(a)", id="result a number"),
        pytest.param("SEARCH('x')", id="search without a statistic"),
        pytest.param("a b", id="missing operator"),
        pytest.param("SERVICE_QUOTA(a)", id="function without support"),
    ],
)
def test_what_cloudwatch_would_refuse_is_refused(expression: str) -> None:
    with pytest.raises(PreviewError):
        evaluate(expression, a=A)


@pytest.mark.parametrize(
    ("fills_empty", "filled"),
    [pytest.param(True, dict.fromkeys(range(0, 300, 60), 0.0), id="zeros"), pytest.param(False, {}, id="nothing")],
)
def test_fill_of_a_series_without_values_has_two_readings(fills_empty: bool, filled: dict[int, float]) -> None:
    (empty,) = values_of(evaluate("FILL(none, 0)", fills_empty=fills_empty, none=NONE))
    (known,) = values_of(evaluate("FILL(a, 0)", fills_empty=fills_empty, a=A))

    assert empty == filled
    assert known == {0: 10, 60: 20, 120: 0, 180: 40, 240: 0}  # by either


def values_of(found: Series | tuple[Series, ...]) -> list[dict[int, float]]:
    return [dict(each.values) for each in (found if isinstance(found, tuple) else (found,))]


TOKENS = Metric("Bedrock/Quotas", "ReservedTokens", (("EndpointType", "regional"), ("ModelId", "a.nova-pro-v1:0")))
HEALTH = Metric("Bedrock/Quotas", "RecordsRejected")
THROTTLES = Metric("AWS/Bedrock", "InvocationThrottles", (("ModelId", "us.anthropic.claude-sonnet-4-6"),))
OTHER = Metric("AWS/Bedrock", "InvocationThrottles", (("ModelId", "us.anthropic.claude-opus-4-6"),))
LINKED = Metric(TOKENS.namespace, TOKENS.name, TOKENS.dimensions, account="444455556666")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        pytest.param(
            '{"Bedrock/Quotas",ModelId,EndpointType} MetricName="ReservedTokens"',
            [TOKENS],
            id="schema and exact metric name",
        ),
        pytest.param('{"Bedrock/Quotas",ModelId,EndpointType} MetricName="ConsumedTokens"', [], id="other metric name"),
        pytest.param(
            '{"Bedrock/Quotas",ModelId} MetricName="ReservedTokens"', [], id="schema with fewer dimensions"
        ),  # exactly these dimensions
        pytest.param(
            '{AWS/Bedrock,ModelId} MetricName="InvocationThrottles" ModelId=anthropic.claude-sonnet-4-6',
            [THROTTLES],
            id="partial dimension value",
        ),
        pytest.param(
            '{AWS/Bedrock,ModelId} MetricName="InvocationThrottles" ModelId="anthropic.claude-sonnet-4-6"',
            [],
            id="exact dimension value",
        ),
        pytest.param(
            'Namespace="AWS/Bedrock" MetricName="InvocationThrottles"', [OTHER, THROTTLES], id="without a schema"
        ),
        pytest.param("{AWS/Bedrock,ModelId} sonnet OR opus", [OTHER, THROTTLES], id="OR"),
        pytest.param("{AWS/Bedrock,ModelId} NOT opus", [THROTTLES], id="NOT"),
        pytest.param(
            "MetricName=(RecordsRejected OR RecordsIgnored)", [HEALTH], id="OR in parentheses after a property"
        ),
    ],
)
def test_a_search_finds_metrics_by_schema_and_words(search: str, found: list[Metric]) -> None:
    assert list(metric_search.find(metric_search.parse(search), [TOKENS, HEALTH, THROTTLES, OTHER])) == found


@pytest.mark.parametrize(
    ("term", "found"),
    [
        pytest.param("", [TOKENS, LINKED], id="all accounts"),
        pytest.param(' :aws.AccountId="LOCAL"', [TOKENS], id="account itself"),
        pytest.param(" :aws.AccountId = 'LOCAL'", [TOKENS], id="account itself, as on AWS's page"),
        pytest.param(' :aws.AccountId="444455556666"', [LINKED], id="linked account"),
        pytest.param(' NOT :aws.AccountId="LOCAL"', [LINKED], id="not the account itself"),
    ],
)
def test_a_search_of_a_monitoring_account_finds_metrics_of_linked_ones(term: str, found: list[Metric]) -> None:
    search = metric_search.parse(f'{{"Bedrock/Quotas",ModelId,EndpointType}} MetricName="ReservedTokens"{term}')

    assert list(metric_search.find(search, [LINKED, TOKENS])) == found


@pytest.mark.parametrize(
    "search",
    [
        pytest.param('MetricName="x" :aws.Region="y"', id="unknown property of AWS"),
        pytest.param("{Namespace", id="unfinished schema"),
        pytest.param("", id="empty"),
        pytest.param('MetricName="x" OR', id="missing operand of OR"),
        pytest.param("x" * 1_025, id="too long"),
    ],
)
def test_a_search_that_is_none_is_refused(search: str) -> None:
    with pytest.raises(PreviewError):
        metric_search.parse(search)
