"""From records to counts and sums: every record has one outcome, and only calls in scope are added up."""

import json
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pytest
from records import (
    EMBEDDING,
    MINUTE,
    NOVA,
    PROFILE_ARN,
    SONNET,
    blocked,
    by_session,
    converse,
    failed,
    invoke,
    message,
    metadata_only,
    of_project,
    record,
    with_id,
)

from bedrock_quota.analysis.answers import NOTHING_CHANGED as NOTHING
from bedrock_quota.analysis.usage import PoolUsage
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.processor.look_up import FetchedBodies, MissingBody
from bedrock_quota.processor.records import RequestBody
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze import reader as reader_module
from quota_monitor.analyze.account import Account
from quota_monitor.analyze.command import make_document, name_counts
from quota_monitor.analyze.latency import read_latency
from quota_monitor.analyze.reader import Counts, RecordReader
from quota_monitor.analyze.scope import NO_LABEL, Dimension, Scope
from quota_monitor.window import Window

IN_WINDOW = Window(MINUTE, MINUTE + 60)


def read(registry: Registry, *messages: object, scope: Scope = Scope(), **options: Any) -> RecordReader:  # noqa: B008
    reader = RecordReader(registry, scope, **options)
    reader.add_all(each if isinstance(each, str | bytes) else json.dumps(each) for each in messages)
    reader.finish()
    return reader


def outcomes(counts: Counts) -> int:
    """Return the sum of all outcomes, which is the number of records."""
    return (
        counts.answered
        + counts.failed
        + counts.ignored
        + counts.not_asked_for
        + counts.rejected.total()
        + counts.out_of_scope.total()
    )


def usage_of(reader: RecordReader) -> PoolUsage:
    (usage,) = reader.tally.measure({})
    return usage


# ---------------------------------------------------------------- outcomes

PERMISSIONS = "Permissions are correctly set for Amazon Bedrock logs."
PROVISIONED = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(converse(), {"answered": 1}, id="call"),
        pytest.param(blocked(), {"answered": 1}, id="call that a guardrail blocked"),
        pytest.param(invoke(EMBEDDING, {}, output_tokens=None), {"answered": 1}, id="embedding"),
        pytest.param(failed(), {"failed": 1}, id="throttled call"),
        pytest.param(failed(PROVISIONED), {"failed": 1}, id="failed call without a pool"),
        pytest.param(PERMISSIONS, {"ignored": 1}, id="first event of a log group"),
        pytest.param(PERMISSIONS.encode(), {"ignored": 1}, id="first event of a log group, as bytes"),
        pytest.param("", {"rejected": {"not_json": 1}}, id="empty event"),
        pytest.param("{", {"rejected": {"not_json": 1}}, id="cut record"),
        pytest.param(b"\xff{}", {"rejected": {"not_json": 1}}, id="no UTF-8"),
        pytest.param("[]", {"rejected": {"not_an_object": 1}}, id="list"),
        pytest.param("[" * 10_000, {"rejected": {"too_deep": 1}}, id="nested 10,000 deep"),
        pytest.param("{}", {"rejected": {"missing_model_id": 1}}, id="empty object"),
        pytest.param(converse(timestamp=None), {"rejected": {"missing_timestamp": 1}}, id="no timestamp"),
        pytest.param(converse(timestamp="2026-11-23"), {"rejected": {"bad_timestamp": 1}}, id="timestamp without zone"),
        pytest.param(converse(input_tokens=-1), {"rejected": {"negative_count": 1}}, id="negative count"),
        pytest.param(converse(input_tokens=10**9), {"rejected": {"absurd_count": 1}}, id="absurd count"),
        pytest.param(record(PROVISIONED), {"out_of_scope": 1}, id="provisioned model"),
        pytest.param(
            converse(PROFILE_ARN), {"out_of_scope": {"unresolved_profile": 1}}, id="profile that nobody resolves"
        ),
    ],
)
def test_every_record_has_one_outcome(registry: Registry, sent: object, expected: dict[str, Any]) -> None:
    counts = read(registry, sent).counts

    assert (counts.received, outcomes(counts)) == (1, 1)
    for name, value in expected.items():
        found = getattr(counts, name)
        assert (found.total() if isinstance(value, int) and name == "out_of_scope" else found) == value


def test_a_call_of_the_reserved_tier_is_out_of_scope(registry: Registry) -> None:
    call = converse()
    call["output"]["outputBodyJson"]["serviceTier"] = {"type": "reserved"}

    assert read(registry, call).counts.out_of_scope == {"reserved_tier": 1}


def test_names_of_outcomes_add_up_to_all_records_that_are_in_no_sum(registry: Registry) -> None:
    counts = read(
        registry,
        converse(),
        failed(),
        PERMISSIONS,
        "{",
        record(PROVISIONED),
        converse(timestamp="2020-01-01T00:00:00Z"),
        scope=Scope(IN_WINDOW),
    ).counts

    assert sum(name_counts(counts).values()) == counts.received - counts.answered == 5


# ---------------------------------------------------------------- window


@pytest.mark.parametrize(
    ("second", "is_in"),
    [
        pytest.param("11:59:59", False, id="a second before"),
        pytest.param("12:00:00", True, id="first second"),
        pytest.param("12:00:59", True, id="last second"),
        pytest.param("12:01:00", False, id="a second after"),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(converse, id="call"),
        pytest.param(failed, id="failed call"),
        pytest.param(lambda **changes: record(PROVISIONED, **changes), id="call out of scope"),
        pytest.param(lambda **changes: converse(PROFILE_ARN, **changes), id="unresolved profile"),
    ],
)
def test_a_window_has_its_first_second_and_not_that_after_its_last(
    registry: Registry,
    kind: Callable[..., Any],
    second: str,
    is_in: bool,
) -> None:
    counts = read(registry, kind(timestamp=f"2026-11-23T{second}Z"), scope=Scope(IN_WINDOW)).counts

    assert counts.not_asked_for == (0 if is_in else 1)
    assert outcomes(counts) == 1


def test_records_of_any_time_are_added_up(registry: Registry) -> None:
    # the processor rejects both, because CloudWatch would drop their metrics
    old, coming = converse(timestamp="2023-01-01T00:00:00Z"), converse(timestamp="2040-01-01T00:00:00+02:00")

    assert read(registry, old, coming).counts.answered == 2


# ---------------------------------------------------------------- models, callers and labels


@pytest.mark.parametrize(
    ("scope", "answered", "throttled"),
    [
        pytest.param(Scope(), 2, 1, id="all"),
        pytest.param(Scope(model="sonnet"), 1, 1, id="part of a model id"),
        pytest.param(Scope(model="nova-lite-v1:0"), 1, 0, id="end of a model id"),
        pytest.param(Scope(model="Sonnet"), 0, 0, id="capitals differ"),
        pytest.param(Scope(caller="Report"), 2, 1, id="all callers of a pool share its quota"),
        pytest.param(Scope(caller="Report", model="nova"), 1, 0, id="only the model selects"),
    ],
)
def test_a_scope_selects_models_and_callers(registry: Registry, scope: Scope, answered: int, throttled: int) -> None:
    chat = converse(NOVA, **by_session("s", role="Chat"))

    counts = read(registry, converse(), chat, failed(), scope=scope).counts

    assert (counts.answered, counts.failed) == (answered, throttled)
    assert outcomes(counts) == 3


@pytest.mark.parametrize(
    ("scope", "label", "label_of_failed"),
    [
        pytest.param(Scope(), "ReportWriter", "ReportWriter", id="caller"),
        pytest.param(
            Scope(dimension=Dimension.SESSION), "ReportWriter jane", "ReportWriter jane", id="session and its caller"
        ),
        pytest.param(Scope(dimension=Dimension.OPERATION), "Converse", "Converse", id="operation"),
        pytest.param(Scope(dimension=Dimension.PROJECT), "p1", NO_LABEL, id="project"),
        pytest.param(Scope(dimension=Dimension.PROFILE), NO_LABEL, NO_LABEL, id="no application profile"),
        pytest.param(Scope(dimension=Dimension.TAG, tag="team"), "42", "7", id="tag"),
        pytest.param(Scope(dimension=Dimension.TAG, tag="Team"), NO_LABEL, NO_LABEL, id="tag with other capitals"),
    ],
)
def test_usage_is_added_up_by_a_property(registry: Registry, scope: Scope, label: str, label_of_failed: str) -> None:
    call = of_project(converse(requestMetadata={"team": "42", "other": "x"}, **by_session("jane")), "p1")
    refused = failed(operation="Converse", requestMetadata={"team": "7"}, **by_session("jane"))

    reader = read(registry, call, refused, scope=scope)
    callers = {
        each.caller: (each.requests, each.throttled)
        for usage in [usage_of(reader) if reader.listing is None else reader.listing.measure({})[0]]
        for each in usage.callers
    }

    expected = {label: (1, 1)} if label == label_of_failed else {label: (1, 0), label_of_failed: (0, 1)}
    assert callers == expected
    assert [caller.caller for caller in usage_of(reader).callers] == ["ReportWriter"]  # the answers stay by caller


BY_TEAM = Scope(dimension=Dimension.TAG, tag="team")


@pytest.mark.parametrize(
    ("entries", "unlabelled"),
    [
        pytest.param([converse(requestMetadata={"team": "42"}), failed(), failed()], 2, id="other calls have the tag"),
        pytest.param([failed(), failed(), converse(requestMetadata={"team": "42"})], 2, id="in any order"),
        pytest.param([converse(), failed()], 0, id="no call has the tag"),
        pytest.param(
            [converse(requestMetadata={"team": "42"}), failed(requestMetadata={"team": "42"})], 0, id="all have the tag"
        ),
        pytest.param(
            [converse(requestMetadata={"team": "42"}), failed(**by_session("jane", "Other"))], 0, id="another caller"
        ),
        pytest.param(
            [converse(requestMetadata={"team": "42"}), failed(code="ModelErrorException")], 0, id="another error"
        ),
    ],
)
def test_throttled_calls_that_may_belong_to_a_label_are_counted(
    registry: Registry, entries: list[dict[str, Any]], unlabelled: int
) -> None:
    assert read(registry, *entries, scope=BY_TEAM).unlabelled.count() == unlabelled


def test_a_tag_of_the_caller_is_used_for_calls_without_one_alone(registry: Registry) -> None:
    scope = msgspec.structs.replace(BY_TEAM, tags_of_callers={"ReportWriter": "reports"})

    reader = read(registry, converse(), converse(requestMetadata={"team": "42"}), failed(), scope=scope)

    assert reader.listing is not None
    (usage,) = reader.listing.measure({})
    assert {each.caller: (each.requests, each.throttled) for each in usage.callers} == {"reports": (1, 1), "42": (1, 0)}
    assert reader.unlabelled.count() == 0


def test_answers_whose_end_is_unknown_are_counted_by_pool(registry: Registry) -> None:
    reader = RecordReader(registry, Scope(model="sonnet"))

    for number, entry in enumerate((converse(), converse(f"us.{SONNET}"), converse(f"us.{SONNET}"), converse(NOVA))):
        reader.add(message(with_id(entry, number)), is_end_unknown=True)
    reader.add(message(with_id(converse(), 9)))

    assert {str(pool): number for pool, number in reader.counts.unknown_ends.items()} == {
        f"{SONNET} (regional)": 1,
        f"{SONNET} (cross-region)": 2,
    }


def test_profiles_are_resolved(registry: Registry) -> None:
    reader = read(
        registry,
        converse(PROFILE_ARN),
        scope=Scope(dimension=Dimension.PROFILE),
        resolve_profile=lambda _profile: Reference(NOVA, EndpointType.REGIONAL),
    )

    assert usage_of(reader).pool == QuotaPool(NOVA, EndpointType.REGIONAL)
    assert reader.listing is not None
    assert [each.caller for each in reader.listing.measure({})[0].callers] == ["a1b2c3d4e5f6"]


def test_unlisted_models_share_a_pool_when_there_are_too_many(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "MAX_UNLISTED_POOLS", 2)

    reader = read(registry, *(converse(f"newcomer.model-{number}") for number in range(4)))

    assert [usage.pool.model_id for usage in reader.tally.measure({})] == [
        "newcomer.model-0",
        "newcomer.model-1",
        "unlisted",
    ]
    assert len(reader.counts.unlisted_models) <= 2
    assert reader.counts.answered == 4


# ---------------------------------------------------------------- sums and latency


def test_a_call_is_added_up_with_its_latency(registry: Registry) -> None:
    # Sonnet 4: reserved 100 + 30 + 500, consumed 100 + 30 + 5 * 20; 1,234 ms end in the second after 12:00:06
    usage = usage_of(read(registry, converse(cache_write=30, cache_read=7)))

    minute = usage.minutes[0]
    assert (minute.reserved_tokens, minute.consumed_tokens, minute.in_use) == (630, 230, 630)
    assert usage.unknown_ends == 0


@pytest.mark.parametrize(
    ("answer", "latency"),
    [
        pytest.param({"metrics": {"latencyMs": 271}}, 271, id="Converse"),
        pytest.param({"metrics": {"latencyMs": 271.5}}, 272, id="a fraction"),
        pytest.param({"metadata": {"metrics": {"latencyMs": 9}}}, 9, id="metadata of a stream in one object"),
        pytest.param({"amazon-bedrock-invocationMetrics": {"invocationLatency": 3848}}, 3848, id="invocation metrics"),
        pytest.param(
            [{"type": "a"}, {"amazon-bedrock-invocationMetrics": {"invocationLatency": 509}}], 509, id="last chunk"
        ),
        pytest.param(
            [{"amazon-bedrock-invocationMetrics": {"invocationLatency": 509}}, {}, {}],
            509,
            id="third chunk from the end",
        ),
        pytest.param(
            [{"amazon-bedrock-invocationMetrics": {"invocationLatency": 509}}, {}, {}, {}], None, id="fourth chunk"
        ),
        pytest.param([{"metrics": {"latencyMs": 1}}, {"metrics": {"latencyMs": 2}}], 2, id="the last of two"),
        pytest.param([{"metrics": {"latencyMs": 1}}, 7, "text"], 1, id="chunks of other types"),
        pytest.param({}, None, id="InvokeModel"),
        pytest.param("text", None, id="answer that is a text"),
        pytest.param({"metrics": {"latencyMs": "271"}}, None, id="text in place of a number"),
        pytest.param({"metrics": {"latencyMs": -1}}, None, id="negative"),
        pytest.param({"metrics": {"latencyMs": 1e12}}, None, id="absurd"),
        pytest.param({"metrics": [1]}, None, id="list in place of an object"),
        pytest.param({"output": {"message": '"metrics": {"latencyMs": 5}'}}, None, id="quoted in a text"),
        pytest.param({"output": {"metrics": {"latencyMs": 5}}}, None, id="deeper"),
    ],
)
def test_latency_is_read_where_bedrock_writes_it(answer: object, latency: int | None) -> None:
    assert read_latency(json.dumps({"output": {"outputBodyJson": answer}})) == latency


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"output": 7}', "[" * 100_000, '{"output": {"outputBodyJson": "\ud800"}}'], ids=ascii
)
def test_latency_of_what_is_no_record_is_unknown(text: str) -> None:
    assert read_latency(text[:40] if len(text) < 50 else text) is None


# ---------------------------------------------------------------- bodies in S3


def in_s3(name: str, **changes: Any) -> dict[str, Any]:
    given = {"inputTokenCount": 100, "inputBodyS3Path": f"s3://bucket/{name}"}
    return converse(input=given, **changes)


def fetch(paths: Collection[str]) -> FetchedBodies:
    """Return a body for each path but those that name a reason."""
    return FetchedBodies(
        {path: RequestBody(max_tokens=900) for path in paths if path.endswith("there")},
        {path: MissingBody("AccessDenied") for path in paths if path.endswith("denied")},
    )


def test_bodies_in_s3_are_read(registry: Registry) -> None:
    reader = read(registry, in_s3("there"), in_s3("denied"), in_s3("other"), fetch_bodies=fetch)

    assert reader.counts.missing_bodies == {"AccessDenied": 1, "not_asked": 1}
    minute = usage_of(reader).minutes[0]
    assert (minute.requests, minute.known_requests, minute.reserved_tokens) == (3, 1, 100 + 900)


def test_bodies_are_read_in_batches(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_WAITING", 2)
    asked: list[list[str]] = []

    def note(paths: Collection[str]) -> FetchedBodies:
        asked.append(list(paths))
        return fetch(paths)

    read(registry, in_s3("1"), in_s3("1"), in_s3("2"), fetch_bodies=note)

    assert asked == [["s3://bucket/1"], ["s3://bucket/2"]]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(in_s3("there"), "no_access", id="source without S3"),
        pytest.param(metadata_only(), "not_logged", id="texts are not delivered"),
    ],
)
def test_the_reason_of_an_unknown_limit_is_counted_and_said(
    registry: Registry, sent: dict[str, Any], reason: str
) -> None:
    reader = read(registry, sent)

    document = make_document(reader, Scope(), NOTHING, source="a test", account=Account())

    assert reader.counts.missing_bodies == {reason: 1}
    assert any(note.startswith("The max_tokens of 1 call is unknown: 1 because ") for note in document.notes)


def test_nothing_in_the_window_is_said_with_the_next_step(registry: Registry) -> None:
    document = make_document(read(registry), Scope(IN_WINDOW), NOTHING, source="a test", account=Account())

    assert document.notes == ("There are no records in this window. Use a longer one, such as --days 7.",)
