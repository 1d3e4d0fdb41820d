"""The evidence for a larger quota. Every number is worked out by hand."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from demo_output import demo_document
from fake_aws import ACCOUNT, FakeAws, insights
from records import NOVA, SONNET, converse, invoke, message, with_id

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.increase import Load, gather_evidence, propose_quotas
from bedrock_quota.analysis.tally import NO_OUTPUT, UsageTally
from bedrock_quota.analysis.usage import THROTTLED, PoolUsage
from bedrock_quota.analysis.what_if import Outcome, Scenario
from bedrock_quota.errors import LogSourceError
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool, Unit
from quota_monitor.analyze import log_group, sources
from quota_monitor.analyze.sources import NO_ACCOUNT
from quota_monitor.answers.days import count_days, note_missing_days
from quota_monitor.answers.options import parse_pools
from quota_monitor.deployed.lines import LineCall
from quota_monitor.increase import command
from quota_monitor.increase.page import write_markdown, write_next_steps
from quota_monitor.increase.request import Quota, Request, to_data
from quota_monitor.main import main
from quota_monitor.window import Window

POOL = QuotaPool("vendor.model-1", EndpointType.CROSS_REGION)
NOON = 1_795_867_200  # 2026-11-28T12:00:00Z
QUOTA = Quota("L-12345678", "Cross-region tokens per minute for Model 1", 12_000, True)


def usage(*, max_tokens: int | None = 900, throttled: int = 0) -> PoolUsage:
    """Ten busy minutes with 1 to 10 calls of 100 input tokens and 50 output tokens."""
    tally = UsageTally()
    for minute in range(10):
        for _ in range(minute + 1):
            opened = tally.open_calls(POOL, NOON + 60 * minute, "App", "explicit")
            opened.add(LineCall(100, 0, 0, 50, max_tokens, 150, False))
    if throttled:
        tally.add_failed(POOL, NOON + 540, "App", THROTTLED, throttled)
    (found,) = tally.measure({POOL: PoolQuota(12_000, 100)})
    return found


def gather(
    found: PoolUsage,
    *,
    quota: Quota | None = QUOTA,
    ask_for: Quota | None = QUOTA,
    growth: float = 1,
    unit: Unit = Unit.TOKENS_PER_MINUTE,
    **changed: Any,
) -> Request:
    proposals = propose_quotas(found, Scenario(growth))
    window = Window(NOON, NOON + 600)
    given = Request(POOL, "us-east-1", window, found, gather_evidence(found), unit, proposals, quota, ask_for)
    return msgspec.structs.replace(given, **changed)


def request(found: PoolUsage, **given: Any) -> str:
    return "\n".join(write_markdown(gather(found, **given)))


def test_steady_high_and_peak_are_of_the_same_minutes():
    evidence = gather_evidence(usage(throttled=3))

    # 1,000 per call: the 5th, the 9th and the 10th of ten minutes
    assert (evidence.steady, evidence.high, evidence.peak) == (Load(5_000, 5), Load(9_000, 9), Load(10_000, 10))
    assert (evidence.busy_minutes, evidence.mean_input, evidence.mean_output) == (10, 100, 50)
    assert (evidence.throttled, evidence.throttled_minutes) == (3, 1)


@pytest.mark.parametrize(
    ("max_tokens", "growth", "tokens", "requests"),
    [
        # 10 calls of 200 and 3 throttled ones as large: 2,600, and a fifth more is 3,120. 13 requests: 15.6
        pytest.param(100, 1, 3_200, 16, id="the peak with the throttled calls"),
        pytest.param(100, 2, 6_300, 32, id="twice as much: 6,240 and 31.2"),
        # 9,000 becomes 256: 13 calls of 356 are 4,628, and a fifth more is 5,553.6
        pytest.param(9_000, 1, 5_600, 16, id="after smaller limits"),
        pytest.param(None, 1, 1_800, 16, id="unknown limits: 10 calls of 150 consumed, and no throttled ones"),
    ],
)
def test_values(max_tokens: int | None, growth: float, tokens: int, requests: int):
    found = propose_quotas(usage(max_tokens=max_tokens, throttled=3), Scenario(growth))

    assert (found.tokens.value, found.requests.value) == (tokens, requests)


def two_callers(throttled: int = 0) -> PoolUsage:
    """One minute with 10 calls of each of two callers: 640,500 and 321,000 tokens, of a quota of 650,000."""
    tally = UsageTally()
    for caller, limit in (("Big", 64_000), ("Less", 32_050)):
        for _ in range(10):
            tally.open_calls(POOL, NOON, caller, "explicit").add(LineCall(50, 0, 0, 50, limit, 100, False))
    if throttled:
        tally.add_failed(POOL, NOON, "Big", THROTTLED, throttled)
    (found,) = tally.measure({POOL: PoolQuota(650_000, 100)})
    return found


@pytest.mark.parametrize(
    ("throttled", "growth", "changed", "base", "value"),
    [
        # Big has 10 × 306 with 256, and Less 321,000. Together 324,060, and a fifth more is 388,872
        pytest.param(0, 1, ["Big"], 324_060, 390_000, id="one limit is enough"),
        # twice 324,060 is 648,120, and a fifth more is 777,744
        pytest.param(0, 2, ["Big"], 324_060, 780_000, id="one limit is just enough"),
        # 7 more of Big are 326,202, which twice reach the quota. With 256 for Less: 27 × 306, and × 2.4 is 19,828.8
        pytest.param(7, 2, ["Big", "Less"], 8_262, 20_000, id="throttled calls make a second limit necessary"),
        # three times 324,060 reach the quota. 20 × 306 is 6,120, and × 3.6 is 22,032
        pytest.param(0, 3, ["Big", "Less"], 6_120, 23_000, id="growth makes a second limit necessary"),
    ],
)
def test_limits_are_chosen_for_the_traffic_that_is_expected(
    throttled: int, growth: float, changed: list[str], base: float, value: int
) -> None:
    found = propose_quotas(two_callers(throttled), Scenario(growth))

    assert [change.caller.caller for change in found.changes] == changed
    assert (found.tokens.base, found.tokens.value) == (base, value)
    assert [each["caller"] for each in to_data(gather(two_callers(throttled), growth=growth))["changes"]] == changed


@pytest.mark.parametrize("growth", [1.5, 2, 5, 8, 13, 40, 200])
@pytest.mark.parametrize("name", ["demo", "two callers", "throttled", "one caller", "unknown"])
def test_the_value_is_that_of_the_what_if(name: str, growth: float) -> None:
    found = {
        "demo": sonnet_of_demo,
        "two callers": two_callers,
        "throttled": lambda: two_callers(7),
        "one caller": lambda: usage(throttled=3),
        "unknown": lambda: usage(max_tokens=None, throttled=3),
    }[name]()
    (answer,) = find_answers([found], {}, Scenario(growth))
    remedy, given = answer.remedy, gather(found, growth=growth)

    if remedy is None:
        assert answer.projection is not None
        assert answer.projection.outcome not in {Outcome.REACHES, Outcome.MAY_REACH}
        return
    data = to_data(given)
    if remedy.changes:
        pairs = [(each.caller.caller, each.max_tokens) for each in remedy.changes]
        assert [(each["caller"], each["max_tokens"]) for each in data["changes"]] == pairs
    assert remedy.token_quota in {None, data["proposal"]["value"]}
    other = data["other_proposal"]
    assert (None if other is None else other["value"]) == remedy.request_quota


def sonnet_of_demo() -> PoolUsage:
    (found,) = [each.usage for each in demo_document().pools if "sonnet-4-6" in each.usage.pool.model_id]
    return found


def test_the_demo_has_one_value_in_both_commands() -> None:
    (answer,) = find_answers([sonnet_of_demo()], {}, Scenario(8))
    text = request(sonnet_of_demo(), growth=8)

    assert answer.remedy is not None
    assert (answer.remedy.token_quota, answer.remedy.request_quota) == (960_000, 450)
    assert "rounded up: **960,000 TPM**." in text
    # 46 requests are wanted in a minute: × 8 is 368, and a fifth more is 441.6
    assert (
        "The RPM quota of 250 is reached, too: 46 RPM (the most requests wanted in a minute) × 8 growth × 1.2 "
        "headroom, rounded up: **450 RPM**."
    ) in text
    assert "Request 450 requests per minute, too: run this again with --requests." in list(
        write_next_steps(gather(sonnet_of_demo(), growth=8))
    )


@pytest.mark.parametrize(
    ("unit", "growth", "said"),
    [
        # 10 requests of 100, and 10 × 200 tokens of 12,000
        pytest.param(Unit.TOKENS_PER_MINUTE, 9.9, None, id="99 requests"),
        pytest.param(Unit.TOKENS_PER_MINUTE, 10, "Request 120 requests per minute, too", id="100 requests"),
        pytest.param(Unit.REQUESTS_PER_MINUTE, 5, None, id="10,000 tokens"),
        pytest.param(Unit.REQUESTS_PER_MINUTE, 6, "Request 15,000 tokens per minute, too", id="12,000 tokens"),
    ],
)
def test_the_other_quota_is_named_if_it_is_reached_too(unit: Unit, growth: float, said: str | None) -> None:
    given = gather(usage(max_tokens=100), unit=unit, growth=growth)

    assert ("is reached, too" in "\n".join(write_markdown(given))) is (said is not None)
    steps = [each for each in write_next_steps(given) if "per minute, too" in each]
    assert [each.partition(": run this again")[0] for each in steps] == ([] if said is None else [said])
    legacy = msgspec.structs.replace(given, end_of_life=date(2027, 1, 8))
    assert "is reached, too" not in "\n".join(write_markdown(legacy))


def test_the_page_has_the_evidence_and_the_command():
    text = request(usage(max_tokens=100, throttled=3), growth=10)

    assert "- Current quota: Cross-region tokens per minute for Model 1 (`L-12345678`), 12,000 TPM." in text
    assert "| Peak, tokens in the minute from 2026-11-28 12:09 UTC | 2,000 | 10 |" in text
    assert "Bedrock throttled 3 requests of 58, in 1 minute." in text
    assert "No smaller max_tokens would lower the peak. Calls consumed 75% of what they reserved." in text
    # 13 calls of 200
    assert (
        "2,600 TPM (the peak with all throttled calls) × 10 growth × 1.2 headroom, rounded up: **32,000 TPM**." in text
    )
    assert (
        "aws service-quotas request-service-quota-increase --service-code bedrock --quota-code L-12345678 "
        "--desired-value 32000 --region us-east-1"
    ) in text


def test_smaller_limits_come_first():
    text = request(usage(max_tokens=9_000))

    assert "- App: 9,000 → 256. Its largest of 55 answers has 50 tokens." in text
    assert "- Peak with these changes: 3,560 TPM, instead of 91,000." in text
    assert "- That is 30% of the quota." in text
    assert "- With × 3 growth, that is 89% of the quota." in request(usage(max_tokens=9_000), growth=3)
    steps = list(write_next_steps(gather(usage(max_tokens=9_000))))
    assert steps[0] == "Make the changes under max_tokens before you ask for more."


def test_the_peak_with_smaller_limits_also_has_the_throttled_calls():
    # 10 calls of 356 in the last minute, and 20 throttled ones as large
    text = request(usage(max_tokens=9_000, throttled=20))

    assert "- Peak with these changes: 3,560 TPM, 10,680 with all throttled calls, instead of 91,000." in text
    assert "- That is 89% of the quota." in text
    # with 24 throttled calls it is 12,104 of 12,000
    too_many = usage(max_tokens=9_000, throttled=24)
    assert "of the quota." not in request(too_many).partition("Peak with these changes")[2].partition("## ")[0]
    # and the value that the page asks for presumes the changes
    assert "Make the changes under max_tokens before you ask for more." in write_next_steps(gather(too_many))


def test_a_smaller_limit_on_few_answers_says_so():
    tally = UsageTally()
    tally.open_calls(POOL, NOON, "App", "explicit").add(LineCall(100, 0, 0, 50, 9_000, 150, False))
    (found,) = tally.measure({POOL: PoolQuota(12_000, 100)})

    assert "Its largest of 1 answer has 50 tokens. Take more days to be sure." in request(found)


def test_no_command_asks_for_less_than_the_quota():
    text = request(usage(max_tokens=100))

    assert "The quota is 12,000 already, so no increase is needed." in text
    assert list(write_next_steps(gather(usage(max_tokens=100)))) == [
        "If calls are throttled all the same, `quota-monitor analyze` says why."
    ]
    assert "aws service-quotas" not in text


def test_an_in_region_quota_is_asked_for_through_the_cross_region_one():
    own = Quota("L-00000001", "On-demand tokens per minute for Model 1", 1_000, False)
    text = request(usage(max_tokens=100), quota=own)

    assert "this asks for the cross-Region one" in text
    assert "The cross-Region quota is 12,000 already. The on-demand quota is asked for." in text
    assert list(write_next_steps(gather(usage(max_tokens=100), quota=own))) == [
        "Open a case with AWS Support for the on-demand quota, and add this page."
    ]
    larger = request(usage(max_tokens=100), quota=own, growth=10)
    assert "--quota-code L-12345678 --desired-value 24000" in larger


def test_names_are_text_in_markdown():
    caller = msgspec.structs.replace(usage(max_tokens=9_000).callers[0], caller="App`|<b>\n# x")
    found = msgspec.structs.replace(usage(max_tokens=9_000), callers=(caller,))

    assert "- App\\`\\|\\<b\\> \\# x: 9,000" in request(found)


def test_unknown_limits_are_no_reason_to_ask_for_more():
    text = request(usage(max_tokens=None))

    assert "The max_tokens of 55 of 55 requests is unknown. Their reservations are missing" in text
    assert "No smaller max_tokens is proposed, because that of 55 of 55 requests is unknown." in text
    assert "of what they reserved" not in text
    assert "would lower the peak" not in text


def embeddings() -> PoolUsage:
    """One minute with 10 calls of 100 input tokens and no output."""
    tally = UsageTally()
    for _ in range(10):
        tally.open_calls(POOL, NOON, "App", NO_OUTPUT).add(LineCall(100, 0, 0, 0, 0, 100, False))
    (found,) = tally.measure({POOL: PoolQuota(12_000, 100)})
    return found


def all_failed() -> PoolUsage:
    tally = UsageTally()
    tally.add_failed(POOL, NOON, "App", THROTTLED, 44)
    (found,) = tally.measure({POOL: PoolQuota(0, None)})
    return found


ZERO = Quota("L-12345678", "Cross-region tokens per minute for Model 1", 0, True)


@pytest.mark.parametrize(
    ("found", "input_row", "output_row", "value"),
    [
        pytest.param(embeddings(), "100 | 100", "none | none", 2_400, id="embeddings: 1,000 of input"),
        pytest.param(all_failed(), "– | –", "– | –", None, id="no call answered"),
        pytest.param(usage(max_tokens=None), "100 | 100", "50 | 50", 3_600, id="unknown max_tokens: 1,500 consumed"),
        pytest.param(usage(max_tokens=100), "100 | 100", "50 | 50", 4_800, id="2,000 reserved"),
    ],
)
def test_every_kind_of_usage_has_a_page_and_data(
    found: PoolUsage, input_row: str, output_row: str, value: int | None
) -> None:
    text = request(found, growth=2)

    assert f"| Input tokens | {input_row} |" in text
    assert f"| Output tokens | {output_row} |" in text
    assert to_data(gather(found, growth=2))["proposal"]["value"] == value


@pytest.mark.parametrize("unit", [Unit.TOKENS_PER_MINUTE, Unit.REQUESTS_PER_MINUTE], ids=["tokens", "requests"])
def test_without_an_answered_call_the_user_names_the_value(unit: Unit) -> None:
    text = request(all_failed(), quota=ZERO, ask_for=ZERO, unit=unit)
    found = to_data(gather(all_failed(), quota=ZERO, ask_for=ZERO, unit=unit))

    assert "No call was answered in this window, so no value can be derived." in text
    assert "--quota-code L-12345678 --desired-value VALUE --region us-east-1" in text
    first, _ = write_next_steps(gather(all_failed(), quota=ZERO, ask_for=ZERO, unit=unit))
    tokens = " × tokens per request (input + max_tokens)" if unit is Unit.TOKENS_PER_MINUTE else ""
    assert first == f"Estimate the value: requests per minute{tokens}. Then name it with --value N."
    assert "already" not in text
    assert (found["proposal"]["value"], found["command"]) == (None, None)
    assert found["proposal"]["reason"] == "No call was answered in this window, so no value can be derived."


def test_a_named_value_is_asked_for() -> None:
    given = gather(all_failed(), quota=ZERO, ask_for=ZERO, named_value=200_000)

    assert "**200,000 TPM**." in "\n".join(write_markdown(given))
    assert to_data(given)["command"].endswith("--desired-value 200000 --region us-east-1")
    assert to_data(given)["proposal"]["reason"] is None


def test_no_quota_of_a_legacy_model_is_asked_for() -> None:
    given = gather(usage(max_tokens=900), growth=10, end_of_life=date(2027, 1, 8))
    text = "\n".join(write_markdown(given))

    assert "- The model ends on 2027-01-08. AWS grants no increases for models that it marks as legacy." in text
    assert "Move its callers to another model." in text
    assert "aws service-quotas" not in text
    assert to_data(given)["command"] is None


@pytest.mark.parametrize("value", [None, 900_000], ids=["derived", "named"])
def test_no_request_for_a_legacy_model_is_sent(value: int | None) -> None:
    pool = QuotaPool("anthropic.claude-opus-4-1-20250805-v1:0", EndpointType.CROSS_REGION)
    given = gather(usage(), growth=10, pool=pool, end_of_life=date(2027, 1, 8), named_value=value)
    aws = FakeAws({})

    with pytest.raises(click.ClickException) as error:
        command._send(aws.session, given)

    assert error.value.exit_code == 1
    assert error.value.message.startswith("No quota is asked for. The model ends on ")
    assert error.value.message.endswith("Move its callers to another model.")
    assert aws.calls == []


def test_json_has_the_percentiles_of_the_page() -> None:
    found = to_data(gather(usage()))
    assert (found["p95_input_tokens"], found["p95_output_tokens"]) == (100, 50)

    found = to_data(gather(all_failed(), quota=ZERO, ask_for=ZERO))
    assert (found["p95_input_tokens"], found["p95_output_tokens"]) == (None, None)


def test_nothing_on_the_page_is_about_this_program() -> None:
    pages = [
        request(usage(max_tokens=100)),
        request(usage(max_tokens=9_000), growth=10),
        request(usage(max_tokens=None)),
        request(all_failed(), quota=ZERO, ask_for=ZERO),
        request(all_failed(), quota=ZERO, ask_for=ZERO, named_value=9_000),
    ]

    assert [
        word for page in pages for word in ("quota-monitor", "--value ", "--whole-records", "page") if word in page
    ] == []


# ---------------------------------------------------------------- days


def of_three_days() -> PoolUsage:
    """Three calls at noon, two an hour later and five throttled ones. After a day without calls, one and four more."""
    tally = UsageTally()
    for minute, calls in ((NOON, 3), (NOON + 3_600, 2), (NOON + 2 * 86_400, 1)):
        for _ in range(calls):
            tally.open_calls(POOL, minute, "App", "explicit").add(LineCall(100, 0, 0, 50, 900, 150, False))
    tally.add_failed(POOL, NOON + 3_660, "App", THROTTLED, 5)
    tally.add_failed(POOL, NOON + 3 * 86_400, "App", THROTTLED, 4)
    (found,) = tally.measure({POOL: PoolQuota(12_000, 100)})
    return found


WEEK = Window(NOON - 4 * 86_400, NOON + 3 * 86_400 + 60)
"""From 24 November, 12:00, to 1 December, 12:01. It touches 8 days."""


def test_the_page_says_which_days_have_calls_and_when_the_peak_was() -> None:
    given = gather(of_three_days(), window=WEEK)
    text = "\n".join(write_markdown(given))

    assert (
        "Calls are on 3 of 8 days: the first in the minute from 2026-11-28 12:00, the last in that from 2026-12-01 "
        "12:00 UTC."
    ) in text
    assert "| Peak, tokens in the minute from 2026-11-28 12:00 UTC | 3,000 | 3 |" in text
    assert text.partition("| Day (UTC) |")[2].splitlines()[2:5] == [
        "| 2026-11-28 | 5 | 5 | 3,000 | 12:00 |",
        "| 2026-11-30 | 1 | 0 | 1,000 | 12:00 |",
        "| 2026-12-01 | 0 | 4 | 0 | – |",
    ]
    found = to_data(given)
    assert (found["first_call"], found["last_call"]) == ("2026-11-28T12:00:00Z", "2026-12-01T12:00:00Z")
    assert (found["peak_minute"], found["days_in_window"]) == ("2026-11-28T12:00:00Z", 8)
    assert found["days"][0] == {
        "date": "2026-11-28",
        "requests": 5,
        "throttled": 5,
        "peak_tokens": 3_000.0,
        "peak_minute": "2026-11-28T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        pytest.param(0, 60, 1, id="a minute"),
        pytest.param(0, 86_400, 1, id="exactly a day"),
        pytest.param(86_340, 86_460, 2, id="the last minute of a day and the first of the next"),
        pytest.param(60, 86_400 + 60, 2, id="a day from 00:01"),
        pytest.param(0, 0, 0, id="nothing"),
    ],
)
def test_days_that_a_window_touches(start: int, end: int, days: int) -> None:
    assert count_days(Window(start, end)) == days


@pytest.mark.parametrize(
    ("window", "is_noted"),
    [
        pytest.param(WEEK, True, id="a week with missing days"),
        pytest.param(Window(NOON - 43_200, NOON + 12 * 3_600), False, id="a day"),
        pytest.param(Window(NOON - 40_000, NOON - 40_000 + 86_460), False, id="24 hours over midnight"),
        pytest.param(Window(NOON, NOON + 2 * 86_400), True, id="two days, one without a call"),
    ],
)
def test_a_window_with_missing_days_is_noted(window: Window, is_noted: bool) -> None:
    minutes = tuple(each for each in of_three_days().minutes if window.start <= each.minute < window.end)
    found = note_missing_days([msgspec.structs.replace(of_three_days(), minutes=minutes)], window)

    assert [each.endswith("The other days have none, or nothing is known of them.") for each in found] == [
        True
    ] * is_noted


def test_a_window_without_calls_has_no_note_on_days() -> None:
    assert note_missing_days([msgspec.structs.replace(of_three_days(), minutes=())], WEEK) == ()
    assert note_missing_days([], WEEK) == ()


# ---------------------------------------------------------------- names


def usage_of(model_id: str, endpoint_type: EndpointType = EndpointType.CROSS_REGION, calls: int = 1) -> PoolUsage:
    pool, tally = QuotaPool(model_id, endpoint_type), UsageTally()
    for _ in range(calls):
        tally.open_calls(pool, NOON, "App", "explicit").add(LineCall(100, 0, 0, 50, 900, 150, False))
    (found,) = tally.measure({})
    return found


SONNETS = [
    usage_of("vendor.sonnet-4"),
    usage_of("vendor.sonnet-4-6"),
    usage_of("vendor.sonnet-4-6", EndpointType.REGIONAL, 2),
]


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        pytest.param("vendor.sonnet-4", "vendor.sonnet-4 (cross-region)", id="whole name that is part of another"),
        pytest.param("4-6", "vendor.sonnet-4-6 (regional)", id="part, the endpoint type with most tokens"),
        pytest.param("4-6/cross-region", "vendor.sonnet-4-6 (cross-region)", id="part with an endpoint type"),
        pytest.param("sonnet/regional", "vendor.sonnet-4-6 (regional)", id="part of one with that endpoint type"),
    ],
)
def test_a_unique_part_of_a_name_is_enough(name: str, pool: str) -> None:
    assert str(command.choose_pool(SONNETS, parse_pools(name), name).pool) == pool


def test_a_part_of_several_names_is_wrong_usage() -> None:
    with pytest.raises(click.UsageError) as error:
        command.choose_pool(SONNETS, parse_pools("sonnet"), "sonnet")

    assert error.value.message == (
        "sonnet is part of 2 models with calls: vendor.sonnet-4, vendor.sonnet-4-6. Name one."
    )


def test_a_name_without_calls_names_the_nearest() -> None:
    with pytest.raises(LogSourceError, match=r"No call to sonet in this window\. With calls: vendor\.sonnet-4\."):
        command.choose_pool([], parse_pools("sonet"), "sonet", ["vendor.sonnet-4"])


@pytest.mark.parametrize("option", ["--growth", "--headroom"])
def test_what_is_not_a_number_is_wrong_usage(option: str) -> None:
    ran = CliRunner().invoke(main, ["increase", "--pool", "amazon.nova-lite-v1:0", option, "nan"])

    assert ran.exit_code == 2
    assert f"{option} takes a number, not nan." in ran.output


def test_a_stack_in_several_regions_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "open_session", lambda *_given: pytest.fail("a session was opened"))

    words = ("--pool", SONNET, "--stack-name", "monitor", "--regions", "us-east-1,eu-west-1")
    ran = CliRunner().invoke(main, ["increase", *words])

    assert ran.exit_code == 2
    assert "A request is for one account and Region. Name one with --profiles and --regions." in ran.output


@pytest.fixture
def old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with calls of two days of 2025, in an account with a quota of 1,000."""
    session = FakeAws(ACCOUNT).session
    monkeypatch.setattr(command, "open_session", lambda *_given: session)
    path = tmp_path / "records.jsonl"
    entries = [converse(max_tokens=900, timestamp=f"2025-01-0{day}T12:00:00Z") for day in (5, 7)]
    path.write_text("\n".join(message(with_id(each, number)) for number, each in enumerate(entries)))
    return path


@pytest.mark.parametrize(
    ("options", "requests", "start"),
    [
        pytest.param((), 2, "2025-01-05T12:00:00Z", id="whole"),
        pytest.param(("--from", "2025-01-06", "--to", "2025-01-08"), 1, "2025-01-06T00:00:00Z", id="window"),
    ],
)
@pytest.mark.usefixtures("no_aws")
def test_files_are_read_whole_unless_an_option_sets_a_window(
    old_file: Path, options: tuple[str, ...], requests: int, start: str
) -> None:
    ran = CliRunner().invoke(
        main, ["increase", "--pool", SONNET, "--files", str(old_file), "--growth", "2", "--json", *options]
    )

    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.output)
    assert (found["requests"], found["from"]) == (requests, start)


@pytest.mark.usefixtures("no_aws")
def test_files_are_compared_with_the_quota_that_service_quotas_lists(old_file: Path) -> None:
    ran = CliRunner(mix_stderr=False).invoke(
        main, ["increase", "--pool", SONNET, "--files", str(old_file), "--growth", "2"]
    )

    # with 256 instead of 900, a call of 100 input tokens reserves 356, which twice are 712 of 1,000
    assert "- Peak with these changes: 356 TPM, instead of 1,000." in ran.stdout
    assert "- With × 2 growth, that is 71% of the quota." in ran.stdout


@pytest.mark.usefixtures("no_aws")
def test_a_legacy_model_has_a_page_and_no_request(old_file: Path) -> None:
    words = ("--pool", SONNET, "--files", str(old_file), "--growth", "20", "--request")
    ran = CliRunner(mix_stderr=False).invoke(main, ["increase", *words])

    assert ran.exit_code == 1
    assert ran.stdout.endswith("No quota is asked for, because the model is legacy.\n")
    assert "Error: No quota is asked for. The model ends on " in ran.stderr
    assert "Ask AWS for" not in ran.output


@pytest.fixture
def two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a log group with answers of Sonnet and of two pools of Nova. Nothing in it says how any of them ended."""
    limits = ((SONNET, 50), (SONNET, 50), (NOVA, 500), (f"us.{NOVA}", 50))
    entries = [invoke(model, {"max_tokens": limit}, answer={}, output_tokens=9) for model, limit in limits]
    session = FakeAws(insights(*entries)).session
    monkeypatch.setattr(command, "open_session", lambda *_given: session)
    monkeypatch.setattr(sources, "open_session", lambda *_given: session)
    monkeypatch.setattr(log_group, "POLL_SECONDS", 0.0)


NOTED = "The log shows neither tier nor latency of 1 of 1 answer, and not if they were cut."
FIVE_MINUTES = ("--from", "2026-11-23T12:00", "--to", "2026-11-23T12:05")


@pytest.mark.usefixtures("no_aws", "two_models")
@pytest.mark.parametrize("name", [NOVA, "nova", "nova-lite/regional"], ids=["whole name", "part", "part and type"])
def test_the_page_has_notes_on_its_pool_alone(name: str) -> None:
    ran = CliRunner(mix_stderr=False).invoke(main, ["increase", "--pool", name, *FIVE_MINUTES])

    assert ran.exit_code == 0, ran.stderr
    assert ran.stdout.startswith(f"# Quota increase for {NOVA} (regional) in us-east-1")
    assert NOTED in ran.stdout
    assert "quota-monitor" not in ran.stdout


@pytest.mark.usefixtures("no_aws", "two_models")
def test_json_has_the_notes_of_the_pool() -> None:
    ran = CliRunner(mix_stderr=False).invoke(main, ["increase", "--pool", "nova", *FIVE_MINUTES, "--json"])

    assert json.loads(ran.stdout)["notes"] == [NOTED]


@pytest.mark.usefixtures("no_aws")
def test_how_files_were_read_is_no_part_of_the_page(old_file: Path) -> None:
    old_file.write_text(old_file.read_text() + "\n{")

    ran = CliRunner(mix_stderr=False).invoke(main, ["increase", "--pool", SONNET, "--files", str(old_file)])

    assert ran.exit_code == 0, ran.stderr
    assert NO_ACCOUNT in ran.stderr
    assert NO_ACCOUNT not in ran.stdout


def test_the_help_names_one_window() -> None:
    text = " ".join(CliRunner().invoke(main, ["increase", "--help"]).output.split())

    assert "Days before now. Default: 7." in text
    assert "Default: 24" not in text
