"""What AWS does on a bad day, at a fault proxy: each service alone failing in each way, while traffic flows.

The functions here are copies of the deployed ones, each with a fresh container, an endpoint of its own at the proxy and
a log group of its own: so that they can work side by side, for most of the time goes into waiting.
"""

import gzip
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgspec
import pytest
from botocore.config import Config
from late_calls import wait_until_empty
from test_stack import SECRET, Metric, converse, record

from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.state.snapshot import Snapshot
from bedrock_quota.state.table import read_snapshot, read_stored_snapshot, write_snapshot
from localaws.deployment import ENDPOINT_SETTINGS
from localaws.fault_proxy import Fault, FaultProxy
from localaws.instance import Instance
from quota_monitor import sample_events as events

QUICK = (Fault.ERROR, Fault.THROTTLED, Fault.GARBAGE, Fault.RESET)
PROCESSOR_FAULTS = (
    ("dynamodb", (Fault.HANGING, *QUICK, Fault.SLOW, Fault.LOST_ANSWER)),
    ("s3", (*QUICK, Fault.TRUNCATED, Fault.HANGING)),
    ("sqs", (*QUICK, Fault.HANGING)),
    *(
        ("bedrock", (fault,)) for fault in (Fault.ERROR, Fault.THROTTLED, Fault.GARBAGE, Fault.HANGING)
    ),  # a container asks Bedrock again after a minute
)
"""What each container meets, one after the other."""
PROCESSOR_CASES = [(service, fault) for service, faults in PROCESSOR_FAULTS for fault in faults]

PLAIN = "mistral.mistral-7b-instruct-v0:2"
BEHIND_PROFILE = "amazon.nova-premier-v1:0"
LARGE = "mistral.mistral-large-2407-v1:0"
AFTER = timedelta(minutes=25)
"""Between the minute of a case's traffic under the fault and that after it."""

MOST_CALLS = {"dynamodb": 6, "bedrock": 2, "s3": 2, "sqs": 2}
"""Calls that a delivery waits for at most: two attempts each, of 1 s at the state table and the queue, and 2 s at
others. Seconds are not measured, for they are those of a busy machine; the emulator ends what takes
longer than the timeout."""


class Ran(msgspec.Struct):
    """One invocation: whether it failed, what it answered, and what it wrote."""

    failed: bool
    answer: Any
    lines: list[dict[str, Any]]


Case: TypeAlias = dict[str, Any]
Cases: TypeAlias = dict[tuple[str, str, Fault], Case]


class Copies:
    """Makes functions like the deployed ones, and runs them."""

    def __init__(self, local: Instance, proxy: FaultProxy) -> None:
        self.local, self.proxy = local, proxy
        self.client = local.session().client
        patient = Config(read_timeout=300, retries={"total_max_attempts": 1}, max_pool_connections=30)
        self._lambda = self.client("lambda", config=patient)
        self.starting = threading.Semaphore(2)
        self._seen: dict[str, int] = {}

    def make(self, function: str, name: str, **variables: str) -> None:
        found: Any = self.client("lambda").get_function(FunctionName=function)
        with urllib.request.urlopen(found["Code"]["Location"]) as answer:  # noqa: S310 - the emulator's
            code = answer.read()
        of = found["Configuration"]
        endpoints = dict.fromkeys(ENDPOINT_SETTINGS, f"{self.proxy.url}/{name}")
        self.client("lambda").create_function(
            FunctionName=name,
            Code={"ZipFile": code},
            **{key: of[key] for key in ("Runtime", "Handler", "Role", "Timeout", "MemorySize")},
            Layers=[layer["Arn"] for layer in of["Layers"]],
            LoggingConfig={"LogGroup": f"/aws/lambda/{name}"},
            Environment={"Variables": {**of["Environment"]["Variables"], **endpoints, **variables}},
        )

    def run(self, name: str, event: object) -> Ran:
        answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
        result = json.loads(answer["Payload"].read())
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        messages = [event["message"] for page in pages for event in page["events"]]
        assert not any(SECRET in message for message in messages)
        new = messages[self._seen.get(name, 0) :]
        self._seen[name] = len(messages)
        lines = [json.loads(message) for message in new if message.startswith("{")]
        return Ran("FunctionError" in answer, result, lines)


@pytest.fixture(scope="module")
def cases(
    local: Instance, proxy: FaultProxy, resource: Callable[[str], str], minute: datetime, large_bodies: str
) -> Cases:
    """Every case, done: containers side by side, each through its faults in turn."""
    copies = Copies(local, proxy)
    processor, fetcher = resource("MetricProcessorFunction"), resource("QuotaFetcherFunction")
    works = [fetcher_cases(copies, fetcher, *case) for case in FETCHER_FAULTS]
    at = minute
    for service, faults in PROCESSOR_FAULTS:
        works.append(processor_cases(copies, processor, large_bodies, at, (service, faults)))
        at += timedelta(minutes=len(faults))
    found: Cases = {}
    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        for done in pool.map(dict, works):
            found |= done
    queue = local.session().client("sqs"), resource("LateBodiesQueue")
    wait_until_empty(*queue)
    local.drain()
    return found


# The processor


def traffic(copies: Copies, profile: str, bucket: str, at: datetime, *, is_late: bool = False) -> dict[str, Any]:
    """A delivery of three records: one that asks nobody, one of a profile, one with its body in S3, or not yet."""
    key = f"AWSLogs/large/{at:%H%M}.json.gz"
    if not is_late:
        copies.client("s3").put_object(Bucket=bucket, Key=key, Body=gzip.compress(json.dumps(converse(200)).encode()))
    large = record(at, LARGE, tokens=(30, 5))
    large["input"]["inputBodyS3Path"] = f"s3://{bucket}/{key}"
    plain = record(at, PLAIN, body=converse(100), tokens=(20, 5))
    of_profile = record(at, profile, body=converse(50), tokens=(7, 3))
    return events.delivery([json.dumps(each) for each in (plain, of_profile, large)])


def new_profile(copies: Copies, name: str) -> str:
    source = f"arn:aws:bedrock:us-east-1::foundation-model/{BEHIND_PROFILE}"
    made = copies.client("bedrock").create_inference_profile(
        inferenceProfileName=name, modelSource={"copyFrom": source}
    )
    return str(made["inferenceProfileArn"])


def processor_cases(
    copies: Copies, function: str, bucket: str, at: datetime, case: tuple[str, tuple[Fault, ...]]
) -> Iterator[tuple[tuple[str, str, Fault], Case]]:
    """Deliver under each fault, then a second delivery after it, then the first one again."""
    service, faults = case
    name = f"processor-{service}-{faults[0].name}"
    copies.make(function, name, LATE_BODIES_DELAY="1")
    with copies.starting:  # many cold starts at once on few processors would reach the timeout
        assert copies.run(name, {"awslogs": {"data": "AAAA"}}).failed
    for number, fault in enumerate(faults):
        minute = at + timedelta(minutes=number)
        profile = new_profile(copies, f"{name}-{number}")
        first = traffic(copies, profile, bucket, minute, is_late=service == "sqs")
        once = {"operation": "PutItem", "times": 1} if fault is Fault.LOST_ANSWER else {}
        with copies.proxy.failing(fault, service, function=name, **once):  # type: ignore[arg-type]
            during = copies.run(name, first)
        after = copies.run(name, traffic(copies, profile, bucket, minute + AFTER))
        again = copies.run(name, first)
        yield (
            ("processor", service, fault),
            {"name": name, "at": minute, "first": number == 0, "during": during, "after": after, "again": again},
        )


def health(ran: Ran) -> dict[str, Any]:
    (line,) = [line for line in ran.lines if line.get("event") in {"delivery", "duplicate_delivery"}]
    return line


@pytest.mark.parametrize(("service", "fault"), PROCESSOR_CASES)
def test_metrics_flow_while_a_service_fails(
    cases: Cases, proxy: FaultProxy, metric: Metric, service: str, fault: Fault
) -> None:
    case = cases["processor", service, fault]
    at, during = case["at"], case["during"]
    # then the fault was met, and the delivery is processed all the same, after few attempts
    met = [call for call in proxy.calls if (call.function, call.fault) == (case["name"], fault)]
    assert met
    assert len(met) <= MOST_CALLS[service] or fault is Fault.SLOW
    assert (during.failed, during.answer["received"]) == (False, 3)
    # and sums are exact, of all that can be known without the service: 20 + 100, 7 + 50, 30 + 200 tokens
    assert metric("ReservedTokens", PLAIN, "regional")[at] == 120
    assert metric("ConsumedTokens", PLAIN, "regional")[at] == 25
    assert metric("ConsumedTokens", PLAIN, "regional", stat="SampleCount")[at] == 1
    assert metric("ReservedTokens", BEHIND_PROFILE, "regional").get(at) == (None if service == "bedrock" else 57)
    # and a body that S3 did not give was read again by the deployed processor, unless S3 gave something else, or the
    # call could not be set aside
    unknown = service == "sqs" or (service, fault) == ("s3", Fault.GARBAGE)
    assert metric("ReservedTokens", LARGE, "regional").get(at) == (None if unknown else 230)
    assert metric("ConsumedTokens", LARGE, "regional")[at] == 35
    # and the health line says what was missing
    line = health(during)
    gone = service == "dynamodb" and fault not in {Fault.SLOW, Fault.LOST_ANSWER}
    assert line.get("duplicates_unchecked") == (1 if gone else None)
    if service != "dynamodb" or case["first"]:  # the next in the same container may have read the quotas, or not yet
        assert ("quota_age_seconds" in line) is not gone
        assert line.get("QuotasUnknown") == (line["RecordsProcessed"] if gone else None)
    assert line["MaxTokensUnknown"] == (1 if unknown else 0)
    assert line.get("set_aside") == (1 if service == "s3" and not unknown else None)
    assert line.get("out_of_scope_reasons") == ({"unresolved_profile": 1} if service == "bedrock" else None)


@pytest.mark.parametrize(("service", "fault"), PROCESSOR_CASES)
def test_everything_is_there_again_after_the_fault(cases: Cases, metric: Metric, service: str, fault: Fault) -> None:
    case = cases["processor", service, fault]
    after, again, at = case["after"], case["again"], case["at"] + AFTER
    # then the next delivery has all that is not left alone for a minute
    assert (after.failed, again.failed) == (False, False)
    assert "duplicates_unchecked" not in health(after)
    assert health(after)["MaxTokensUnknown"] == 0
    assert metric("ReservedTokens", PLAIN, "regional")[at] == 120
    assert metric("ReservedTokens", LARGE, "regional")[at] == 230
    # and the first delivery, coming again, counts no more
    assert health(again).get("DuplicateDeliveries") == 1 or health(again)["duplicate_records"] == 3
    assert health(again).get("RecordsProcessed", 0) == 0


# The fetcher

SAID = {
    "service-quotas": "quotas could not be fetched",
    "ssm": "the registry's overrides are rejected, the last valid ones stay in use",
    "cloudwatch": "pools in use could not be listed",
    "bedrock": "application profiles could not be listed",
    "dynamodb": "the stored snapshot could not be read",
    "sns": "notices could not be sent",
}
"""What the fetcher says where a service fails."""
FETCHER_FAULTS = (
    *((service, (*QUICK, Fault.HANGING)) for service in ("ssm", "bedrock", "dynamodb", "sns")),
    *((service, faults) for service in ("service-quotas", "cloudwatch") for faults in (QUICK, (Fault.HANGING,))),
)
FETCHER_CASES = [(service, fault) for service, faults in FETCHER_FAULTS for fault in faults]

NOVA_PRO = QuotaPool("amazon.nova-pro-v1:0", EndpointType.CROSS_REGION)
OLD_PROFILE = (
    "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/old",
    Reference(PLAIN, EndpointType.REGIONAL),
)
BEFORE = Snapshot(
    datetime(2026, 11, 1, tzinfo=UTC), ((NOVA_PRO, PoolQuota(tokens_per_minute=111)),), profiles=(OLD_PROFILE,)
)


def fetcher_cases(
    copies: Copies, function: str, service: str, faults: tuple[Fault, ...]
) -> Iterator[tuple[tuple[str, str, Fault], Case]]:
    """A fetch under each fault and one after it, over a state table with an old snapshot."""
    name = f"fetcher-{service}-{faults[0].name}"
    table: Any = copies.client("dynamodb")
    table.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    copies.make(function, name, STATE_TABLE=name, QUOTA_POOLS=f"{NOVA_PRO.model_id}/{NOVA_PRO.endpoint_type}")
    for fault in faults:
        write_snapshot(name, table, BEFORE, read_stored_snapshot(name, table).version)
        told = len(copies.proxy.calls)
        with copies.proxy.failing(fault, service, function=name):
            during = copies.run(name, {})
        left = read_snapshot(name, table)
        after = copies.run(name, {})
        yield (
            ("fetcher", service, fault),
            {
                "during": during,
                "left": left,
                "after": after,
                "in_the_end": read_snapshot(name, table),
                "told": [
                    json.loads(call.parameters["Message"])["default"]
                    for call in copies.proxy.calls[told:]
                    if (call.function, call.operation, call.fault) == (name, "Publish", None)
                ],
            },
        )


@pytest.mark.parametrize(("service", "fault"), FETCHER_CASES)
def test_a_fetch_reports_what_fails_and_does_the_rest(cases: Cases, service: str, fault: Fault) -> None:
    case = cases["fetcher", service, fault]
    during, left = case["during"], case["left"]
    # then the fetch fails in the end, saying what could not be done
    assert during.failed
    assert SAID[service] in during.answer["errorMessage"]
    # and has done the rest; what could not be read is as it was
    kept = service in {"service-quotas", "dynamodb"}
    assert (left.fetched_at == BEFORE.fetched_at) is kept
    assert (left.quotas_by_pool()[NOVA_PRO].tokens_per_minute == 111) is kept
    assert (OLD_PROFILE in left.profiles) is (service in {"bedrock", "dynamodb"})
    published = [line["ModelId"] for line in during.lines if "TokenQuota" in line]
    assert (NOVA_PRO.model_id in published) is (service != "service-quotas")


@pytest.mark.parametrize(("service", "fault"), FETCHER_CASES)
def test_the_next_fetch_makes_up_for_it(cases: Cases, service: str, fault: Fault) -> None:
    case = cases["fetcher", service, fault]
    found = case["in_the_end"]
    assert not case["after"].failed, case["after"].answer
    assert found.fetched_at > BEFORE.fetched_at
    assert found.quotas_by_pool()[NOVA_PRO].tokens_per_minute != 111
    assert found.unsent_notices == ()
    # and people have heard of the changed quota once, sooner or later
    assert "\n".join(case["told"]).count("quota changed from 111 to") == 1
