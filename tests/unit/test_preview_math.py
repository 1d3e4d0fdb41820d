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


def evaluate(expression: str, **rows: Series) -> Series | tuple[Series, ...]:
    searched = {SearchCall("{N,D} x", "Sum", 60): (A, B)}
    return math_evaluation.evaluate(metric_math.parse(expression), Inputs(RANGE, 60, rows, tuple(rows), searched))


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("a + 1", {0: 11, 60: 21, 180: 41}),
        ("2 * a - 5", {0: 15, 60: 35, 180: 75}),
        ("-a / 10", {0: -1, 60: -2, 180: -4}),
        ("a ^ 2 / 100", {0: 1, 60: 4, 180: 16}),
        ("a > 15", {0: 0, 60: 1, 180: 1}),
        ("a / b", {0: 10, 120: 0}),  # nothing over nothing is no point, a missing one counts as 0
        ("FILL(a, REPEAT)", {0: 10, 60: 20, 120: 20, 180: 40, 240: 40}),
        ("FILL(a, 7)", {0: 10, 60: 20, 120: 7, 180: 40, 240: 7}),
        ("FILL(a, LINEAR)", {0: 10, 60: 20, 120: 30, 180: 40}),
        ("TIME_SERIES(MAX(a))", {0: 40, 60: 40, 120: 40, 180: 40, 240: 40}),
        ("TIME_SERIES(SUM(a) - MIN(b))", {0: 70, 60: 70, 120: 70, 180: 70, 240: 70}),
        ("TIME_SERIES(80)", {0: 80, 60: 80, 120: 80, 180: 80, 240: 80}),
        ("TIME_SERIES(MAX(none))", {}),  # no peak, and not one of 0
        ("TIME_SERIES(SUM(none))", {0: 0, 60: 0, 120: 0, 180: 0, 240: 0}),
        ("SUM([a, b])", {0: 11, 60: 20, 120: 3, 180: 40}),
        ("MAX(METRICS())", {0: 10, 60: 20, 120: 3, 180: 40}),
        ("SUM(SEARCH('{N,D} x', 'Sum', 60))", {0: 11, 60: 20, 120: 3, 180: 40}),
        ("RUNNING_SUM(a)", {0: 10, 60: 30, 180: 70}),
        ("RATE(a)", {60: 10 / 60, 180: 20 / 120}),
        ("IF(b, a, 0)", {0: 10, 60: 0, 120: 0}),
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
    ["a +", "NOTHING(a)", "max(a)", "FILL(a)", "c + 1", "MAX(a)", "SEARCH('x')", "a b", "SERVICE_QUOTA(a)"],
)
def test_what_cloudwatch_would_refuse_is_refused(expression: str) -> None:
    with pytest.raises(PreviewError):
        evaluate(expression, a=A)


TOKENS = Metric("Bedrock/Quotas", "ReservedTokens", (("EndpointType", "regional"), ("ModelId", "a.nova-pro-v1:0")))
HEALTH = Metric("Bedrock/Quotas", "RecordsRejected")
THROTTLES = Metric("AWS/Bedrock", "InvocationThrottles", (("ModelId", "us.anthropic.claude-sonnet-4-6"),))
OTHER = Metric("AWS/Bedrock", "InvocationThrottles", (("ModelId", "us.anthropic.claude-opus-4-6"),))


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ('{"Bedrock/Quotas",ModelId,EndpointType} MetricName="ReservedTokens"', [TOKENS]),
        ('{"Bedrock/Quotas",ModelId,EndpointType} MetricName="ConsumedTokens"', []),
        ('{"Bedrock/Quotas",ModelId} MetricName="ReservedTokens"', []),  # exactly these dimensions
        ('{AWS/Bedrock,ModelId} MetricName="InvocationThrottles" ModelId=anthropic.claude-sonnet-4-6', [THROTTLES]),
        ('{AWS/Bedrock,ModelId} MetricName="InvocationThrottles" ModelId="anthropic.claude-sonnet-4-6"', []),
        ('Namespace="AWS/Bedrock" MetricName="InvocationThrottles"', [OTHER, THROTTLES]),
        ("{AWS/Bedrock,ModelId} sonnet OR opus", [OTHER, THROTTLES]),
        ("{AWS/Bedrock,ModelId} NOT opus", [THROTTLES]),
        ("MetricName=(RecordsRejected OR RecordsIgnored)", [HEALTH]),
    ],
)
def test_a_search_finds_metrics_by_schema_and_words(search: str, found: list[Metric]) -> None:
    assert list(metric_search.find(metric_search.parse(search), [TOKENS, HEALTH, THROTTLES, OTHER])) == found


@pytest.mark.parametrize("search", ["{Namespace", "", 'MetricName="x" OR', "x" * 1_025])
def test_a_search_that_is_none_is_refused(search: str) -> None:
    with pytest.raises(PreviewError):
        metric_search.parse(search)
