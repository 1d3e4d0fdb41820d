"""The arithmetic of one call, its pool and its minute, worked out by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from processed import price, read_record
from records import (
    EMBEDDING,
    MINUTE,
    NOVA,
    NOW,
    OPUS,
    PROFILE_ARN,
    SONNET,
    TITAN,
    Entry,
    blocked,
    converse,
    failed,
    invoke,
    message,
    metadata_only,
    without_answer,
)

from bedrock_quota.errors import RecordError
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.processor.max_tokens import Source
from bedrock_quota.processor.usage import CallUsage, FailedCall, UsageCalculator
from bedrock_quota.registry.models import Burndown, RateStatus, Registry
from bedrock_quota.registry.overrides import apply_overrides

MARGIN = timedelta(minutes=5)
"""So much before CloudWatch's own limit of 14 days records are refused."""

REGIONAL, CROSS, GLOBAL = EndpointType.REGIONAL, EndpointType.CROSS_REGION, EndpointType.GLOBAL_CROSS_REGION
GPT_OSS = "openai.gpt-oss-120b-1:0"  # 1x


def opened(accounts: UsageCalculator, entry: Entry, now: datetime = NOW) -> CallUsage:
    found = price(accounts, read_record(message(entry)), now)
    assert isinstance(found, CallUsage), found
    return found


# The arithmetic


def test_worked_example_of_aws(accounts: UsageCalculator) -> None:
    given = converse(
        SONNET, input_tokens=3_000, cache_read=4_000, cache_write=1_000, max_tokens=32_000, output_tokens=1_000
    )

    account = opened(accounts, given)

    assert account.reserved_tokens == 36_000  # 3,000 + 1,000 + 32,000: not the 4,000 read from the cache
    assert account.consumed_tokens == 9_000  # 3,000 + 1,000 + 5 × 1,000


@pytest.mark.parametrize(
    ("model_id", "consumed"),
    [
        pytest.param(NOVA, 110, id="rate 1"),  # 10 + 100
        pytest.param(SONNET, 510, id="rate 5"),  # 10 + 5 × 100
        pytest.param("anthropic.claude-opus-5", 1_010, id="rate 10"),  # 10 + 10 × 100
        pytest.param(OPUS, 1_510, id="rate 15"),  # 10 + 15 × 100
        pytest.param("openai.gpt-5.6-sol", 1_010, id="rate 10 of another provider"),
        pytest.param("openai.gpt-oss-120b-1:0", 110, id="rate 1 of another provider"),
    ],
)
def test_output_burns_down_at_its_rate_and_the_reservation_one_for_one(
    accounts: UsageCalculator, model_id: str, consumed: int
) -> None:
    account = opened(accounts, converse(model_id, input_tokens=10, output_tokens=100, max_tokens=200))

    assert account.reserved_tokens == 210
    assert account.consumed_tokens == consumed


def test_consumption_can_exceed_the_reservation(accounts: UsageCalculator) -> None:
    account = opened(accounts, converse(OPUS, input_tokens=10, output_tokens=200, max_tokens=200))

    assert (account.reserved_tokens, account.consumed_tokens) == (210, 3_010)  # 10 + 15 × 200


def test_unknown_max_tokens_reserves_nothing_that_is_known(accounts: UsageCalculator) -> None:
    account = opened(accounts, metadata_only(NOVA, input_tokens=7, output_tokens=11))

    assert account.group.source is Source.UNKNOWN
    assert (account.max_tokens, account.reserved_tokens) == (None, None)
    assert account.consumed_tokens == 18


def test_embedding_reserves_its_input(accounts: UsageCalculator) -> None:
    account = opened(accounts, invoke(EMBEDDING, {"inputText": "…"}, input_tokens=40, output_tokens=None))

    assert (account.group.source, account.reserved_tokens, account.consumed_tokens) == (Source.NONE, 40, 40)
    assert not account.group.blocked


def test_embedding_without_counts_is_not_taken_for_blocked(accounts: UsageCalculator) -> None:
    assert not opened(accounts, invoke(EMBEDDING, {}, input_tokens=None, output_tokens=None)).group.blocked


@pytest.mark.parametrize(
    "entry",
    [
        # Converse logs counts of 0, InvokeModel none at all
        pytest.param(
            converse(SONNET, input_tokens=0, output_tokens=0, max_tokens=4_000), id="Converse with counts of 0"
        ),
        pytest.param(
            converse(SONNET, input_tokens=0, output_tokens=0, cache_read=0, cache_write=0, max_tokens=None),
            id="Converse with cache counts of 0 and no limit",
        ),
        pytest.param(metadata_only(SONNET, input_tokens=0, output_tokens=0), id="metadata only"),
        pytest.param(blocked(SONNET), id="InvokeModel"),
        pytest.param(blocked(SONNET, answer=[{"stopReason": "guardrail_intervened"}]), id="a streamed answer"),
        pytest.param(
            blocked(SONNET, answer={"usage": {"inputTokens": 0, "outputTokens": 0}}), id="an answer with counts of 0"
        ),
        pytest.param(blocked("newcomer.model-1"), id="an unlisted model"),
        # … and where no text is delivered, nothing says otherwise
        pytest.param(without_answer(blocked(SONNET)), id="no answer in the log"),
        pytest.param(blocked(SONNET, input={}, output={}), id="empty input and output"),
    ],
)
def test_call_blocked_by_a_guardrail_is_a_request_without_tokens(accounts: UsageCalculator, entry: Entry) -> None:
    account = opened(accounts, entry)

    assert account.group.blocked
    assert (account.group.source, account.max_tokens) == (Source.NONE, 0)
    assert (account.reserved_tokens, account.consumed_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param(invoke(SONNET, {}, input_tokens=None), "missing_input_count", id="no input count"),
        pytest.param(invoke(SONNET, {}, output_tokens=None), "missing_output_count", id="no output count"),
        pytest.param(
            invoke(SONNET, {}, input_tokens=None, output_tokens=None), "missing_input_count", id="neither count"
        ),  # answered, and by nobody
        pytest.param(
            blocked(SONNET, answer={"usage": {"inputTokens": 3}}),
            "missing_output_count",
            id="input count in the answer alone",
        ),
        pytest.param(
            invoke(SONNET, {}, input_tokens=0, output_tokens=None),
            "missing_output_count",
            id="input count of 0 and no output count",
        ),
        pytest.param(
            invoke(SONNET, {}, input_tokens=None, output_tokens=0),
            "missing_input_count",
            id="output count of 0 and no input count",
        ),
        pytest.param(
            without_answer(invoke(SONNET, {}, output_tokens=None)),
            "missing_output_count",
            id="no output count and no answer",
        ),
        pytest.param(
            invoke(SONNET, None, input_tokens=None), "missing_input_count", id="no input count and no body"
        ),  # max_tokens is unknown, too
        pytest.param(
            invoke("newcomer.model-1", {"max_tokens": 9}, output_tokens=None),
            "missing_output_count",
            id="unlisted model with a limit",
        ),
        pytest.param(
            invoke("newcomer.model-1", {"prompt": "…"}, output_tokens=None),
            "missing_output_count",
            id="unlisted model with a prompt",
        ),
        pytest.param(
            invoke("newcomer.model-1", None, output_tokens=None),
            "missing_output_count",
            id="unlisted model without a body",
        ),
        pytest.param(
            converse("newcomer.model-1", max_tokens=None, output_tokens=None),
            "missing_output_count",
            id="unlisted model through Converse",
        ),
        # a guardrail's answer, but something was read from the cache or written to it: the model ran
        pytest.param(
            blocked(SONNET, input={"cacheReadInputTokenCount": 900}),
            "missing_input_count",
            id="blocked with a cache read",
        ),
        pytest.param(
            blocked(SONNET, input={"cacheWriteInputTokenCount": 900}),
            "missing_input_count",
            id="blocked with a cache write",
        ),
        pytest.param(
            invoke("newcomer.model-1", {}, input_tokens=None),
            "missing_input_count",
            id="unlisted model without an input count",
        ),
    ],
)
def test_text_that_was_made_and_not_counted_is_refused(accounts: UsageCalculator, entry: Entry, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        opened(accounts, entry)

    assert (caught.value.reason, caught.value.request_id) == (reason, entry["requestId"])


def test_counts_that_stand_in_the_answer_alone_are_taken(accounts: UsageCalculator) -> None:
    answer = [
        {"type": "content_block_delta"},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 30, "outputTokenCount": 4}},
    ]

    account = opened(accounts, invoke(SONNET, {"max_tokens": 70}, answer=answer, input_tokens=None, output_tokens=None))

    assert not account.group.blocked
    assert (account.reserved_tokens, account.consumed_tokens) == (100, 50)  # 30 + 70, 30 + 5 × 4


def test_answer_that_a_guardrail_changed_is_a_call_like_any_other(accounts: UsageCalculator) -> None:
    answer = {"amazon-bedrock-guardrailAction": "INTERVENED", "stopReason": "guardrail_intervened"}

    account = opened(accounts, invoke(SONNET, {"max_tokens": 70}, answer=answer, input_tokens=30, output_tokens=4))

    assert not account.group.blocked
    assert (account.reserved_tokens, account.consumed_tokens) == (100, 50)


def test_unlisted_embedding_is_a_call_without_output(accounts: UsageCalculator) -> None:
    account = opened(accounts, invoke("newcomer.embed-1", {"inputText": "…"}, input_tokens=40, output_tokens=None))

    assert (account.group.source, account.group.listed, account.group.blocked) == (Source.NONE, False, False)
    assert (account.reserved_tokens, account.consumed_tokens) == (40, 40)


def test_unlisted_embedding_is_told_without_any_body(accounts: UsageCalculator) -> None:
    entry = without_answer(invoke("newcomer.embed-1", None, input_tokens=40, output_tokens=None))
    del entry["input"]["inputBodyJson"]

    account = opened(accounts, entry)

    assert (account.group.source, account.reserved_tokens, account.consumed_tokens) == (Source.NONE, 40, 40)


def test_cache_counts_of_0_do_not_unblock_a_call(accounts: UsageCalculator) -> None:
    entry = blocked(SONNET, input={"cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": 0})

    assert opened(accounts, entry).group.blocked


def test_counts_of_a_stream_by_anthropic(accounts: UsageCalculator) -> None:
    # given a log that leaves the counts to the chunks
    usage = {"input_tokens": 30, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 900, "output_tokens": 1}
    chunks = [
        {"type": "message_start", "message": {"usage": usage}},
        {"type": "content_block_delta"},
        {"type": "message_delta", "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    entry = invoke(SONNET, {"max_tokens": 70}, answer=chunks, input_tokens=None, output_tokens=None)
    # when
    account = opened(accounts, entry | {"operation": "InvokeModelWithResponseStream"})
    # then
    assert (account.cache_read_tokens, account.cache_write_tokens) == (900, 7)
    assert (account.reserved_tokens, account.consumed_tokens) == (107, 57)  # 30 + 7 + 70, 30 + 7 + 5 × 4


def test_cached_tokens_of_openai_are_no_input(accounts: UsageCalculator) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 80}}
    entry = invoke(GPT_OSS, {"max_tokens": 70}, answer={"usage": usage}, input_tokens=None, output_tokens=None)

    account = opened(accounts, entry)

    assert (account.input_tokens, account.cache_read_tokens) == (20, 80)
    assert (account.reserved_tokens, account.consumed_tokens) == (90, 24)  # 20 + 70, 20 + 4


def test_call_wholly_from_the_cache_is_not_blocked(accounts: UsageCalculator) -> None:
    account = opened(accounts, converse(input_tokens=0, output_tokens=0, cache_read=900, max_tokens=50))

    assert not account.group.blocked
    assert (account.reserved_tokens, account.consumed_tokens) == (50, 0)


def test_rate_that_is_no_whole_number(registry: Registry) -> None:
    model = registry.find(SONNET)
    assert model is not None
    burndown = Burndown(rate=2.5, since=date(2026, 1, 1), status=RateStatus.LISTED, source="invented")
    corrected = apply_overrides(registry, (msgspec.structs.replace(model, burndown=(burndown,)),))
    accounts = UsageCalculator(corrected, lambda _profile: OutOfScope("unresolved_profile"))

    assert opened(accounts, converse(input_tokens=10, output_tokens=3)).consumed_tokens == 17.5  # 10 + 2.5 × 3
    assert opened(accounts, converse(input_tokens=10, output_tokens=4)).consumed_tokens == 20  # 10 + 2.5 × 4


# The pool


@pytest.mark.parametrize(
    ("model_id", "pool"),
    [
        pytest.param(SONNET, QuotaPool(SONNET, REGIONAL), id="model id"),
        pytest.param(f"us.{SONNET}", QuotaPool(SONNET, CROSS), id="geographic profile"),
        pytest.param(f"global.{SONNET}", QuotaPool(SONNET, GLOBAL), id="global profile"),
        pytest.param(
            f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}", QuotaPool(SONNET, REGIONAL), id="ARN of a model"
        ),
        pytest.param(
            f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/eu.{SONNET}",
            QuotaPool(SONNET, CROSS),
            id="ARN of a profile",
        ),
        pytest.param(
            f"{NOVA}:24k", QuotaPool(NOVA, REGIONAL), id="context variant"
        ),  # a throughput suffix is the same model
    ],
)
def test_pool(accounts: UsageCalculator, model_id: str, pool: QuotaPool) -> None:
    assert opened(accounts, converse(model_id)).group.pool == pool


@pytest.mark.parametrize(
    ("input_tokens", "cache_read", "cache_write", "suffix"),
    [
        pytest.param(200_000, 0, 0, "", id="200,000 of input"),
        pytest.param(200_001, 0, 0, ":1m", id="one more"),
        pytest.param(100_000, 50_000, 50_000, "", id="200,000 with the cache"),
        pytest.param(100_000, 100_000, 1, ":1m", id="one more with the cache"),  # cached input fills the window, too
    ],
)
def test_more_than_200_000_input_tokens_use_the_1m_context_quota(
    accounts: UsageCalculator, input_tokens: int, cache_read: int, cache_write: int, suffix: str
) -> None:
    given = converse(f"us.{SONNET}", input_tokens=input_tokens, cache_read=cache_read, cache_write=cache_write)

    assert opened(accounts, given).group.pool == QuotaPool(SONNET + suffix, CROSS)


def test_model_without_a_1m_context_quota_keeps_its_pool(accounts: UsageCalculator) -> None:
    assert opened(accounts, converse(OPUS, input_tokens=900_000)).group.pool == QuotaPool(OPUS, REGIONAL)


@pytest.mark.parametrize(
    ("latency", "expected"), [("optimized", EndpointType.LATENCY_OPTIMIZED), ("standard", CROSS), (None, CROSS)]
)
def test_latency_optimized_calls_have_a_pool_of_their_own(
    accounts: UsageCalculator, latency: str | None, expected: EndpointType
) -> None:
    model_id = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
    # Twice: what is remembered of one mode must not answer for the other.
    opened(accounts, converse(model_id, performanceConfig={"latency": "optimized" if latency is None else "standard"}))

    account = opened(accounts, converse(model_id, performanceConfig={"latency": latency}))

    assert account.group.pool == QuotaPool("anthropic.claude-3-5-haiku-20241022-v1:0", expected)


@pytest.mark.parametrize("model_id", [SONNET, NOVA, "anthropic.claude-of-tomorrow", "newcomer.model-1"])
def test_model_without_latency_optimized_inference_keeps_its_pool(accounts: UsageCalculator, model_id: str) -> None:
    account = opened(accounts, converse(f"us.{model_id}", performanceConfig={"latency": "optimized"}))

    assert account.group.pool == QuotaPool(model_id, CROSS)


@pytest.mark.parametrize(
    ("model_id", "provider"), [("anthropic.claude-of-tomorrow", "anthropic"), ("newcomer.model-1", "*")]
)
def test_unlisted_model_keeps_its_pool_and_gets_its_providers_rate(
    accounts: UsageCalculator, registry: Registry, model_id: str, provider: str
) -> None:
    account = opened(accounts, converse(f"us.{model_id}", input_tokens=10, output_tokens=100, max_tokens=None))

    known = registry.provider_by_id[provider]
    assert account.group.pool == QuotaPool(model_id, CROSS)
    assert not account.group.listed
    assert account.group.burndown_status is RateStatus.UNLISTED
    assert account.consumed_tokens == 10 + known.burndown[-1].rate * 100
    assert (account.group.source, account.max_tokens) == (Source.DEFAULT, known.max_output_tokens)


# Application profiles


class Resolver:
    def __init__(self, answer: Reference | OutOfScope) -> None:
        self.answer, self.asked = answer, list[ApplicationProfile]()

    def __call__(self, profile: ApplicationProfile) -> Reference | OutOfScope:
        self.asked.append(profile)
        return self.answer


def test_application_profile_shares_the_pool_of_its_model(registry: Registry) -> None:
    resolver = Resolver(Reference(SONNET, CROSS))

    account = opened(UsageCalculator(registry, resolver), converse(PROFILE_ARN, max_tokens=None))

    assert resolver.asked == [ApplicationProfile(PROFILE_ARN, "a1b2c3d4e5f6")]
    assert account.group.pool == QuotaPool(SONNET, CROSS)
    assert account.group.application_profile == "a1b2c3d4e5f6"
    assert account.max_tokens == 64_000  # the maximum of the model behind it
    assert account.group.listed


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(OutOfScope("unresolved_profile"), id="unresolved"),
        pytest.param(Reference(SONNET, CROSS), id="resolved"),
    ],
)
def test_application_profile_is_left_to_the_resolvers_cache(registry: Registry, before: Reference | OutOfScope) -> None:
    # given a profile that was resolved, or could not be, for the calls of one delivery
    resolver = Resolver(before)
    accounts = UsageCalculator(registry, resolver)
    accounts.begin(NOW)
    for _ in range(3):
        accounts.price(read_record(message(converse(PROFILE_ARN))))
    assert len(resolver.asked) == 1

    resolver.answer = Reference(NOVA, REGIONAL)

    # then it is asked for again in the next one
    found = opened(accounts, converse(PROFILE_ARN), NOW + timedelta(seconds=1))
    assert found.group.pool == QuotaPool(NOVA, REGIONAL)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="a metadata value"),
        pytest.param({"identity": {"arn": "x" * 513}}, id="an ARN"),
        pytest.param({"operation": "x" * 65}, id="an operation"),
    ],
)
def test_names_longer_than_any_of_aws_are_not_kept(registry: Registry, changes: dict[str, Any]) -> None:
    # given a call of an id that is far too long to be read, or by a caller or of an operation that is
    accounts = UsageCalculator(registry, Resolver(OutOfScope("unresolved_profile")))
    model_id = SONNET if changes else "x" * 513
    record = read_record(message(converse(model_id, **changes)))

    price(accounts, record, NOW)

    # then nothing of it stays behind
    assert accounts._origins == accounts._passing_origins == {}


def test_calls_alike_share_their_kind_and_few_kinds_are_kept(
    accounts: UsageCalculator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(accounts, converse()).group is opened(accounts, converse(output_tokens=7)).group

    monkeypatch.setattr("bedrock_quota.processor.usage.MAX_REMEMBERED", 2)
    for minute in range(5):
        opened(accounts, converse(timestamp=f"2026-11-23T11:0{minute}:00Z"))
        assert len(accounts._groups) <= 2


def test_out_of_scope_call_is_no_account(accounts: UsageCalculator) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc123"

    assert price(accounts, read_record(message(converse(arn))), NOW) == OutOfScope("provisioned_model")


# Who, what and when


def test_account_says_who_called_and_how(registry: Registry) -> None:
    accounts = UsageCalculator(registry, Resolver(OutOfScope("unresolved_profile")), ("team", "cost-center"))
    metadata = {"team": "zwölf", "prompt": "a secret", "cost-center": "42"}

    account = opened(accounts, converse(operation="ConverseStream", requestMetadata=metadata))

    assert account.group.caller == "ReportWriter"
    assert account.group.operation == "ConverseStream"
    # Only the keys that are allowed, in the order of the setting, safe to print
    assert account.group.request_metadata == (("team", "zw?lf"), ("cost-center", "42"))


def test_without_an_allow_list_no_tag_is_carried(accounts: UsageCalculator) -> None:
    assert opened(accounts, converse(requestMetadata={"team": "search"})).group.request_metadata == ()


def test_missing_identity_is_unknown(accounts: UsageCalculator) -> None:
    assert opened(accounts, converse(identity=None)).group.caller == "unknown"


def test_minute_is_that_of_the_calls_start(accounts: UsageCalculator) -> None:
    early = opened(accounts, converse(timestamp="2026-11-23T12:00:00Z"))
    late = opened(accounts, converse(timestamp="2026-11-23T12:00:59.999Z"))
    before = opened(accounts, converse(timestamp="2026-11-23T11:59:59Z"))

    assert (early.group.minute, late.group.minute, before.group.minute) == (MINUTE, MINUTE, MINUTE - 60)
    assert (early.started, late.started) == (MINUTE, MINUTE + 59)


def at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


# The limit is 14 days less 5 minutes, of the minute: at 12:00:00 both are the same
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(NOON - timedelta(days=14) + MARGIN, id="14 days less 5 minutes old"),
        pytest.param(NOON + timedelta(hours=2), id="2 hours ahead"),
        pytest.param(NOON, id="now"),
    ],
)
def test_timestamp_at_the_limit_is_taken(accounts: UsageCalculator, moment: datetime) -> None:
    assert opened(accounts, converse(timestamp=at(moment)), now=NOON).started == int(moment.timestamp())


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        pytest.param(NOON - timedelta(days=14, seconds=1) + MARGIN, "too_old", id="a second too old"),
        pytest.param(NOON - timedelta(days=14), "too_old", id="14 days old"),
        pytest.param(NOON + timedelta(hours=2, seconds=1), "too_far_ahead", id="a second too far ahead"),
        pytest.param(datetime(1, 1, 1, tzinfo=UTC), "too_old", id="the first moment there is"),
        pytest.param(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "too_far_ahead", id="the last moment there is"),
    ],
)
@pytest.mark.parametrize("make", [converse, failed])
def test_timestamp_beyond_the_limit_is_refused(
    accounts: UsageCalculator, moment: datetime, reason: str, make: Any
) -> None:
    text = moment.isoformat().replace("+00:00", "Z")
    record = read_record(message(make(timestamp=text)))

    with pytest.raises(RecordError) as caught:
        price(accounts, record, NOON)

    assert (caught.value.reason, caught.value.request_id) == (reason, record.request_id)


@pytest.mark.parametrize("text", ["yesterday", "2026-11-23T12:00:05"])
def test_timestamp_that_is_no_moment_is_refused(accounts: UsageCalculator, text: str) -> None:
    record = read_record(message(converse(timestamp=text)))

    with pytest.raises(RecordError) as caught:
        price(accounts, record, NOON)

    assert (caught.value.reason, caught.value.request_id) == ("bad_timestamp", record.request_id)


def test_minute_that_cloudwatch_would_drop_is_refused(accounts: UsageCalculator) -> None:
    # 13 d 23 h 54 min 45 s old, but the metric is stamped with its minute, 12:05:00, 13 d 23 h 55 min 15 s ago.
    now = datetime(2026, 11, 23, 12, 0, 15, tzinfo=UTC)
    given = converse(timestamp=at(now - timedelta(days=14) + MARGIN + timedelta(seconds=15)))

    with pytest.raises(RecordError, match="too_old"):
        price(accounts, read_record(message(given)), now)

    # One second into the next minute, it is 13 d 23 h 54 min 15 s old, and so is its metric.
    given = converse(timestamp=at(now - timedelta(days=14) + MARGIN + timedelta(seconds=45)))
    assert opened(accounts, given, now=now).group.minute == MINUTE - 14 * 86_400 + 300 + 60


def test_failed_call_keeps_its_code_and_invents_no_tokens(accounts: UsageCalculator) -> None:
    found = price(accounts, read_record(message(failed(f"us.{SONNET}", "ThrottlingException"))), NOW)

    assert found == FailedCall(
        pool=QuotaPool(SONNET, CROSS),
        minute=MINUTE,
        caller="ReportWriter",
        operation="Converse",
        error_code="ThrottlingException",
    )


def failed_pool(accounts: UsageCalculator, entry: Entry) -> QuotaPool | None:
    found = price(accounts, read_record(message(entry)), NOW)
    assert isinstance(found, FailedCall), found
    return found.pool


@pytest.mark.parametrize(
    ("entry", "pool"),
    [
        pytest.param(failed(SONNET), QuotaPool(SONNET, REGIONAL), id="model id"),
        pytest.param(failed(f"{NOVA}:24k"), QuotaPool(NOVA, REGIONAL), id="context variant"),
        pytest.param(
            failed("us.newcomer.model-1"), QuotaPool("newcomer.model-1", CROSS), id="unlisted model through a profile"
        ),
        pytest.param(
            failed("us.amazon.nova-pro-v1:0", performanceConfig={"latency": "optimized"}),
            QuotaPool("amazon.nova-pro-v1:0", EndpointType.LATENCY_OPTIMIZED),
            id="latency-optimized",
        ),
        pytest.param(
            failed(f"us.{SONNET}", performanceConfig={"latency": "optimized"}),
            QuotaPool(SONNET, CROSS),
            id="a model without latency-optimized inference",
        ),
        # A failed call without a pool is still a failed call
        pytest.param(
            failed("arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc123"), None, id="provisioned throughput"
        ),
        pytest.param(failed("gibberish"), None, id="an unreadable id"),
        pytest.param(failed(PROFILE_ARN), None, id="application profile"),  # these accounts can resolve none
    ],
)
def test_failed_call_has_the_pool_it_was_meant_for(
    accounts: UsageCalculator, entry: Entry, pool: QuotaPool | None
) -> None:
    assert failed_pool(accounts, entry) == pool


def test_failed_call_through_an_application_profile_has_the_pool_of_its_model(registry: Registry) -> None:
    assert failed_pool(UsageCalculator(registry, Resolver(Reference(SONNET, CROSS))), failed(PROFILE_ARN)) == QuotaPool(
        SONNET, CROSS
    )


def test_failed_call_needs_no_counts_and_names_no_text(accounts: UsageCalculator) -> None:
    given = failed(code="a prompt in disguise", operation="so is this", input=None, output=None)

    found = price(accounts, read_record(message(given)), NOW)

    assert isinstance(found, FailedCall)
    assert (found.error_code, found.operation) == ("other", "other")


def test_operation_that_is_no_word_is_not_named(accounts: UsageCalculator) -> None:
    assert opened(accounts, converse(operation="a prompt in disguise")).group.operation == "other"


def test_titan_default_differs_by_operation(accounts: UsageCalculator) -> None:
    invoked = opened(accounts, invoke(TITAN, {"inputText": "…"}, input_tokens=10))
    conversed = opened(accounts, converse(TITAN, input_tokens=10, max_tokens=None))

    assert (invoked.reserved_tokens, conversed.reserved_tokens) == (522, 8_010)  # 10 + 512, 10 + 8,000
