"""The functions themselves, imported as Lambda would, with what they print caught."""

import importlib.util
import itertools
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import botocore
import msgspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from records import (
    NOVA,
    PROFILE_ARN,
    SONNET,
    TITAN,
    ReadLine,
    converse,
    envelope,
    event_around,
    failed,
    invoke,
    message,
    record,
)

from bedrock_quota import access_denied, clients, custom_resource
from bedrock_quota.custom_resource import NothingDoneError
from bedrock_quota.deployment import (
    bucket_emptying,
    invocation_logging,
    log_groups,
    logging_configuration,
    logging_removal,
)
from bedrock_quota.deployment.invocation_logging import InvocationLoggingError, SetupRequest, SetupResult
from bedrock_quota.deployment.logging_configuration import ConfigurationUnreadableError
from bedrock_quota.deployment.logging_target import LoggingTarget
from bedrock_quota.errors import DeliveryError, QuotaFetchError
from bedrock_quota.fetcher import aws_sources, burndown_drift
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.registry import models
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import ListedQuota
from bedrock_quota.settings import DEFAULT_NAMESPACE
from bedrock_quota.state import table
from bedrock_quota.state.snapshot import Snapshot
from bedrock_quota.state.table import LoggingMemory, LoggingOrigin

pytestmark = pytest.mark.usefixtures("no_aws")

FUNCTIONS = Path(__file__).parents[2] / "functions"
SECRET = "the treasure lies under the oak"
REQUEST_ID = "0f0e0d0c-0b0a-4908-8706-05040302ffff"
Load = Callable[[str], ModuleType]
Printed = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    path: Path = tmp_path_factory.mktemp("layer") / "registry.json"
    path.write_bytes(msgspec.json.encode(registry))
    return path


@pytest.fixture
def load(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import a function anew, as a cold start does; its logger prints where this test catches it."""
    for name in ("STATE_TABLE", "METRICS_NAMESPACE", "REQUEST_METADATA_KEYS", "AWS_SAM_LOCAL", "POWERTOOLS_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(models, "COMPILED_REGISTRY", compiled)
    made = logging.getLogger("bedrock_quota")

    def forget() -> None:
        for handler in list(made.handlers):
            made.removeHandler(handler)
        for name in {"init", "powertools_handler"} & made.__dict__.keys():
            delattr(made, name)
        made.setLevel(logging.NOTSET)

    def importing(name: str) -> ModuleType:
        forget()
        spec = importlib.util.spec_from_file_location(f"function_{name}", FUNCTIONS / name / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield importing
    forget()


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return what was printed so far, line by line; nothing may be there that is not a line of JSON."""

    def lines() -> list[dict[str, Any]]:
        caught = capsys.readouterr()
        assert caught.err == ""
        return [json.loads(line) for line in caught.out.splitlines()]

    return lines


def just_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def metrics(lines: list[dict[str, Any]], read_line: ReadLine) -> list[dict[str, Any]]:
    return [read_line(json.dumps(line).encode()) for line in lines if "_aws" in line]


# MetricProcessorFunction


def test_processor_prints_metric_lines_and_counts(load: Load, printed: Printed, read_line: ReadLine) -> None:
    refused = converse(timestamp=just_now(), input_tokens=-1, requestId=REQUEST_ID)
    entries = [converse(timestamp=just_now()), converse(timestamp=just_now()), refused]

    answer = load("metric_processor").handler(event_of(entries), None)

    assert answer == {"received": 3, "processed": 2, "rejected": 1}
    lines = printed()
    *calls, health = metrics(lines, read_line)
    assert sum(sum(line["ConsumedTokens"]) for line in calls) == 400  # twice 100 + 5 × 20
    assert {line["ModelId"] for line in calls} == {SONNET}
    assert (health["RecordsProcessed"], health["RecordsRejected"]) == (2, 1)
    assert 0 <= health["RecordLagSeconds"] < 60
    (warning,) = [line for line in lines if line.get("message") == "record rejected"]
    assert (warning["level"], warning["reason"], warning["request_id"]) == ("WARNING", "negative_count", REQUEST_ID)


IDS = itertools.count()


def event_of(entries: Iterable[Any]) -> Any:
    """Wrap records as CloudWatch Logs does: every log event has an id of its own."""
    payload = envelope([entry if isinstance(entry, str) else message(entry) for entry in entries])
    for each in payload["logEvents"]:
        each["id"] = f"{next(IDS):056d}"
    return event_around(json.dumps(payload).encode())


def test_processor_counts_a_log_event_once_that_comes_in_two_deliveries(
    load: Load, printed: Printed, read_line: ReadLine
) -> None:
    # given a delivery, and the same log event again in the same container
    function, event = load("metric_processor"), event_of([converse(timestamp=just_now())])
    # when
    answers = [function.handler(event, None) for _ in range(2)]
    # then
    assert [answer["processed"] for answer in answers] == [1, 0]
    assert [line.get("duplicate_records") for line in metrics(printed(), read_line) if "received" in line] == [None, 1]


def test_processor_works_again_in_the_same_container(load: Load, printed: Printed) -> None:
    function = load("metric_processor")

    for _ in range(2):
        function.handler(event_of([converse(timestamp=just_now())]), None)
        assert len([line for line in printed() if "_aws" in line]) == 2


def test_processor_takes_namespace_and_tags_from_its_environment(
    load: Load, printed: Printed, read_line: ReadLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = load("metric_processor")
    monkeypatch.setenv("METRICS_NAMESPACE", "Mine")
    monkeypatch.setenv("REQUEST_METADATA_KEYS", "team")

    function.handler(event_of([converse(timestamp=just_now(), requestMetadata={"team": "search", "x": "y"})]), None)

    call, health = metrics(printed(), read_line)
    assert call["request_metadata"] == {"team": "search"}
    assert {line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in (call, health)} == {"Mine"}


def test_processor_reads_the_snapshot_for_its_percents(
    load: Load, printed: Printed, read_line: ReadLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas = ((QuotaPool(SONNET, EndpointType.REGIONAL), PoolQuota(tokens_per_minute=1_000)),)
    snapshot = Snapshot(datetime.now(UTC), quotas)
    monkeypatch.setenv("STATE_TABLE", "state")
    monkeypatch.setattr(clients, "state", lambda: "client")
    monkeypatch.setattr(table, "read_snapshot", lambda table, client: {("state", "client"): snapshot}[table, client])

    load("metric_processor").handler(event_of([converse(timestamp=just_now())]), None)

    call, health = metrics(printed(), read_line)
    assert (call["ConsumedQuotaPercent"], call["ReservedQuotaPercent"]) == (20, 60)  # 200 and 600 of 1,000
    assert 0 <= health["quota_age_seconds"] < 60


def test_processor_goes_on_without_its_state_and_says_so(
    load: Load, printed: Printed, read_line: ReadLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach() -> Any:
        raise ConnectionError("no table today")

    monkeypatch.setenv("STATE_TABLE", "state")
    monkeypatch.setattr(clients, "state", out_of_reach)
    function = load("metric_processor")

    answer = function.handler(event_of([converse(timestamp=just_now())]), None)

    assert answer == {"received": 1, "processed": 1}
    lines = printed()
    call, health = metrics(lines, read_line)
    assert call["ConsumedTokens"] == [200]
    assert "quota_age_seconds" not in health
    (warning,) = [line for line in lines if "could not read the quota snapshot" in str(line.get("message"))]
    assert "no table today" in json.dumps(warning)


def test_processor_goes_on_without_bedrock(
    load: Load, printed: Printed, read_line: ReadLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_allowed() -> Any:
        raise PermissionError("not allowed")

    monkeypatch.setattr(clients, "bedrock", not_allowed)

    answer = load("metric_processor").handler(
        event_of([converse(PROFILE_ARN, timestamp=just_now()), converse(timestamp=just_now())]), None
    )

    assert answer == {"received": 2, "processed": 1}
    lines = printed()
    assert metrics(lines, read_line)[-1]["RecordsOutOfScope"] == 1
    assert [line["profile_id"] for line in lines if "profile_id" in line] == ["a1b2c3d4e5f6"]


def test_processor_names_a_model_that_is_not_in_the_registry_once(load: Load, printed: Printed) -> None:
    load("metric_processor").handler(event_of([converse("newcomer.model-1", timestamp=just_now())] * 3), None)

    (warning,) = [line for line in printed() if "model_id" in line]
    assert warning["model_id"] == "newcomer.model-1"
    assert "docs/adding-models.md" in warning["message"]


def test_processor_names_an_unlisted_model_once_in_a_container(load: Load, printed: Printed) -> None:
    function = load("metric_processor")

    for model_ids in (["newcomer.b"], ["newcomer.b", "newcomer.c", "newcomer.a"], ["newcomer.a"]):
        function.handler(event_of([converse(each, timestamp=just_now()) for each in model_ids]), None)

    lines = printed()
    assert [line["model_id"] for line in lines if "model_id" in line] == ["newcomer.b", "newcomer.a", "newcomer.c"]
    # … and counted each time: a warning is for people, a metric for alarms
    assert [line["UnlistedModels"] for line in lines if "UnlistedModels" in line] == [1, 3, 1]


def test_processor_names_an_unlisted_model_again_in_a_new_container(load: Load, printed: Printed) -> None:
    for _ in range(2):
        load("metric_processor").handler(event_of([converse("newcomer.a", timestamp=just_now())]), None)

    assert [line["model_id"] for line in printed() if "model_id" in line] == ["newcomer.a", "newcomer.a"]


def test_an_unknown_service_tier_is_named_once_per_container(load: Load, printed: Printed) -> None:
    function = load("metric_processor")
    for tiers in (["ultrafast"], ["ULTRAFAST", "priority", "a secret prompt"]):
        entries = [converse(timestamp=just_now()) for _ in tiers]
        for entry, tier in zip(entries, tiers, strict=True):
            entry["output"]["outputBodyJson"]["serviceTier"] = {"type": tier}
        function.handler(event_of(entries), None)

    assert [line["service_tier"] for line in printed() if "message" in line and "service_tier" in line] == [
        "ultrafast",
        "other",
    ]


def test_processor_does_not_name_rejected_records_without_end(load: Load, printed: Printed) -> None:
    load("metric_processor").handler(event_of(["not json"] * 500), None)

    lines = printed()
    assert len([line for line in lines if line.get("message") == "record rejected"]) == 20
    assert [line["RecordsRejected"] for line in lines if "_aws" in line] == [500]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({}, id="empty"),
        pytest.param({"awslogs": {"data": "abc"}}, id="not base64"),
        pytest.param(event_around(b"not json"), id="not JSON"),
    ],
)
def test_processor_fails_loudly_for_what_is_no_delivery(load: Load, printed: Printed, event: Any) -> None:
    with pytest.raises(DeliveryError):
        load("metric_processor").handler(event, None)

    assert not [line for line in printed() if "_aws" in line]  # nothing is published for a part


def test_processor_without_a_registry_fails_loudly(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "COMPILED_REGISTRY", tmp_path / "missing.json")

    with pytest.raises(FileNotFoundError):
        load("metric_processor").handler(event_of([converse()]), None)


def test_processor_takes_the_time_of_a_recorded_delivery_on_one_machine_only(
    load: Load, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A delivery of 2026-11-23, with a record of the same minute, invoked years later
    def invoked() -> Any:
        function = load("metric_processor")
        monkeypatch.setattr(function, "datetime", LaterDatetime)
        return function.handler(event_of([converse()]), None)

    assert invoked() == {"received": 1, "processed": 0, "rejected": 1}
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")
    assert invoked() == {"received": 1, "processed": 1}
    assert [line["reason"] for line in printed() if "reason" in line] == ["too_old"]


def test_calls_from_the_queue_have_the_present_time_on_one_machine_too(
    load: Load, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")
    body = json.dumps({"since": 1, "calls": [converse(timestamp=just_now())]})
    event = {"Records": [{"messageId": "m1", "body": body, "eventSource": "aws:sqs", "attributes": {}}]}

    assert load("metric_processor").handler(event, None) == {"batchItemFailures": []}
    assert [line["RecordsProcessed"] for line in printed() if "RecordsProcessed" in line] == [1]


class LaterDatetime(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime(2031, 1, 1, tzinfo=tz)


def test_no_prompt_answer_or_session_is_printed(
    load: Load, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def speaking() -> Any:
        raise RuntimeError("no bedrock")

    monkeypatch.setattr(clients, "bedrock", speaking)
    monkeypatch.setenv("REQUEST_METADATA_KEYS", "team")
    now = just_now()
    slowly_read, negative = converse(text=SECRET, timestamp=now), converse(text=SECRET, timestamp=now, requestId=SECRET)
    slowly_read["input"]["inputTokenCount"] = "100"
    negative["input"]["inputTokenCount"] = -1
    entries: list[Any] = [
        converse(text=SECRET, timestamp=now),
        slowly_read,
        negative,
        invoke(TITAN, {"inputText": SECRET}, answer=[{"outputText": SECRET}], output_tokens=None, timestamp=now),
        invoke(NOVA, [SECRET], answer=SECRET, timestamp=now),
        converse("newcomer.model-1", text=SECRET, timestamp=now),
        converse(PROFILE_ARN, text=SECRET, timestamp=now),
        converse(SECRET, timestamp=now),
        converse(identity={"arn": f"arn:aws:sts::111122223333:assumed-role/Role/{SECRET}"}, timestamp=now),
        converse(requestMetadata={"team": "search", "prompt": SECRET}, timestamp=now),
        converse(text=SECRET, timestamp=SECRET),
        converse(text=SECRET, timestamp="2020-01-01T00:00:00Z", requestId=SECRET),
        converse(text=SECRET, schemaType=SECRET),
        failed(input={"inputBodyJson": {"inputText": SECRET}}, timestamp=now),
        failed(code=SECRET, timestamp=now),
        failed(SECRET, timestamp=now),
        converse(text=SECRET, operation=SECRET, timestamp=now),
        record(input=SECRET, output=[SECRET], timestamp=now),
        SECRET,
        f'"{SECRET}"',
        f'{{"input": "{SECRET}',
    ]
    function = load("metric_processor")

    answer = function.handler(event_of(entries), None)
    for broken in (event_around(SECRET.encode()), {"awslogs": {"data": SECRET + "é"}}, {SECRET: SECRET}):
        with pytest.raises(DeliveryError) as raised:
            function.handler(broken, None)
        assert SECRET not in f"{raised.value} {raised.value.__cause__}"

    caught = capsys.readouterr()
    assert answer["received"] == len(entries)
    assert answer["processed"] >= 7
    assert "record rejected" in caught.out
    assert SECRET not in caught.out + caught.err


# QuotaFetcherFunction

LISTED = [
    ListedQuota("L-1", "On-demand model inference tokens per minute for Amazon Nova Lite", 4_000_000),
    ListedQuota("L-2", "On-demand model inference requests per minute for Amazon Nova Lite", 0),
    ListedQuota("L-3", "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1", 200_000),
    ListedQuota("L-4", "Guardrails per account", 100),
]


TOPIC = "arn:aws:sns:us-east-1:111122223333:topic"


class Stored:
    """A state table, and a topic."""

    class exceptions:  # noqa: N801 - botocore's name
        class ConditionalCheckFailedException(Exception): ...  # noqa: N818

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.messages: list[dict[str, str]] = []

    def get_item(self, *, TableName: str, Key: dict[str, Any], **_more: Any) -> dict[str, Any]:  # noqa: N803
        assert (TableName, Key) == ("state", {"id": {"S": "quotas"}})
        return {"Item": self.items[-1]} if self.items else {}

    def publish(self, **message: str) -> None:
        self.messages.append(message)

    def put_item(self, *, TableName: str, Item: dict[str, Any], **_more: Any) -> None:  # noqa: N803
        assert TableName == "state"
        self.items.append(Item)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Stored:
    """An account with some quotas and one pool in use."""
    stored = Stored()
    monkeypatch.setenv("STATE_TABLE", "state")
    monkeypatch.setenv("TOPIC_ARN", TOPIC)
    monkeypatch.setattr(clients, "sns", lambda: stored)
    monkeypatch.setattr(clients, "bedrock_settings", lambda: "bedrock")
    monkeypatch.setattr(aws_sources, "list_application_profiles", lambda client: {"bedrock": {}}[client])
    monkeypatch.setattr(burndown_drift, "read_token_sums", lambda client, _providers, _now: {"cloudwatch": {}}[client])
    monkeypatch.setattr(clients, "service_quotas", lambda: "service quotas")
    monkeypatch.setattr(clients, "cloudwatch", lambda: "cloudwatch")
    monkeypatch.setattr(clients, "state", lambda: stored)
    monkeypatch.setattr(aws_sources, "list_quotas", lambda client: {"service quotas": LISTED}[client])
    monkeypatch.setattr(
        aws_sources,
        "list_pools_called",
        lambda client, namespace: {("cloudwatch", DEFAULT_NAMESPACE): {QuotaPool(NOVA, EndpointType.REGIONAL)}}[
            client, namespace
        ],
    )
    monkeypatch.setattr(aws_sources, "list_pools_refused", lambda client, _known: {"cloudwatch": set()}[client])
    monkeypatch.setattr(clients, "ssm", lambda: "parameters")
    return stored


def test_fetcher_stores_all_quotas_and_publishes_those_in_use(
    load: Load, printed: Printed, read_line: ReadLine, stored: Stored
) -> None:
    answer = load("quota_fetcher").handler({"source": "aws.scheduler"}, None)

    assert answer == {"listed": 4, "pools": 2, "published": 1, "problems": 0}
    (line,) = metrics(printed(), read_line)
    assert (line["ModelId"], line["EndpointType"]) == (NOVA, "regional")
    assert (line["TokenQuota"], line["RequestQuota"]) == (4_000_000, 0)
    item = stored.items[-1]
    assert msgspec.json.decode(zlib.decompress(item["data"]["B"]), type=Snapshot).quotas_by_pool() == {
        QuotaPool(NOVA, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=4_000_000, requests_per_minute=0),
        QuotaPool(SONNET, EndpointType.CROSS_REGION): PoolQuota(tokens_per_minute=200_000),
    }


def test_fetcher_tells_people_what_is_new_once(load: Load, printed: Printed, stored: Stored) -> None:
    # given a pool in use whose request quota is 0
    function = load("quota_fetcher")
    # when the fetcher runs twice
    function.handler({}, None)
    function.handler({}, None)
    # then it says so once, in the log and to the topic
    said = f"quota is 0: {NOVA} (regional) may not be called by this account in this Region"
    assert [line["message"] for line in printed() if line.get("message", "").startswith("quota is 0")] == [said]
    (message,) = stored.messages
    assert (message["TopicArn"], message["Subject"]) == (TOPIC, "Bedrock quotas: 1 change")
    assert json.loads(message["Message"])["default"] == said


@pytest.mark.parametrize(
    "broken", ["list_quotas", "list_pools_called", "list_pools_refused", "list_application_profiles"]
)
def test_fetcher_on_schedule_does_the_rest_and_raises_what_it_could_not_do(
    load: Load, printed: Printed, stored: Stored, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise QuotaFetchError("not today")

    monkeypatch.setattr(aws_sources, broken, fail)

    with pytest.raises(QuotaFetchError, match="not today"):
        load("quota_fetcher").handler({}, None)

    # the snapshot is stored all the same; nothing is published of quotas or pools that are unknown
    assert stored.items
    assert bool([line for line in printed() if "_aws" in line]) is (broken == "list_application_profiles")


def test_fetcher_reads_the_overrides_named_in_its_environment(
    load: Load, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an override that is not one
    class Parameters:
        exceptions = boto3.client("ssm", region_name="us-east-1").exceptions

        def get_parameter(self, **given: object) -> dict[str, Any]:
            assert given["Name"] == "/stack/registry-overrides"
            return {"Parameter": {"Value": "not json"}}

    monkeypatch.setenv("REGISTRY_OVERRIDES", "/stack/registry-overrides")
    monkeypatch.setattr(clients, "ssm", Parameters)

    with pytest.raises(QuotaFetchError, match="overrides are rejected, the last valid ones stay in use"):
        load("quota_fetcher").handler({}, None)

    assert stored.items


def request(request_type: str, **properties: Any) -> dict[str, Any]:
    return {
        "RequestType": request_type,
        "ResponseURL": "https://example.com",
        "StackId": "arn:aws:cloudformation:us-east-1:111122223333:stack/s/1",
        "ResourceProperties": properties,
    }


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Answers to CloudFormation: physical id, and the attributes or the error."""
    given: list[tuple[str, Any]] = []

    def serve(event: Any, physical_id: str, act: Any) -> None:
        try:
            given.append((physical_id, act(event)))
        except Exception as error:  # noqa: BLE001 - as the real one does
            given.append((physical_id, error))

    monkeypatch.setattr(custom_resource, "handle_request", serve)
    return given


class Stacks:
    def __init__(self, status: str, **tags: str) -> None:
        self.status, self.tags = status, tags

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        assert StackName.startswith("arn:aws:cloudformation:")
        tags = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return {"Stacks": [{"StackStatus": self.status} | ({"Tags": tags} if tags else {})]}


@pytest.fixture(autouse=True)
def stack_in_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack that sends requests is being updated, if a test says nothing else."""
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks("UPDATE_IN_PROGRESS"))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        pytest.param("Update", "UPDATE_ROLLBACK_COMPLETE", id="update after its rollback"),
        pytest.param("Create", "CREATE_COMPLETE", id="creation of a complete stack"),
        pytest.param("Create", "ROLLBACK_IN_PROGRESS", id="creation while it is rolled back"),
        pytest.param("Update", "DELETE_IN_PROGRESS", id="update of a stack that leaves"),
    ],
)
def test_first_fetch_that_comes_late_fetches_nothing(  # noqa: PLR0917 - fixtures
    load: Load,
    stored: Stored,
    answers: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: str,
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks(status))

    load("quota_fetcher").handler(request(kind), None)

    assert answers == [("first-quota-fetch", {"Result": f"skipped: the stack is already {status}"})]
    assert stored.items == []


@pytest.mark.usefixtures("stored")
def test_first_fetch_says_what_it_found(load: Load, answers: list[tuple[str, Any]]) -> None:
    assert load("quota_fetcher").handler(request("Create"), None) is None

    assert answers == [("first-quota-fetch", {"Result": "4 quotas listed, 2 pools have a quota"})]


@pytest.mark.usefixtures("stored")
def test_first_fetch_that_fails_does_not_stop_the_deployment(
    load: Load, printed: Printed, answers: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_client: object) -> None:
        raise QuotaFetchError("not today")

    monkeypatch.setattr(aws_sources, "list_quotas", fail)

    load("quota_fetcher").handler(request("Update"), None)

    assert answers == [
        (
            "first-quota-fetch",
            {"Result": "failed, will be retried on schedule: quotas could not be fetched: QuotaFetchError: not today"},
        )
    ]
    assert "first quota fetch failed" in [line["message"] for line in printed()]


DENIED = ClientError(
    {"Error": {"Code": "AccessDeniedException", "Message": "because no identity-based policy allows it"}}, "List"
)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(access_denied.retry_while_denied, "__defaults__", (seconds.append, None))
    return seconds


@pytest.mark.usefixtures("stored")
def test_first_fetch_waits_until_its_policy_is_known(
    load: Load, answers: list[tuple[str, Any]], slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, denied = aws_sources.list_quotas, [DENIED] * 3

    def list_quotas(client: Any) -> list[ListedQuota]:
        if denied:
            raise denied.pop()
        return listed(client)

    monkeypatch.setattr(aws_sources, "list_quotas", list_quotas)

    load("quota_fetcher").handler(request("Create"), None)

    assert answers == [("first-quota-fetch", {"Result": "4 quotas listed, 2 pools have a quota"})]
    assert slept == [5, 5, 5]


@pytest.mark.usefixtures("stored")
def test_first_fetch_without_permission_ends_in_time_and_says_so(
    load: Load, answers: list[tuple[str, Any]], slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_given: object) -> None:
        raise DENIED

    for source in ("list_quotas", "list_application_profiles", "list_pools_called"):
        monkeypatch.setattr(aws_sources, source, deny)
    monkeypatch.setattr(table, "write_snapshot", deny)

    load("quota_fetcher").handler(request("Create"), None)

    assert answers[0][1]["Result"].startswith("failed, will be retried on schedule: quotas could not be fetched")
    assert sum(slept) == 90  # all calls together


@pytest.mark.usefixtures("stored")
def test_fetch_on_schedule_does_not_wait_for_a_policy(
    load: Load, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(_client: object) -> None:
        raise DENIED

    monkeypatch.setattr(aws_sources, "list_quotas", deny)

    with pytest.raises(QuotaFetchError, match="quotas could not be fetched"):
        load("quota_fetcher").handler({}, None)
    assert slept == []


def test_deleting_the_first_fetch_fetches_nothing(
    load: Load, printed: Printed, stored: Stored, answers: list[tuple[str, Any]]
) -> None:
    load("quota_fetcher").handler(request("Delete"), None)

    assert answers == [("first-quota-fetch", {})]
    assert (stored.items, printed()) == ([], [])


# LoggingSetupFunction

PROPERTIES = {
    "LogGroupName": "/aws/bedrock/modelinvocations",
    "RoleArn": "arn:aws:iam::111122223333:role/r",
    "RetentionDays": "30",  # CloudFormation hands every property over as text
    "LargeBodiesBucket": "ours",
    "Mode": "set-up",
    "SubscriptionFilter": "s-metric-processor",
    "OwnLogGroups": ["/aws/lambda/own"],
}
PART = LoggingTarget(PROPERTIES["LogGroupName"], PROPERTIES["RoleArn"], 30, "ours")
ORIGIN = LoggingOrigin(created=False, delivery="{}")
NOTED = ("note origin", "table", "patient_state", ORIGIN)
WANTED = SetupRequest(PART, "s", "s-metric-processor", own_log_groups=("/aws/lambda/own",))


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the function asked of its library, call by call, and with which clients; its stack is being updated."""
    calls: list[tuple[Any, ...]] = []

    def called(name: str, answer: object) -> Callable[..., object]:
        return lambda *given: (calls.append((name, *given)), answer)[1]

    for client in ("bedrock_settings", "logs", "kms", "patient_state"):
        monkeypatch.setattr(clients, client, lambda client=client: client)
    monkeypatch.setenv("STATE_TABLE", "table")
    monkeypatch.setattr(table, "remember_log_group", called("remember", None))
    monkeypatch.setattr(table, "read_log_groups", called("read", ("/former",)))
    monkeypatch.setattr(log_groups, "is_created_by", called("has made", True))
    noted: list[table.SetupNote] = []
    monkeypatch.setattr(table, "write_setup", lambda _table, _client, note: noted.append(note))
    monkeypatch.setattr(table, "read_setup", lambda _table, _client: noted[-1] if noted else None)
    monkeypatch.setattr(logging_configuration, "read_configuration", lambda _bedrock: None)
    found = SetupResult(PART.log_group, "done so")
    monkeypatch.setattr(
        invocation_logging,
        "set_up_logging",
        lambda *given, note_origin: (calls.append(("set up", *given[:-1])), note_origin(ORIGIN), found)[2],
    )
    monkeypatch.setattr(table, "write_origin", called("note origin", None))
    monkeypatch.setattr(table, "write_refused_bucket", called("note refusal", None))
    monkeypatch.setattr(table, "read_memory", lambda *_given: LoggingMemory())
    monkeypatch.setattr(invocation_logging, "describe_existing", called("as found", SetupResult("/found", "left")))
    monkeypatch.setattr(
        logging_removal,
        "remove_logging",
        lambda *given, origin: (calls.append(("take out", *given, origin)), "taken out")[1],
    )
    return calls


def test_setup_returns_the_group_and_what_was_done(
    load: Load, printed: Printed, answers: list[tuple[str, Any]], setup: list[tuple[Any, ...]]
) -> None:
    load("logging_setup").handler(request("Create", **PROPERTIES), None)

    nowhere = {"LargeBodiesBucket": "", "LargeBodies": "NO-LARGE-BODIES/"}
    assert answers == [("invocation-logging", {"LogGroupName": PART.log_group, "Done": "done so"} | nowhere)]
    assert setup == [
        ("set up", "bedrock_settings", "logs", "kms", WANTED),
        NOTED,
        ("remember", "table", "patient_state", PART.log_group),
    ]
    done, sdk = printed()
    assert (done["done"], done["log_group"]) == ("done so", PART.log_group)
    assert (sdk["message"], sdk["botocore"]) == ("runtime SDK", botocore.__version__)
    assert "textDataDeliveryEnabled" in sdk["logging_members"]


def test_setup_is_given_the_tags_of_the_stack_without_those_of_aws(
    load: Load, answers: list[tuple[str, Any]], setup: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"team": "ours", "aws:servicecatalog:productArn": "arn", "AWS:x": "y", "awsome": "z"}
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks("CREATE_IN_PROGRESS", **tags))

    load("logging_setup").handler(request("Create", **PROPERTIES), None)

    assert setup[0][-1] == msgspec.structs.replace(WANTED, tags={"team": "ours", "awsome": "z"})
    assert len(answers) == 1


def test_setup_remembers_a_log_group_that_it_adopts(
    load: Load, answers: list[tuple[str, Any]], setup: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given that another monitor has made it, and may be gone before this one
    monkeypatch.setattr(
        invocation_logging, "set_up_logging", lambda *_given, **_more: SetupResult("/adopted", "adopted")
    )

    load("logging_setup").handler(request("Create", **PROPERTIES), None)

    assert setup == [("remember", "table", "patient_state", "/adopted")]
    assert answers[0][1]["LogGroupName"] == "/adopted"


@pytest.mark.parametrize("made", [True, False])
def test_setup_knows_on_an_update_what_was_before_and_remembers_a_log_group_that_it_made(
    load: Load,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    made: bool,
) -> None:
    monkeypatch.setattr(log_groups, "is_created_by", lambda *given: given == ("logs", "/before", "s") and made)
    before = PROPERTIES | {"LogGroupName": "/before", "RoleArn": "arn:aws:iam::111122223333:role/old"}
    update = request("Update", **PROPERTIES) | {"OldResourceProperties": before}

    load("logging_setup").handler(update, None)

    part = LoggingTarget("/before", "arn:aws:iam::111122223333:role/old", 30, "ours")
    wanted = msgspec.structs.replace(WANTED, previous=part)
    assert setup == [
        *([("remember", "table", "patient_state", "/before")] if made else []),
        ("set up", "bedrock_settings", "logs", "kms", wanted),
        NOTED,
        ("remember", "table", "patient_state", PART.log_group),
    ]
    assert len(answers) == 1


def test_setup_takes_the_properties_of_an_older_version_after_its_rollback(
    load: Load, setup: list[tuple[Any, ...]], answers: list[tuple[str, Any]]
) -> None:
    older = {name: PROPERTIES[name] for name in ("LogGroupName", "RoleArn", "RetentionDays", "OwnLogGroups")}

    load("logging_setup").handler(request("Update", **older) | {"OldResourceProperties": PROPERTIES}, None)

    (wanted,) = [given[-1] for name, *given in setup if name == "set up"]
    assert (wanted.target.large_bodies_bucket, wanted.adopt_only, wanted.previous) == ("", False, PART)
    assert not isinstance(answers[0][1], Exception)


REFUSED = LoggingMemory(ORIGIN, refused_bucket="ours")


@pytest.mark.parametrize(
    ("before", "now", "noted"),
    [
        pytest.param("", "ours", ["ours"], id="refused for the first time"),
        pytest.param("ours", "ours", [], id="refused again"),
        pytest.param("ours", "", [""], id="accepted at last"),
    ],
)
def test_setup_remembers_a_bucket_that_bedrock_refuses(  # noqa: PLR0917 - fixtures
    load: Load,
    setup: list[tuple[Any, ...]],
    answers: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    now: str,
    noted: list[str],
) -> None:
    memory = LoggingMemory(refused_bucket=before)
    given: list[SetupRequest] = []

    def set_up(*arguments: Any, **_more: Any) -> SetupResult:
        given.append(arguments[3])
        return SetupResult(PART.log_group, "done so", refused_bucket=now)

    monkeypatch.setattr(table, "read_memory", lambda *_given: memory)
    monkeypatch.setattr(invocation_logging, "set_up_logging", set_up)

    load("logging_setup").handler(request("Update", **PROPERTIES) | {"OldResourceProperties": PROPERTIES}, None)

    assert [each.memory for each in given] == [memory]
    assert [call[-1] for call in setup if call[0] == "note refusal"] == noted
    assert len(answers) == 1


def test_removal_knows_what_was_there_before(
    load: Load, setup: list[tuple[Any, ...]], answers: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks("DELETE_IN_PROGRESS"))
    monkeypatch.setattr(table, "read_memory", lambda *_given: REFUSED)

    load("logging_setup").handler(request("Delete", **PROPERTIES), None)

    assert setup[-1] == ("take out", "bedrock_settings", "logs", PART, "s", ("/former",), ORIGIN)
    assert answers == [("invocation-logging", {})]


def test_removal_goes_on_if_the_notes_cannot_be_read(
    load: Load, setup: list[tuple[Any, ...]], answers: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_given: object) -> None:
        raise DENIED

    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks("DELETE_IN_PROGRESS"))
    monkeypatch.setattr(table, "read_memory", deny)

    load("logging_setup").handler(request("Delete", **PROPERTIES), None)

    assert setup[-1] == ("take out", "bedrock_settings", "logs", PART, "s", ("/former",), None)
    assert answers == [("invocation-logging", {})]


def test_setup_that_may_only_adopt_is_told_so(
    load: Load, setup: list[tuple[Any, ...]], answers: list[tuple[str, Any]]
) -> None:
    load("logging_setup").handler(request("Create", **PROPERTIES | {"Mode": "adopt-only"}), None)

    assert setup[0][-1] == msgspec.structs.replace(WANTED, adopt_only=True)
    assert len(answers) == 1


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_setup_takes_out_what_is_its_stacks_when_the_stack_leaves(  # noqa: PLR0917 - fixtures
    load: Load,
    printed: Printed,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks(status))

    load("logging_setup").handler(request("Delete", **PROPERTIES), None)

    assert setup == [
        ("read", "table", "patient_state"),
        ("take out", "bedrock_settings", "logs", PART, "s", ("/former",), None),
    ]
    assert answers == [("invocation-logging", {})]
    assert [line["done"] for line in printed()] == ["taken out"]


STAYING = ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS"]


@pytest.mark.parametrize("status", STAYING)
def test_setup_takes_out_nothing_while_the_stack_stays(  # noqa: PLR0917 - fixtures
    load: Load,
    printed: Printed,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    # given an update that deletes the resource, say because a newer version has another in its place
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks(status))

    load("logging_setup").handler(request("Delete", **PROPERTIES), None)

    assert (setup, answers) == ([], [("invocation-logging", {})])
    assert [line["done"] for line in printed()] == ["skipped: the stack is not being deleted"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no service control policy"}}, "Get"),
            "Get is forbidden by a service control policy",
            id="forbidden by a policy",
        ),
        pytest.param(
            EndpointConnectionError(endpoint_url="https://bedrock.mars-1"), "Could not connect", id="out of reach"
        ),
        pytest.param(ConfigurationUnreadableError("cut"), "cut", id="answer that cannot be read"),
    ],
)
def test_setup_that_cannot_ask_bedrock_says_that_nothing_was_done(  # noqa: PLR0917 - fixtures
    load: Load,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    def refuse(_bedrock: object) -> None:
        raise error

    monkeypatch.setattr(logging_configuration, "read_configuration", refuse)

    load("logging_setup").handler(request("Create", **PROPERTIES), None)

    assert setup == []
    ((_, answer),) = answers
    assert isinstance(answer, NothingDoneError)
    assert str(answer).startswith(f"Bedrock's invocation logging could not be read: {said}")


def refuses(*_given: object, **_more: object) -> None:
    raise InvocationLoggingError("the group is full")


def test_setup_that_is_refused_while_an_update_rolls_back_warns(
    load: Load, answers: list[tuple[str, Any]], setup: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks("UPDATE_ROLLBACK_IN_PROGRESS"))
    monkeypatch.setattr(invocation_logging, "set_up_logging", refuses)

    load("logging_setup").handler(request("Update", **PROPERTIES), None)

    assert setup == [
        ("read", "table", "patient_state"),
        ("as found", "bedrock_settings", "logs", WANTED, ("/former",), "the group is full"),
        ("remember", "table", "patient_state", "/found"),
    ]
    assert (answers[0][1]["LogGroupName"], answers[0][1]["Done"]) == ("/found", "left")


@pytest.mark.parametrize(("kind", "status"), [("Update", "UPDATE_IN_PROGRESS"), ("Create", "CREATE_IN_PROGRESS")])
def test_setup_that_is_refused_at_any_other_time_fails(  # noqa: PLR0917 - fixtures
    load: Load,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: str,
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks(status))
    monkeypatch.setattr(invocation_logging, "set_up_logging", refuses)

    load("logging_setup").handler(request(kind, **PROPERTIES), None)

    assert isinstance(answers[0][1], InvocationLoggingError)
    assert setup == []


UNDONE = [
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
    "DELETE_IN_PROGRESS",
    "DELETE_COMPLETE",
    "DELETE_FAILED",
    "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_ROLLBACK_IN_PROGRESS",
    "CREATE_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_FAILED",
    "IMPORT_IN_PROGRESS",
    "REVIEW_IN_PROGRESS",
]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        *(pytest.param(kind, status, id=f"{kind} and {status}") for kind in ("Create", "Update") for status in UNDONE),
        pytest.param("Create", "UPDATE_ROLLBACK_IN_PROGRESS", id="Create and UPDATE_ROLLBACK_IN_PROGRESS"),
        pytest.param("Update", "CREATE_IN_PROGRESS", id="Update and CREATE_IN_PROGRESS"),
    ],
)
def test_setup_that_comes_late_does_nothing(  # noqa: PLR0917 - fixtures
    load: Load,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: str,
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks(status))

    load("logging_setup").handler(request(kind, **PROPERTIES) | {"OldResourceProperties": PROPERTIES}, None)

    assert setup == []
    assert f"already {status}, so nothing is set up for it" in str(answers[0][1])


@pytest.mark.parametrize(
    "status",
    ["DELETE_COMPLETE", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "UPDATE_COMPLETE", "CREATE_COMPLETE"],
)
def test_deletion_that_comes_late_removes_nothing(
    load: Load,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks(status))

    load("logging_setup").handler(request("Delete", **PROPERTIES), None)

    assert (setup, answers) == ([], [("invocation-logging", {})])


GROUPS = {"first": PART.log_group, "second": "/second", "third": "/third"}


def steps(*given: str) -> list[tuple[str, str]]:
    """Return events as `status first>second`: the status of the stack, and the log groups before and after."""
    return [(status, change) for each in given for status, change in [each.split()]]


@pytest.mark.parametrize(
    ("order", "targets"),
    [
        pytest.param(
            steps("create >first", "update first>second", "rollback second>first"),
            ["first", "second", "first"],
            id="in order",
        ),
        pytest.param(
            steps("create >first", "update first>second", "rollback second>first", "rollback first>second"),
            ["first", "second", "first"],
            id="update twice, the second time too late",
        ),
        pytest.param(
            steps("create >first", "rollback second>first", "rollback first>second"),
            ["first", "first"],
            id="update after its rollback",
        ),
        pytest.param(
            steps("create >first", "rollback first>second", "rollback second>first"),
            ["first", "first"],
            id="update while its rollback waits",
        ),
        pytest.param(
            steps("create >first", "update first>second", "rollback first>second", "rollback second>first"),
            ["first", "second", "second", "first"],
            id="update twice, the second time while its rollback waits",
        ),
        pytest.param(
            steps("create >first", "rollback second>first", "update first>second", "update second>third"),
            ["first", "first", "second", "third"],
            id="the same update, deployed again",
        ),
        pytest.param(
            steps("create >first", "update first>second", "rollback third>second", "rollback second>third"),
            ["first", "second", "second"],
            id="second update after its rollback",
        ),
        pytest.param(
            steps("rollback second>first", "rollback second>first"),
            ["first", "first"],
            id="rollback of a stack that an older version made, done again",
        ),
    ],
)
def test_update_that_comes_after_its_rollback_changes_nothing(  # noqa: PLR0917 - fixtures
    load: Load,
    answers: list[tuple[str, Any]],
    setup: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    order: list[tuple[str, str]],
    targets: list[str],
) -> None:
    function = load("logging_setup")
    statuses = {
        "create": "CREATE_IN_PROGRESS",
        "update": "UPDATE_IN_PROGRESS",
        "rollback": "UPDATE_ROLLBACK_IN_PROGRESS",
    }
    for status, change in order:
        stacks = Stacks(statuses[status])
        monkeypatch.setattr(clients, "cloudformation", lambda stacks=stacks: stacks)
        before, after = change.split(">")
        event = request("Update" if before else "Create", **PROPERTIES | {"LogGroupName": GROUPS[after]})
        old = {"OldResourceProperties": PROPERTIES | {"LogGroupName": GROUPS[before]}} if before else {}
        function.handler(event | old, None)

    assert [given[-1].target.log_group for name, *given in setup if name == "set up"] == [
        GROUPS[name] for name in targets
    ]
    assert not any(isinstance(answer, Exception) for _, answer in answers)


def test_setup_is_cancelled_when_the_stack_is_not_as_it_was(
    load: Load, answers: list[tuple[str, Any]], setup: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, told = Stacks("CREATE_IN_PROGRESS"), []

    def set_up(*given: Any, **_more: Any) -> SetupResult:
        *_, cancelled = given
        told.append(cancelled())
        stack.status = "ROLLBACK_IN_PROGRESS"
        told.append(cancelled())
        return SetupResult(PART.log_group, "done so")

    monkeypatch.setattr(clients, "cloudformation", lambda: stack)
    monkeypatch.setattr(invocation_logging, "set_up_logging", set_up)

    load("logging_setup").handler(request("Create", **PROPERTIES), None)

    assert told == [False, True]
    assert (len(setup), len(answers)) == (1, 1)


def test_setup_that_fails_is_answered_as_failed_and_can_be_deleted(
    load: Load, answers: list[tuple[str, Any]], setup: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = InvocationLoggingError("point it elsewhere")

    def refuse(*_arguments: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(invocation_logging, "set_up_logging", refuse)
    function = load("logging_setup")

    function.handler(request("Create", **PROPERTIES), None)
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks("ROLLBACK_IN_PROGRESS"))
    function.handler(request("Delete", **PROPERTIES), None)  # as CloudFormation's rollback does

    assert answers == [("invocation-logging", error), ("invocation-logging", {})]
    assert [name for name, *_ in setup] == ["read", "take out"]


# BucketEmptyingFunction


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The buckets emptied, each with the seconds left for it; the stack is being deleted."""
    calls: list[tuple[str, float]] = []

    def empty(_client: object, bucket: str, seconds_left: Callable[[], float]) -> int:
        calls.append((bucket, seconds_left()))
        return 12

    monkeypatch.setattr(clients, "buckets", lambda: "s3")
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks("DELETE_IN_PROGRESS"))
    monkeypatch.setattr(bucket_emptying, "empty_bucket", empty)
    return calls


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 590_000


def test_bucket_is_emptied_when_the_stack_leaves(
    load: Load, printed: Printed, answers: list[tuple[str, Any]], emptied: list[tuple[str, float]]
) -> None:
    load("bucket_emptying").handler(request("Delete", Bucket="kept"), Context())

    assert emptied == [("kept", 590)]
    assert answers == [("emptied-on-deletion", {})]
    assert [(line["bucket"], line["removed"]) for line in printed()] == [("kept", 12)]


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_bucket_is_left_alone_at_any_other_time(
    load: Load, answers: list[tuple[str, Any]], emptied: list[tuple[str, float]], request_type: str
) -> None:
    load("bucket_emptying").handler(request(request_type, Bucket="kept"), Context())

    assert (emptied, answers) == ([], [("emptied-on-deletion", {})])


@pytest.mark.parametrize("status", STAYING)
def test_no_update_empties_a_bucket(  # noqa: PLR0917 - fixtures
    load: Load,
    printed: Printed,
    answers: list[tuple[str, Any]],
    emptied: list[tuple[str, float]],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    monkeypatch.setattr(clients, "cloudformation", lambda: Stacks(status))

    load("bucket_emptying").handler(request("Delete", Bucket="kept"), Context())

    assert (emptied, answers) == ([], [("emptied-on-deletion", {})])
    assert [line["bucket"] for line in printed()] == ["kept"]
