import functools
import gzip
import json
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import oracle
import pytest
from processed import Processed, price, process_delivery, read_record
from records import log_event

from bedrock_quota import model_ids
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.max_tokens import Source
from bedrock_quota.processor.usage import CallUsage, UsageCalculator
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import ListedQuota, quotas_by_pool
from localaws import applications, bedrock_calls, service_quotas, traffic
from localaws.traffic import LogEvent

END = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
START = END - timedelta(hours=1)
REGISTRY = Path(__file__).parents[2] / "registry" / "models"
BUSY_POOL = ("anthropic.claude-sonnet-4-6", "cross-region")

PROFILE_BUCKETS = {
    applications.PRODUCT_COPY.placeholder_arn: ("amazon.nova-lite-v1:0", "regional"),
    applications.MOBILE.placeholder_arn: ("anthropic.claude-haiku-4-5-20251001-v1:0", "global-cross-region"),
}


@functools.cache
def events_of(seed: int) -> list[LogEvent]:
    return traffic.hour(END, seed)


@pytest.fixture
def events() -> list[LogEvent]:
    return events_of(0)


@functools.cache
def records_of(seed: int) -> list[dict]:
    return [json.loads(event.message) for event in events_of(seed)[1:]]


@functools.cache
def totals_of(seed: int) -> oracle.Totals:
    return oracle.sum_up(records_of(seed), oracle.facts_of(REGISTRY, END), PROFILE_BUCKETS)


@pytest.fixture
def records() -> list[dict]:
    return records_of(0)


@pytest.fixture
def totals() -> oracle.Totals:
    return totals_of(0)


@pytest.fixture
def entries(registry: Registry) -> UsageCalculator:
    found = {
        each.placeholder_arn: model_ids.Reference(model, EndpointType(endpoint_type))
        for each in applications.PROFILES
        for model, endpoint_type in [PROFILE_BUCKETS[each.placeholder_arn]]
    }
    return UsageCalculator(registry, lambda profile: found[profile.arn])


def answered(records: list[dict]) -> list[dict]:
    return [record for record in records if "errorCode" not in record]


def caller(record: dict) -> str:
    return record["identity"]["arn"].split("/")[1]


# ---------------------------------------------------------------- the hour as a whole


def test_same_seed_and_hour_give_the_same_log(events):
    assert traffic.hour(END) == events
    assert traffic.hour(END.astimezone(timezone(timedelta(hours=9)))) == events
    assert events_of(1) != events


def test_another_hour_is_the_same_traffic_later(records):
    later = [json.loads(event.message) for event in traffic.hour(END + timedelta(hours=3))[1:]]
    assert [record["requestId"] for record in later] == [record["requestId"] for record in records]
    shifts = {
        datetime.fromisoformat(after["timestamp"]) - datetime.fromisoformat(before["timestamp"])
        for before, after in zip(records, later, strict=True)
    }
    assert shifts == {timedelta(hours=3)}


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(datetime(2026, 11, 20, 10, 0), id="no zone"),
        pytest.param(END.replace(second=1), id="a second"),
        pytest.param(END.replace(microsecond=1), id="a microsecond"),
    ],
)
def test_end_must_be_a_whole_minute_with_a_zone(end):
    with pytest.raises(ValueError, match="whole minute"):
        traffic.hour(end)


def test_size(events):
    assert 3_000 < len(events) < 5_000
    assert 10_000_000 < sum(len(event.message.encode()) for event in events) < 25_000_000


def test_opens_with_bedrocks_own_line(events):
    assert events[0] == LogEvent(
        int(START.timestamp() * 1000), "Permissions are correctly set for Amazon Bedrock logs."
    )


def test_arrival_is_after_the_call_and_in_order(events, records):
    stamps = [event.timestamp for event in events]
    assert stamps == sorted(stamps)
    for event, record in zip(events[1:], records, strict=True):
        started = datetime.fromisoformat(record["timestamp"])
        assert START <= started < END
        assert 1 < event.timestamp / 1000 - started.timestamp() < 400
    starts = [record["timestamp"] for record in records]
    assert starts != sorted(starts), "long calls arrive after shorter ones that began later"


def test_request_ids_are_unique(records):
    assert len({record["requestId"] for record in records}) == len(records)


def test_records_are_written_as_bedrock_writes_them(events):
    for event in events[1:]:
        record = json.loads(event.message)
        assert event.message == msgspec.json.encode(record).decode(), "compact, UTF-8 as it is"
        assert record["timestamp"].endswith("Z")
        assert len(record["timestamp"]) == len("2026-11-20T09:00:00Z")
        assert (record["schemaType"], record["schemaVersion"]) == ("ModelInvocationLog", "1.0")
        assert {"accountId", "region", "operation", "modelId", "identity", "input", "output"} <= record.keys()


# ---------------------------------------------------------------- the cases it must hold


def test_operations_models_providers_and_endpoint_types(records, totals):
    assert {record["operation"] for record in records} == {
        "InvokeModel",
        "InvokeModelWithResponseStream",
        "Converse",
        "ConverseStream",
    }
    assert len({model for model, _ in totals.pools}) >= 9
    assert len({model.split(".")[0] for model, _ in totals.pools}) >= 5
    assert {endpoint_type for _, endpoint_type in totals.pools} == {
        "regional",
        "cross-region",
        "global-cross-region",
    }


def test_forms_of_model_ids(records):
    kinds = Counter(
        record["modelId"].split(":")[5].split("/")[0] if record["modelId"].startswith("arn:") else "id"
        for record in records
    )
    assert kinds.keys() == {
        "id",
        "foundation-model",
        "inference-profile",
        "application-inference-profile",
        "provisioned-model",
    }


def test_application_profiles_go_by_the_arns_given():
    arns = {profile: f"{profile.placeholder_arn}-made" for profile in applications.PROFILES}
    named = {json.loads(event.message)["modelId"] for event in traffic.hour(END, profile_arns=arns)[1:]}
    assert set(arns.values()) <= named
    assert not named & set(PROFILE_BUCKETS)


def test_cached_input(records):
    inputs = [record["input"] for record in answered(records)]
    assert any(each.get("cacheReadInputTokenCount") for each in inputs)
    assert any(each.get("cacheWriteInputTokenCount") for each in inputs)


def test_failed_calls_have_neither_bodies_nor_counts(records):
    failed = [record for record in records if "errorCode" in record]
    assert {record["errorCode"] for record in failed} == {"ThrottlingException", "ValidationException"}
    assert all(record["input"] == {} and record["output"] == {} for record in failed)


def test_guardrail_blocked_calls(records):
    converse = [record for record in answered(records) if record["output"].get("outputBodyJson", [])]
    stopped = [
        record
        for record in converse
        if isinstance(body := record["output"]["outputBodyJson"], dict)
        and body.get("stopReason") == "guardrail_intervened"
    ]
    assert stopped
    assert all(
        (record["input"]["inputTokenCount"], record["output"]["outputTokenCount"]) == (0, 0) for record in stopped
    )
    invoked = [record for record in answered(records) if "inputTokenCount" not in record["input"]]
    assert invoked
    assert all("outputTokenCount" not in record["output"] for record in invoked)


def test_large_bodies_are_in_s3(records):
    for side in ("input", "output"):
        in_s3 = [record for record in records if f"{side}BodyS3Path" in record[side]]
        assert in_s3
        for record in in_s3:
            path = record[side][f"{side}BodyS3Path"]
            assert path.startswith("s3://")
            assert path.endswith(f"/data/{record['requestId']}_{side}.json.gz")
            assert f"{side}BodyJson" not in record[side]
    inline = (record[side].get(f"{side}BodyJson") for record in records for side in ("input", "output"))
    assert max(len(msgspec.json.encode(body)) for body in inline) <= 100 * 1024


def test_large_bodies_lie_where_their_record_says(events):
    with_large = [event for event in events if event.large_bodies]
    assert with_large
    for event in with_large:
        entry = json.loads(event.message)
        named = [entry["input"].get("inputBodyS3Path"), entry["output"].get("outputBodyS3Path")]
        assert [body.path for body in event.large_bodies] == [path for path in named if path]
        assert all(len(gzip.decompress(body.gzipped)) > 100 * 1024 for body in event.large_bodies)
    assert not any("S3Path" in event.message for event in events if not event.large_bodies)


def test_explicit_absent_and_unavailable_max_tokens(records, entries):
    opened = [price(entries, read_record(json.dumps(record)), END) for record in records]
    sources = Counter(entry.group.source for entry in opened if isinstance(entry, CallUsage))
    assert sources.keys() == set(Source) - {Source.DECLARED}  # nobody declares a limit there
    assert min(sources.values()) > 100


def test_tags_provisioned_throughput_and_an_unlisted_model(records, entries):
    assert {"team", "environment"} <= {key for record in records for key in record.get("requestMetadata", {})}
    assert sum(":provisioned-model/" in record["modelId"] for record in records) > 20
    outcome = process(records, entries)
    assert outcome.out_of_scope.keys() == {"provisioned_model"}
    assert outcome.unlisted == ("amazon.nova-9-preview-v1:0",)
    assert outcome.rejected == ()


def test_usage_in_bodies_agrees_with_the_counts(records):
    checked = 0
    for record in answered(records):
        body = record["output"].get("outputBodyJson")
        if record["operation"].startswith("Converse") and body:
            usage = body["usage"]
            assert usage["inputTokens"] == record["input"]["inputTokenCount"]
            assert usage["outputTokens"] == record["output"]["outputTokenCount"]
            assert usage.get("cacheReadInputTokens", 0) == record["input"].get("cacheReadInputTokenCount", 0)
            assert usage.get("cacheWriteInputTokens", 0) == record["input"].get("cacheWriteInputTokenCount", 0)
            checked += 1
        elif record["operation"] == "InvokeModelWithResponseStream" and isinstance(body, list):
            metrics = body[-1]["amazon-bedrock-invocationMetrics"]
            assert metrics["outputTokenCount"] == record["output"]["outputTokenCount"]
            checked += 1
    assert checked > 1_000


# ---------------------------------------------------------------- the story it tells


@pytest.mark.parametrize("seed", range(5))
def test_one_caller_throttles_everyone_on_its_pool(registry, seed):
    sums = totals_of(seed).pools[BUSY_POOL]
    quota = token_quotas(registry)[BUSY_POOL]
    busy = {START + timedelta(minutes=minute) for part in applications.BUSY for minute in part}
    over = {minute for minute, each in sums.items() if each.reserved >= quota}
    assert over <= busy
    assert len(over) >= 14
    assert max(each.consumed for each in sums.values()) < 0.2 * quota
    for minute in over:
        callers = sums[minute].callers
        assert callers[applications.CULPRIT] > 0.7 * sum(callers.values())
    throttled = defaultdict(set)
    for record in records_of(seed):
        if record.get("errorCode") == "ThrottlingException" and "sonnet-4-6" in record["modelId"]:
            throttled[caller(record)].add(datetime.fromisoformat(record["timestamp"]).replace(second=0))
    assert (
        {"SupportChat", applications.CULPRIT}
        <= throttled.keys()
        <= {"SupportChat", "TicketTriage", applications.CULPRIT}
    )
    holding = busy | {minute + timedelta(minutes=1) for minute in busy}  # calls that began late in a busy minute
    assert all(minutes <= holding for minutes in throttled.values())
    assert len(throttled["SupportChat"]) >= 8


def test_the_culprit_asks_for_much_and_uses_little(records):
    calls = [record for record in answered(records) if caller(record) == applications.CULPRIT]
    outputs = [record["output"]["outputTokenCount"] for record in calls]
    assert {record["input"]["inputBodyJson"]["inferenceConfig"]["maxTokens"] for record in calls} == {64_000}
    assert 250 < sum(outputs) / len(outputs) < 400
    assert max(outputs) < 1_000


@pytest.mark.parametrize("seed", range(5))
def test_no_other_pool_passes_its_quota(registry, seed):
    totals = totals_of(seed)
    quota = token_quotas(registry)
    peaks = {
        pool: max(max(each.reserved, each.consumed) for each in minutes.values()) / quota[pool]
        for pool, minutes in totals.pools.items()
        if quota.get(pool)
    }
    assert [pool for pool, peak in peaks.items() if peak >= 1] == [BUSY_POOL]
    assert [pool for pool, peak in peaks.items() if 0.8 <= peak < 1] == [("cohere.embed-v4:0", "cross-region")]
    without = [pool for pool in totals.pools if quota.get(pool) is None]
    assert without, "a pool without a known quota is a case, too"
    assert [pool for pool in totals.pools if quota.get(pool) == 0] == [], "it takes no call"


@pytest.mark.parametrize("seed", range(5))
def test_a_model_with_a_quota_of_0_takes_no_call(registry, seed):
    calls = [record for record in records_of(seed) if "claude-opus-4-1" in record["modelId"]]
    assert len(calls) > 10
    assert {record["modelId"] for record in calls} == {"us.anthropic.claude-opus-4-1-20250805-v1:0"}
    assert {(caller(record), record.get("errorCode")) for record in calls} == {("OldDrafts", "ThrottlingException")}
    assert token_quotas(registry)["anthropic.claude-opus-4-1-20250805-v1:0", "cross-region"] == 0
    minutes = {datetime.fromisoformat(record["timestamp"]).minute for record in calls}
    assert min(minutes) < 20, "from the beginning"
    assert max(minutes) > 40, "to the end"


def token_quotas(registry: Registry) -> dict[oracle.Pool, float | None]:
    listed = (
        ListedQuota(quota.code, quota.name, quota.default if quota.applied is None else quota.applied)
        for quota in service_quotas.load()
    )
    return {
        (pool.model_id, str(pool.endpoint_type)): quota.tokens_per_minute
        for pool, quota in quotas_by_pool(listed, registry).items()
    }


# ---------------------------------------------------------------- the product against an independent sum


def process(records: list[dict], entries: UsageCalculator) -> Processed:
    delivered = tuple(log_event(json.dumps(record)) for record in records)
    return process_delivery(Delivery("DATA_MESSAGE", delivered), entries, quotas=None, namespace="Test", now=END)


@pytest.mark.parametrize("seed", range(3))
def test_metric_lines_agree_with_an_independent_sum(entries, seed):
    totals = totals_of(seed)
    outcome = process(records_of(seed), entries)
    sums: defaultdict[oracle.Pool, defaultdict[datetime, oracle.Sums]]
    sums = defaultdict(lambda: defaultdict(oracle.Sums))
    for line in map(json.loads, outcome.lines):
        if "_aws" not in line or "caller" not in line:
            continue
        minute = datetime.fromtimestamp(line["_aws"]["Timestamp"] / 1000, UTC)
        each = sums[line["ModelId"], line["EndpointType"]][minute]
        each.requests += line["requests"]
        each.consumed += sum(line["ConsumedTokens"])
        each.reserved += sum(line.get("ReservedTokens", []))
        each.unknown += line["requests"] if line["max_tokens_source"] == "unknown" else 0
        if "reserved_tokens" in line:
            each.callers[line["caller"]] = each.callers.get(line["caller"], 0) + line["reserved_tokens"]
    assert sums == totals.pools
    assert outcome.failed == sum(totals.failed.values())
    assert sum(outcome.out_of_scope.values()) == totals.out_of_scope
    assert outcome.processed == sum(each.requests for minutes in sums.values() for each in minutes.values())


def test_the_oracle_agrees_with_awss_worked_example():
    """The user guide: 3,000 new, 4,000 read from and 1,000 written to the cache, max_tokens 32,000, 1,000 answered."""
    record = {
        "timestamp": "2026-11-20T09:00:07Z",
        "operation": "Converse",
        "modelId": "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "identity": {"arn": "arn:aws:sts::111122223333:assumed-role/Example/session"},
        "input": {
            "inputTokenCount": 3000,
            "cacheReadInputTokenCount": 4000,
            "cacheWriteInputTokenCount": 1000,
            "inputBodyJson": {"inferenceConfig": {"maxTokens": 32000}},
        },
        "output": {"outputTokenCount": 1000},
    }
    sums = oracle.sum_up([record], oracle.facts_of(REGISTRY, END), {}).pools
    assert sums == {
        ("anthropic.claude-sonnet-4-20250514-v1:0", "cross-region"): {
            START: oracle.Sums(reserved=36_000, consumed=9_000, requests=1, callers={"Example": 36_000})
        }
    }


# ---------------------------------------------------------------- batches


def test_batches_keep_every_event_in_order_within_the_limits(events):
    cut = list(traffic.batches(events))
    assert [event for batch in cut for event in batch] == events
    for batch in cut:
        assert len(batch) <= 10_000
        assert sum(len(event.message.encode()) + 26 for event in batch) <= 1_048_576
    fullest = max(sum(len(event.message.encode()) + 26 for event in batch) for batch in cut)
    assert fullest > 900_000


def test_batches_of_tiny_events_are_cut_at_10_000():
    events = [LogEvent(index, "x") for index in range(25_000)]
    assert [len(batch) for batch in traffic.batches(events)] == [10_000, 10_000, 5_000]


def test_batch_bytes_count_utf_8_and_26_more_an_event():
    exact = LogEvent(0, "é" * ((1_048_576 - 26) // 2))
    assert len(exact.message.encode()) + 26 == 1_048_576
    assert [len(batch) for batch in traffic.batches([exact, LogEvent(1, "")])] == [1, 1]
    assert list(traffic.batches([])) == []


# ---------------------------------------------------------------- mixes for benchmarks


def sizes(events: list[LogEvent]) -> list[int]:
    return sorted(len(event.message.encode()) for event in events)


def test_chat_records_are_about_1900_bytes():
    found = sizes(traffic.chat(1_000, END))
    assert 1_800 < found[500] < 2_000
    assert found[-1] < 3_500


def test_mixed_records_have_a_median_of_6_and_a_99th_percentile_of_100_kilobytes():
    found = sizes(traffic.mixed(2_000, END))
    assert 5_000 < found[1_000] < 7_000
    assert 90_000 < found[1_980] < 110_000


def test_agent_records_are_60_to_100_kilobytes_inline():
    events = traffic.agent(50, END)
    assert sizes(events)[0] > 60_000
    assert sizes(events)[-1] < 102_000
    assert not any("S3Path" in event.message for event in events)


@pytest.mark.parametrize("mix", [traffic.chat, traffic.mixed, traffic.agent])
def test_mixes_are_records_like_the_hours(mix, entries):
    events = mix(60, END)
    assert events == mix(60, END)
    assert events != mix(60, END, seed=1)
    outcome = process([json.loads(event.message) for event in events], entries)
    assert (outcome.processed, outcome.rejected) == (60, ())


# ---------------------------------------------------------------- bodies


def test_an_excerpt_is_as_long_as_asked_for():
    text = bedrock_calls.prose("any", 1_000)
    draw = random.Random(0)
    assert [len(bedrock_calls.excerpt(text, draw, length)) for length in (0, 1, 999, 5_000)] == [0, 1, 999, 5_000]
