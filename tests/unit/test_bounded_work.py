"""Attacks on the processor that once worked: no record costs another its metrics, whatever it holds and needs."""

import base64
import gzip
import io
import itertools
import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from executed_lines import count_lines
from invariants import LINES_PER_RECORD, work_is_within_the_steps
from processed import read_record
from records import (
    ACCOUNT,
    EMBEDDING,
    NOW,
    SONNET,
    converse,
    envelope,
    failed,
    message,
)

from bedrock_quota import clients
from bedrock_quota.errors import RecordError
from bedrock_quota.model_ids import OutOfScope, Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor import partial_reading, pipeline
from bedrock_quota.processor.application_profiles import MAX_LOOK_UPS, MAX_PROFILES
from bedrock_quota.processor.batch import process_batch
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.delivery import decode_delivery
from bedrock_quota.processor.event import batch_response, split_event
from bedrock_quota.processor.pipeline import Outcome
from bedrock_quota.processor.records import Chunk, RequestBody
from bedrock_quota.processor.serving import MAX_CHUNKS
from bedrock_quota.processor.step_budget import MAX_STEPS_PER_DELIVERY, MAX_STEPS_PER_RECORD, StepBudget
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import ModelKind, Registry
from bedrock_quota.settings import Settings
from bedrock_quota.state.snapshot import Snapshot
from benchmarks import cpu

pytestmark = pytest.mark.usefixtures("no_aws")

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
IDS = itertools.count()
GOOD = converse(input_tokens=10, output_tokens=2, max_tokens=100)  # reserves 110, consumes 10 + 5 × 2


def compressed(entries: Iterable[Mapping[str, Any] | str]) -> str:
    """Return the data of a delivery, whose log events have ids of their own."""
    payload = envelope([each if isinstance(each, str) else message(each) for each in entries])
    for each in payload["logEvents"]:
        each["id"] = f"{next(IDS):056d}"
    return base64.b64encode(gzip.compress(json.dumps(payload).encode(), 1)).decode()


def run(container: Container, event: dict[str, Any], now: datetime = NOW) -> list[dict[str, Any]]:
    """Run the processor on an event, and return its lines. The last one is the health line of the last group."""
    lines: list[bytes] = []

    def publish(outcome: Outcome | None, again: Sequence[bytes]) -> None:
        lines.extend([*(outcome.lines if outcome else ()), *again])

    sent = split_event(event)
    told = batch_response(sent, process_batch(sent, container, CONTEXT, lambda _received: now, publish))
    assert not told.get("batchItemFailures")
    return [json.loads(line) for line in lines]


def deliver(container: Container, entries: Iterable[Mapping[str, Any] | str]) -> list[dict[str, Any]]:
    lines = run(container, {"awslogs": {"data": compressed(entries)}})
    health = lines[-1]
    with_metrics = sum(len(line.get("ConsumedTokens", ())) for line in lines)
    assert health["RecordsProcessed"] == with_metrics, "calls without metrics"
    return lines


@pytest.fixture
def container(registry: Registry) -> Container:
    return Container(Settings(large_bodies_bucket="bucket"), registry, lambda: None)


# CPU


def test_eight_records_of_a_megabyte_of_empty_chunks_cost_the_good_ones_nothing(container: Container) -> None:
    # given 8 records whose answer is 333,000 empty objects
    bomb = message({**converse(), "input": {}, "output": {"outputBodyJson": []}}).replace(
        "[]", f"[{','.join(['{}'] * 333_000)}]"
    )
    assert 900_000 < len(bomb) < 1024 * 1024
    # when they come with 200 good ones
    lines = deliver(container, [GOOD] * 100 + [bomb] * 8 + [GOOD] * 100)
    # then those are counted to the token, and each of the 8 is refused
    assert lines[-1]["RecordsProcessed"] == 200
    assert lines[-1]["rejected_reasons"] == {"too_costly": 8}
    assert [value for line in lines for value in line.get("ConsumedTokens", ())] == [20] * 200
    assert [value for line in lines for value in line.get("ReservedTokens", ())] == [110] * 200


def test_steps_of_a_delivery_end_and_its_good_records_do_not(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given 200 records, each within its own steps, that together need more than the delivery has
    budgets: list[StepBudget] = []

    def begin() -> StepBudget:
        budgets.append(StepBudget(100_000))
        return budgets[-1]

    monkeypatch.setattr(pipeline, "StepBudget", begin)
    answer = [{"usage": {"inputTokens": 1, "outputTokens": 1}}] * 40
    costly = converse(input_tokens=None, output_tokens=None, output={"outputBodyJson": answer})
    # when good ones come before and after them
    lines = deliver(container, [GOOD] * 5 + [costly] * 200 + [GOOD] * 5)
    # then as many are priced as the steps suffice for, and all good ones
    (budget,) = budgets
    costs = StepBudget()
    read_record(message(costly), costs)
    expected = 100_000 // (MAX_STEPS_PER_DELIVERY - costs.left)
    assert 0 < expected < 200
    assert lines[-1]["RecordsProcessed"] == expected + 10
    assert lines[-1]["rejected_reasons"] == {"too_costly": 200 - expected}
    assert 0 <= budget.left < 100_000
    assert sum(line["ConsumedTokens"].count(20) for line in lines[:-1]) == 10


def test_records_that_take_much_work_leave_enough_for_unusual_ones_after_them(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given 40 records of 2,800 steps each, more together than a delivery has, and one with a count written as text
    monkeypatch.setattr(pipeline, "StepBudget", lambda: StepBudget(50_000))
    answer = ",".join(["[]"] * 930)
    costly = message({**converse(), "input": {}, "output": {"outputBodyJson": []}}).replace("[]", f"[{answer}]")
    unusual = converse(input_tokens="30", output_tokens=4)
    # when the unusual one comes last
    lines = deliver(container, [costly] * 40 + [unusual])
    # then it is counted: 30 + 5 × 4
    assert lines[-1]["RecordsProcessed"] == 1
    assert lines[-1]["rejected_reasons"]["too_costly"] > 20
    assert [value for line in lines for value in line.get("ConsumedTokens", ())] == [50]


def test_crowded_records_cost_embeddings_nothing(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    # given 60 records of 10 KB that take 9,000 steps each, and 100 longer embeddings without an output count
    monkeypatch.setattr(pipeline, "StepBudget", lambda: StepBudget(500_000))
    crowded = message({**converse(), "input": {}, "output": {"outputBodyJson": []}}).replace(
        "[]", f"[{','.join(['[]'] * 3_000)}]"
    )
    vector = {"embedding": [0.015625] * 2_000, "inputTextTokenCount": 8}
    given = {"inputTokenCount": 8, "inputBodyJson": {"inputText": "plums"}}
    embedding = converse(EMBEDDING, operation="InvokeModel", input=given, output={"outputBodyJson": vector})
    # when the embeddings come last
    lines = deliver(container, [crowded] * 60 + [embedding] * 100)
    # then all of them are counted
    assert lines[-1]["RecordsProcessed"] == 100
    assert sum(sum(line.get("ConsumedTokens", ())) for line in lines) == 800


SHAPES = dict(cpu.body_shapes((3_000, 30_000)))


@pytest.mark.parametrize("piece", ['"', '\\"', '"\\', '"\\"', "a"])
def test_a_string_without_an_end_is_read_in_linear_time(piece: str) -> None:
    # a quadratic search takes minutes here
    with pytest.raises(RecordError) as raised:
        read_record('{"modelId": "' + piece * (1_000_000 // len(piece)), StepBudget())

    assert raised.value.reason == "not_json"


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param("a", id="letters"),
        pytest.param('\\"', id="escaped quotes"),
        pytest.param("\\", id="backslashes"),
        pytest.param("\\n", id="escaped line ends"),
        pytest.param('x\\"', id="letters and escaped quotes"),
        pytest.param("\\u00e9", id="escaped letters"),
        pytest.param('""\u0100', id="empty strings and letters"),
        pytest.param("[[[[a", id="brackets"),
    ],
)
@pytest.mark.parametrize("end", ['"}', ""], ids=["closed", "without an end"])
def test_a_record_of_a_megabyte_takes_little_memory_before_its_steps_are_spent(piece: str, end: str) -> None:
    # given a record of 1 MB in one string of JSON
    text = '{"modelId": "' + piece * (1_000_000 // len(piece.encode())) + end
    # when it is read
    tracemalloc.start()
    try:
        with pytest.raises(RecordError):
            read_record(text.encode(), StepBudget())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # then it takes a few times its size: escaped quotes took 64 MB
    assert peak < 8_000_000


@pytest.mark.parametrize("place", cpu.PLACES)
def test_work_on_any_shape_of_a_body_is_within_its_steps(place: str) -> None:
    tried = [text for name, text in SHAPES.items() if f", {place}, " in name]
    assert len(tried) == 2 * len(cpu.CHUNKS)
    reasons = {None if refused is None else refused.reason for refused in map(work_is_within_the_steps, tried)}
    assert reasons <= {None, "missing_input_count", "missing_output_count"}


def test_work_on_any_shape_of_an_answer_with_counts_is_within_its_steps() -> None:
    tried = [text for name, text in SHAPES.items() if "the answer counted in" in name or "as one object" in name]
    assert len(tried) == 6 * len(cpu.CHUNKS)
    reasons = {None if refused is None else refused.reason for refused in map(work_is_within_the_steps, tried)}
    assert reasons <= {None, "missing_input_count", "missing_output_count"}


def test_decoders_that_a_process_makes_once_are_not_work_of_a_record() -> None:
    # given a process that has not met a word of a wrong type, neither in a body nor in an answer
    for made_once in (value for value in vars(partial_reading).values() if hasattr(value, "cache_clear")):
        made_once.cache_clear()
    words: dict[str, Any] = {"serviceTier": {"type": 5}, "performanceConfig": {"latency": 5}}
    record = converse(input_tokens=10, output_tokens=2, max_tokens=100)
    record["input"]["inputBodyJson"] |= words | {"additionalModelRequestFields": {"inferenceConfig": 5}}
    record["output"]["outputBodyJson"] = [{"delta": {"stop_reason": 5}}, {"metadata": words}]
    # when and then
    assert work_is_within_the_steps(message(record)) is None


def write_wrong(shape: type[msgspec.Struct]) -> Any:
    """Return an object with every member of a shape in it, but for counts: each of a wrong type, in its members."""
    members = {
        member.key: [5] if member.shape is None else write_wrong(member.shape)
        for member in partial_reading._list_members(shape)
        if not member.is_count
    }
    return list(members.values()) if shape.__struct_config__.array_like else members


WRONG_BODY, WRONG_CHUNK = write_wrong(RequestBody), write_wrong(Chunk)


@pytest.mark.parametrize("word", [None, *WRONG_CHUNK], ids=lambda word: word or "all of them")
@pytest.mark.parametrize("chunks", [1, MAX_CHUNKS, 100], ids="{} chunks".format)
def test_work_on_words_of_wrong_types_is_bounded(word: str | None, chunks: int) -> None:
    words = {key: WRONG_BODY[key] for key in ("serviceTier", "service_tier", "performanceConfig", "projectIdentifier")}
    record = converse(input_tokens=10, output_tokens=2, max_tokens=100)
    record["input"]["inputBodyJson"] |= words if word is None else {}
    record["output"]["outputBodyJson"] = [WRONG_CHUNK if word is None else {word: WRONG_CHUNK[word]}] * chunks
    # when and then
    assert work_is_within_the_steps(message(record)) is None


@pytest.mark.parametrize("name", cpu.NAME_SHAPES)
def test_work_on_any_name_is_bounded(registry: Registry, name: str) -> None:
    # given a calculator that knows no name yet
    calculator = UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), ("tag0",))
    registry.find_burndown("warm.up:0", NOW.date())  # what is worked out once
    delivery = decode_delivery(
        {"awslogs": {"data": compressed([cpu.NAME_SHAPES[name](number) for number in range(3)])}}
    )
    # when a delivery of three comes
    lines = count_lines(lambda: pipeline.price_delivery(delivery, calculator, datetime.now(UTC)))
    # then the lines of Python that run do not depend on the length of its names
    assert lines <= 3 * LINES_PER_RECORD


@pytest.mark.parametrize(
    ("chunk", "count"),
    [
        pytest.param("{}", 333_000, id="empty objects"),
        pytest.param("[[[[[[[[]]]]]]]]", 60_000, id="lists in lists"),
        pytest.param('{"usage":{}}', 80_000, id="usages"),
        pytest.param("0", 500_000, id="zeros"),
    ],
)
def test_a_record_beyond_its_steps_is_refused_unparsed(chunk: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = cpu.write_record(1_000_000, "the answer, no counts", "zeros").replace("[0", f"[{','.join([chunk] * count)}]")
    budget = StepBudget()

    def parse(_text: str) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("bedrock_quota.processor.tolerant_reading.json.loads", parse)

    with pytest.raises(RecordError, match="too_costly"):
        read_record(text[: 1024 * 1024], budget)
    assert budget.left == MAX_STEPS_PER_DELIVERY


def test_request_and_answer_of_the_largest_size_that_is_logged_are_within_a_records_steps() -> None:
    # given what Bedrock logs in full: the densest embedding, and a stream of Titan, of 100 KB each
    chunk = {"outputText": " a", "index": 0, "totalOutputTextTokenCount": 1, "inputTextTokenCount": 5}
    answer = [chunk] * (100_000 // len(json.dumps(chunk)))
    body = {"max_tokens": 5, "numbers": [0.5] * 20_000}
    record = converse(input={"inputTokenCount": 1, "inputBodyJson": body}, output={"outputBodyJson": answer})
    budget = StepBudget()

    assert read_record(message(record), budget).output.output_tokens == 1
    assert 35_000 < MAX_STEPS_PER_DELIVERY - budget.left < MAX_STEPS_PER_RECORD // 2


# A stream that catches up


@pytest.mark.parametrize(
    ("hours", "pools", "per_hour"),
    [
        pytest.param(2, 24, 120, id="2 hours, 24 pools, 2 deliveries per minute"),
        pytest.param(6, 40, 60, id="6 hours, 40 pools, 1 delivery per minute"),
    ],
)
def test_a_stream_that_catches_up_gives_every_call_its_metrics(
    registry: Registry, hours: int, pools: int, per_hour: int
) -> None:
    # given deliveries of 20 calls over some hours, of many pools and 10 callers
    models = [model.id for model in registry.models if model.kind is ModelKind.TEXT]
    draw = random.Random(1)
    container = Container(Settings(), registry, lambda: None)
    calls: list[dict[str, Any]] = []
    deliveries = []
    for number in range(hours * per_hour):
        began = NOW - timedelta(hours=hours) + timedelta(seconds=3600 / per_hour * number)
        entries = [
            converse(
                ("us." if pool % 2 else "") + models[pool // 2],
                operation=draw.choice(["Converse", "ConverseStream"]),
                input_tokens=draw.randrange(1, 1_000),
                identity={"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Role{draw.randrange(10)}/session"},
                timestamp=f"{began + timedelta(seconds=draw.randrange(25)):%Y-%m-%dT%H:%M:%SZ}",
            )
            for pool in (draw.randrange(pools) for _ in range(20))
        ]
        calls += entries
        deliveries.append(compressed(entries))
    # when they are read in batches of 200
    lines: list[dict[str, Any]] = []
    for first in range(0, len(deliveries), 200):
        batch = [
            {"kinesis": {"data": data, "sequenceNumber": str(number)}}
            for number, data in enumerate(deliveries[first : first + 200])
        ]
        lines += run(container, {"Records": batch})
    # then every call has its metrics, in its own minute and under its own caller
    sent = Counter(
        (each["timestamp"][:16], each["identity"]["arn"].split("/")[1], each["input"]["inputTokenCount"])
        for each in calls
    )
    counted = [line for line in lines if "ConsumedTokens" in line]
    assert sum(len(line["ConsumedTokens"]) for line in counted) == len(calls)
    assert sum(line["input_tokens"] for line in counted) == sum(tokens * count for (*_, tokens), count in sent.items())
    by_minute: Counter[tuple[int, str]] = Counter()
    for line in counted:
        by_minute[line["_aws"]["Timestamp"] // 1000, line["caller"]] += line["requests"]
    wanted: Counter[tuple[int, str]] = Counter()
    for (minute, caller, _tokens), count in sent.items():
        wanted[int(datetime.fromisoformat(f"{minute}:00+00:00").timestamp()), caller] += count
    assert by_minute == wanted
    assert sum(line.get("RecordsProcessed", 0) for line in lines) == len(calls)


# Application profiles


def profile(name: str) -> str:
    return f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/{name}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions to Bedrock about profiles: it knows those whose name begins with `real`."""
    questions: list[str] = []

    def get_inference_profile(*, inferenceProfileIdentifier: str) -> dict[str, Any]:  # noqa: N803 - botocore's name
        questions.append(inferenceProfileIdentifier)
        if inferenceProfileIdentifier.startswith("real"):
            return {"models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}"}]}
        raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "GetInferenceProfile")

    bedrock = SimpleNamespace(get_inference_profile=get_inference_profile)
    monkeypatch.setattr(clients, "bedrock", lambda: bedrock)
    return questions


def test_failed_calls_of_missing_profiles_ask_nothing(container: Container, asked: list[str]) -> None:
    # given 400 failed calls of as many profiles that do not exist
    storm = [failed(profile(f"gone{number}"), "ResourceNotFoundException") for number in range(400)]
    # when 50 good calls of a new profile come after them
    lines = deliver(container, [*storm, *[converse(profile("real"))] * 50])
    # then all are counted, and Bedrock was asked about theirs alone
    assert (lines[-1]["RecordsProcessed"], lines[-1]["RequestsFailed"]) == (50, 400)
    assert lines[-1]["RecordsOutOfScope"] == 0
    assert asked == ["real"]
    assert [line["application_profile"] for line in lines if "ConsumedTokens" in line] == ["real", "real"]


def test_answered_calls_of_missing_profiles_do_not_take_the_look_ups_of_others(
    container: Container, asked: list[str]
) -> None:
    storm = [converse(profile(f"gone{number}")) for number in range(400)]

    lines = deliver(container, [*storm, *[converse(profile("real"))] * 50])

    assert lines[-1]["RecordsProcessed"] == 50
    assert lines[-1]["out_of_scope_reasons"] == {"unresolved_profile": 400}
    assert asked[0] == "real"
    assert len(asked) == 200


def test_a_profile_that_the_fetcher_knows_stays_known_after_10_000_made_up_names(
    registry: Registry, asked: list[str]
) -> None:
    # given a profile of the snapshot, which Bedrock would not find
    known = profile("known")
    snapshot = Snapshot(NOW, profiles=((known, Reference(SONNET, EndpointType.REGIONAL)),))
    container = Container(Settings(), registry, lambda: snapshot)
    assert deliver(container, [converse(known)])[-1]["RecordsProcessed"] == 1
    # when calls of 10,400 made-up profiles come, failed ones and answered ones
    for make in (failed, converse):
        for first in range(0, MAX_PROFILES + 400, MAX_LOOK_UPS):
            deliver(container, [make(profile(f"n{number}")) for number in range(first, first + MAX_LOOK_UPS)])
    assert len(asked) == MAX_PROFILES + 400
    # then its calls are counted as before
    assert deliver(container, [converse(known)])[-1]["RecordsProcessed"] == 1
    assert "known" not in asked


# Bodies in S3


@pytest.fixture
def read_keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are read from S3, where every body sets a limit of 1,000 tokens."""
    keys: list[str] = []
    body = gzip.compress(b'{"max_tokens":1000}')

    class Stream(io.BytesIO):
        def iter_chunks(self, size: int) -> Iterable[bytes]:
            return iter(lambda: self.read(size), b"")

    def get_object(*, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - botocore's names
        assert Bucket == "bucket"
        keys.append(Key)
        return {"Body": Stream(body)}

    s3 = SimpleNamespace(get_object=get_object, exceptions=SimpleNamespace(ClientError=ClientError))
    monkeypatch.setattr(clients, "large_bodies", lambda: s3)
    return keys


def with_body_in_s3(entry: dict[str, Any], key: str) -> dict[str, Any]:
    given = {name: value for name, value in entry["input"].items() if name != "inputBodyJson"}
    return {**entry, "input": {**given, "inputBodyS3Path": f"s3://bucket/{key}"}}


@pytest.mark.parametrize(
    "useless",
    [
        pytest.param(converse(EMBEDDING, operation="InvokeModel", output_tokens=None), id="embeddings"),
        pytest.param(converse(f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/x"), id="out of scope"),
        pytest.param(converse(timestamp="2026-10-01T00:00:00Z"), id="too old"),
        pytest.param(failed(input={"inputTokenCount": 5}), id="failed"),
        pytest.param(converse(input_tokens=-1), id="refused"),
    ],
)
def test_no_body_is_read_for_a_call_that_needs_none(
    container: Container, read_keys: list[str], useless: dict[str, Any]
) -> None:
    # given 400 calls with a body in S3 that do not depend on it
    first = [with_body_in_s3(useless, f"useless{number}") for number in range(400)]
    # when 20 chats with bodies in S3 come after them
    chats = [with_body_in_s3(converse(), f"chat{number}") for number in range(20)]
    lines = deliver(container, [*first, *chats])
    # then the bodies of the chats alone are read, and each chat's max_tokens is known
    assert sorted(read_keys) == sorted(f"chat{number}" for number in range(20))
    known = [line for line in lines if line.get("max_tokens_source") == "explicit"]
    assert [value for line in known for value in line["ReservedTokens"]] == [1_100] * 20
    assert lines[-1]["MaxTokensUnknown"] == 0
