"""The options that select calls, and those of a what-if."""

from datetime import UTC, datetime
from typing import Any

import click
import pytest

from bedrock_quota.pools import EndpointType, QuotaPool
from quota_monitor.analyze.scope import ALL_TIME, Dimension
from quota_monitor.answers.options import make_scenario, make_scope, parse_pools, parse_time
from quota_monitor.window import Window

NOW = datetime(2026, 11, 28, 14, 3, 27, tzinfo=UTC)
THIS_MINUTE = int(datetime(2026, 11, 28, 14, 4, tzinfo=UTC).timestamp())
"""The end of the minute of `NOW`."""

DEFAULTS: dict[str, Any] = {
    **{"hours": None, "days": None, "start": None, "end": None, "model": "", "caller": "", "by": "caller"},
    **{"growth": 1.0, "max_tokens": (), "quota": ()},
}


def second(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


def window(*, all_time: bool = False, **given: object) -> Window:
    return make_scope(DEFAULTS | given, NOW, all_time=all_time).window


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        pytest.param({}, "2026-11-27T14:03", "2026-11-28T14:04", id="24 hours, widened to whole minutes"),
        pytest.param({"hours": 1.0}, "2026-11-28T13:03", "2026-11-28T14:04", id="hours"),
        pytest.param({"hours": 0.001}, "2026-11-28T14:03", "2026-11-28T14:04", id="3.6 seconds"),
        pytest.param({"days": 7.0}, "2026-11-21T14:03", "2026-11-28T14:04", id="days"),
        pytest.param({"start": "2026-11-28T12:00"}, "2026-11-28T12:00", "2026-11-28T14:04", id="from, until now"),
        pytest.param(
            {"start": "2026-11-28T12:00:30", "end": "2026-11-28T12:00:31"},
            "2026-11-28T12:00",
            "2026-11-28T12:01",
            id="seconds are widened to their minute",
        ),
        pytest.param({"end": "2026-11-28"}, "2026-11-27T00:00", "2026-11-28T00:00", id="24 hours before an end"),
        pytest.param(
            {"hours": 2.0, "end": "2026-11-28T12:00"}, "2026-11-28T10:00", "2026-11-28T12:00", id="hours before an end"
        ),
        pytest.param(
            {"start": "2026-11-28T14:00+01:00", "end": "2026-11-28T09:00-05:00"},
            "2026-11-28T13:00",
            "2026-11-28T14:00",
            id="offsets",
        ),
        pytest.param({"start": "2026-11-28T13:00Z"}, "2026-11-28T13:00", "2026-11-28T14:04", id="Z"),
        pytest.param(
            {"start": "2026-11-28 13:00", "end": "2026-11-30"}, "2026-11-28T13:00", "2026-11-30T00:00", id="future end"
        ),
    ],
)
def test_a_window_is_in_whole_minutes_of_utc(given: dict[str, Any], start: str, end: str) -> None:
    assert window(**given) == Window(second(start), second(end))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, ALL_TIME, id="all time"),
        pytest.param({"hours": 1.0}, Window(THIS_MINUTE - 3_660, THIS_MINUTE), id="hours"),
        pytest.param({"end": "2026-11-28T12:00"}, Window(0, second("2026-11-28T12:00")), id="until an end"),
    ],
)
def test_files_are_read_whole_unless_an_option_says_otherwise(given: dict[str, Any], expected: Window) -> None:
    assert window(all_time=True, **given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"hours": 1.0, "days": 1.0}, "Use one of --hours, --days and --from", id="hours and days"),
        pytest.param({"hours": 1.0, "start": "2026-11-28"}, "Use one of", id="hours and from"),
        pytest.param({"start": "2026-11-28T15:00"}, "ends before it begins", id="begins after now"),
        pytest.param({"start": "2026-11-28", "end": "2026-11-28"}, "ends before it begins", id="empty"),
        pytest.param({"days": 1e9}, "before any calendar", id="longer than time"),
        pytest.param({"start": "yesterday"}, r"'yesterday' is no time\. Write it like 2026-11-28T14:00", id="word"),
        pytest.param({"end": "14:00"}, "is no time", id="time without a day"),
        pytest.param({"start": "2026-02-30"}, "is no time", id="day that does not exist"),
        pytest.param({"start": ""}, "is no time", id="nothing"),
        pytest.param({"start": "0001-01-01T00:00+14:00", "end": "2026-01-01"}, "is no time", id="before year 1 in UTC"),
        pytest.param({"end": "9999-12-31T23:59:59-14:00"}, "is no time", id="after year 9999 in UTC"),
    ],
)
def test_a_window_that_is_none_is_wrong_usage(given: dict[str, Any], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        window(**given)


@pytest.mark.parametrize(
    ("by", "dimension", "tag"),
    [
        ("caller", Dimension.CALLER, ""),
        ("session", Dimension.SESSION, ""),
        ("tag:team", Dimension.TAG, "team"),
        ("tag:cost:center", Dimension.TAG, "cost:center"),
    ],
    ids=["caller", "session", "tag", "tag with a colon"],
)
def test_a_property_of_calls(by: str, dimension: Dimension, tag: str) -> None:
    scope = make_scope(DEFAULTS | {"by": by}, NOW)

    assert (scope.dimension, scope.tag, scope.metadata_keys) == (dimension, tag, (tag,) if tag else ())


@pytest.mark.parametrize(
    "by",
    ["Caller", "team", "tag", "tag:", "caller:x", "tag:a`b", "tag:a\nb", "tag:" + "x" * 257],
    ids=["capital", "unknown", "no key", "empty key", "key of another", "backtick", "line", "long"],
)
def test_a_property_that_calls_do_not_have_is_wrong_usage(by: str) -> None:
    with pytest.raises(click.UsageError, match="--by takes"):
        make_scope(DEFAULTS | {"by": by}, NOW)


def test_times_are_utc_without_an_offset() -> None:
    assert parse_time("2026-11-28T14:00") == parse_time("2026-11-28T15:00+01:00")
    assert parse_time("2026-11-28T14:00").tzinfo is UTC


# ---------------------------------------------------------------- what-if


@pytest.mark.parametrize(
    ("name", "endpoints"),
    [
        pytest.param("m", list(EndpointType), id="model by all endpoint types"),
        pytest.param("m/cross-region", [EndpointType.CROSS_REGION], id="slash"),
        pytest.param("m (cross-region)", [EndpointType.CROSS_REGION], id="as it is printed"),
        pytest.param(" m / regional ", [EndpointType.REGIONAL], id="blanks"),
    ],
)
def test_a_pool_is_named_by_its_model_and_endpoint_type(name: str, endpoints: list[EndpointType]) -> None:
    assert [(pool.model_id.strip(), pool.endpoint_type) for pool in parse_pools(name)] == [
        ("m", each) for each in endpoints
    ]


def test_an_endpoint_type_that_does_not_exist_is_wrong_usage() -> None:
    with pytest.raises(click.UsageError, match=r"'on-demand' is no endpoint type\. Known: regional, cross-region"):
        parse_pools("m/on-demand")


def test_a_scenario_has_limits_and_quotas() -> None:
    scenario = make_scenario(
        DEFAULTS | {"growth": 2.0, "max_tokens": ("A=1,024", "B=C=0"), "quota": ("m/regional=2_000_000",)}
    )

    assert scenario.growth == 2
    assert scenario.max_tokens == {"A": 1024, "B=C": 0}
    assert scenario.token_quotas == {QuotaPool("m", EndpointType.REGIONAL): 2_000_000}


@pytest.mark.parametrize("option", ["max_tokens", "quota"])
@pytest.mark.parametrize(
    "text",
    ["A", "A=", "=5", "A=-1", "A=1.5", "A=100000001", "A=٣", "A=1e3", "A=" + "9" * 5_000],
    ids=["no value", "empty", "no name", "negative", "fraction", "absurd", "Arabic", "exponent", "5,000 digits"],
)
def test_a_value_that_is_no_count_is_wrong_usage(option: str, text: str) -> None:
    with pytest.raises(click.UsageError, match=rf"--{option.replace('_', '-')} takes (CALLER|POOL)=N"):
        make_scenario(DEFAULTS | {option: (text,)})
