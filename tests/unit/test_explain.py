"""One minute of a quota pool, second by second. Every number is worked out by hand."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from rich.console import Console

from bedrock_quota.analysis.timeline import RefusedCalls, TimedCall, Timeline, trace_minute
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from quota_monitor import explain
from quota_monitor.explain import PoolTrace, choose_pool, parse_minute, write_sentences
from quota_monitor.main import main

POOL = QuotaPool("vendor.model-1", EndpointType.CROSS_REGION)
NOON = 1_795_867_200  # 2026-11-28T12:00:00Z
NOW = datetime(2026, 11, 28, 15, 30, tzinfo=UTC)


def call(second: int, caller: str = "Big", reserved: int = 1_000, seconds: int | None = 10) -> TimedCall:
    return TimedCall(NOON + second, caller, reserved, 300, 900, None if seconds is None else seconds * 1000)


def trace(*calls: TimedCall, refused: tuple[tuple[int, str, int], ...] = ()) -> Timeline:
    return trace_minute(NOON, calls, [RefusedCalls(NOON + second, caller, count) for second, caller, count in refused])


def sentences(timeline: Timeline, quota: PoolQuota) -> str:
    return " ".join(write_sentences(quota, timeline))


def test_each_second_has_what_runs_and_what_has_ended():
    # from second 5 to 14 one call runs, from 8 to 17 another; each holds 300 from its end until 60 s after its start
    timeline = trace(call(5), call(8, "Small", 500))
    at = {second.second - NOON: second for second in timeline.seconds}

    assert [at[second].running for second in (4, 5, 8, 14, 15, 17, 18)] == [0, 1, 2, 2, 1, 1, 0]
    assert [at[second].in_use for second in (4, 5, 8, 15, 18, 59)] == [0, 1_000, 1_500, 800, 600, 600]
    assert at[8].held == (("Big", 1_000), ("Small", 500))
    assert (at[5].begun, at[8].in_60_seconds, timeline.peak.second - NOON) == (1, 2, 8)


def test_calls_of_the_minute_before_count_until_they_have_ended_or_60_seconds_have_passed():
    timeline = trace(call(-30, seconds=5), call(-90, seconds=100), call(-90, seconds=5))

    # the first holds 300 until second 29, the second runs until second 9, and the third no longer counts
    assert timeline.calls == 2
    assert [timeline.seconds[second].in_use for second in (0, 9, 10, 29, 30)] == [1_300, 1_300, 300, 300, 0]
    assert timeline.begun == (("Big", 1),)


def test_the_holder_of_a_full_token_quota_is_the_cause():
    timeline = trace(*[call(0) for _ in range(9)], call(0, "Small", 200), refused=((3, "Small", 2), (3, "Big", 1)))
    text = sentences(timeline, PoolQuota(10_000, 600))

    assert "Bedrock refused 3 calls: 2 of Small, 1 of Big." in text
    assert "At 12:00:03, 10 calls ran, and 9,200 tokens were in use at once, 92% of the quota of 10,000." in text
    assert "Caused by Big, which held 9,000 of them (98%)." in text
    assert "Requests begun within 60 seconds: up to 10 of 600." in text


def test_the_caller_of_most_requests_is_the_cause_if_these_were_full():
    timeline = trace(call(0, "Big", 150_000), *[call(1, "Chatty", 100) for _ in range(9)], refused=((2, "Chatty", 5),))
    text = sentences(timeline, PoolQuota(20_000_000, 10))

    assert "Caused by Chatty, which began 9 of the requests." in text
    assert "Caused by Big" not in text


def test_nobody_is_the_cause_if_there_was_room():
    text = sentences(trace(call(0), refused=((2, "Big", 1),)), PoolQuota(1_000_000, 100))

    assert "Caused by" not in text
    assert "The log shows room. Causes may be a quota per day" in text


def test_it_says_what_the_model_rests_on():
    text = sentences(trace(call(0, seconds=None), call(0)), PoolQuota())

    assert "Bedrock refused no call in this minute." in text
    assert "our model of 2 calls, because AWS publishes none. The end of 1 is not in the log." in text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("14:03", "2026-11-28T14:03", id="today"),
        pytest.param("9:00", "2026-11-28T09:00", id="one digit"),
        pytest.param("16:00", "2026-11-27T16:00", id="not yet today"),
        pytest.param("14:03:59", "2026-11-28T14:03", id="with seconds"),
        pytest.param("2026-11-20T01:02+01:00", "2026-11-20T00:02", id="with a zone"),
    ],
)
def test_minutes(text: str, moment: str):
    assert parse_minute(text, NOW) == int(datetime.fromisoformat(f"{moment}+00:00").timestamp())


def test_the_pool_with_most_refused_calls_is_chosen():
    other = QuotaPool("vendor.model-2", EndpointType.REGIONAL)
    refused = PoolTrace()
    refused.refused[NOON, "Big"] = 2

    assert choose_pool({POOL: PoolTrace([call(0)] * 5), other: refused}) == other
    assert choose_pool({}) is None


RECORD = {
    "timestamp": "2026-11-28T12:00:05Z",
    "modelId": "us.anthropic.claude-sonnet-4-6",
    "operation": "Converse",
    "identity": {"arn": "arn:aws:sts::111122223333:assumed-role/Big/s"},
    "input": {"inputTokenCount": 10, "inputBodyJson": {"inferenceConfig": {"maxTokens": 100}}},
    "output": {"outputTokenCount": 4, "outputBodyJson": {"metrics": {"latencyMs": 2_000}, "stopReason": "end_turn"}},
}
REFUSED = {**RECORD, "errorCode": "ThrottlingException", "input": {}, "output": {}}


def test_the_command_from_files(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in (RECORD, REFUSED, REFUSED)))
    options = ["explain", "--at", "2026-11-28T12:00", "--files", str(file)]

    shown = CliRunner().invoke(main, options, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "Bedrock refused 2 calls: 2 of Big." in shown.output
    document = json.loads(CliRunner().invoke(main, [*options, "--json"], catch_exceptions=False).output)
    (found,) = document["accounts"]
    # 10 + 100 reserved in seconds 5 and 6, then 10 + 5 × 4 consumed
    in_use = [second["in_use_tokens"] for second in found["seconds"]]
    assert (in_use[4], in_use[5], in_use[6], in_use[7]) == (0, 110, 110, 30)
    missing = CliRunner().invoke(main, ["explain", "--at", "2026-11-28T13:00", "--files", str(file)])
    assert missing.exit_code == 3
    assert "No call to a quota pool began in the minute" in missing.output


def records(*begun: str) -> str:
    return "\n".join(json.dumps({**RECORD, "timestamp": each}) for each in begun)


@pytest.mark.parametrize(
    ("begun", "minute"),
    [
        pytest.param(["2026-11-20T12:00:05Z", "2026-11-23T12:00:59Z"], "2026-11-23T12:00:00Z", id="the last day"),
        pytest.param(["2026-11-23T12:00:05Z", "2026-11-20T12:00:05Z"], "2026-11-23T12:00:00Z", id="not in order"),
        pytest.param(
            ["2026-11-20T12:00:05Z", "2026-11-23T11:59:50Z"], "2026-11-20T12:00:00Z", id="a later one just before it"
        ),
        pytest.param(["2026-11-23T11:59:59Z"], "2026-11-23T12:00:00Z", id="just before it only"),
        pytest.param(["2026-11-20T12:00:00Z", "2026-11-23T12:01:00Z"], "2026-11-20T12:00:00Z", id="a later one after"),
    ],
)
@pytest.mark.parametrize("source", ["file", "standard input"])
def test_a_time_of_day_in_files_is_that_of_the_last_day_with_it(tmp_path, begun: list[str], minute: str, source: str):
    file = tmp_path / "log.jsonl"
    file.write_text(records(*begun))
    place = "-" if source == "standard input" else str(file)

    options = ["explain", "--at", "12:00", "--files", place, "--json"]
    ran = CliRunner().invoke(main, options, input=records(*begun), catch_exceptions=False)

    (found,) = json.loads(ran.output)["accounts"]
    assert found["seconds"][0]["second"] == minute


def test_a_time_of_day_that_no_day_has_is_named_with_a_command_that_reads_the_same_files(tmp_path):
    one, two = tmp_path / "one.jsonl", tmp_path / "two words.jsonl"
    for file in (one, two):
        file.write_text(records("2026-11-20T12:00:05Z"))

    ran = CliRunner().invoke(main, ["explain", "--at", "15:30", "--files", str(one), "--files", str(two)])

    assert ran.exit_code == 3
    assert ran.output == (
        "Error: No call to a quota pool began at 15:30 UTC of any day, or just before. "
        f"`quota-monitor analyze --files {one} --files '{two}'` names a minute with throttled calls.\n"
    )


@pytest.mark.parametrize("width", [80, 120], ids=["narrow", "wide"])
def test_no_line_is_too_long(width: int):
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(explain.render(POOL, PoolQuota(10_000), trace(call(0), refused=((3, "Small", 2),))))
    assert max(map(len, capture.get().splitlines())) <= width
    assert "2 Small" in capture.get()
