"""The soak: records in masses through the deployed stack, late, twice, broken and hostile; every sum is exact.

A tenth of them is a backlog of six hours that is read from a stream in batches, as after an outage.

As many records as the environment variable SOAK_RECORDS says: `make soak` sends a million, `make test` a few thousand.
"""

import base64
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shard
import soak
from oracle import Pool, Sums, facts_of, sum_up

from localaws.instance import Instance
from quota_monitor import sample_events as events
from quota_monitor.deployment.checkout import ROOT

RECORDS = int(os.environ.get("SOAK_RECORDS", "6000"))
DRAINED_EVERY = 50
FLAT_FROM = 200_000
"""Records after which memory must be flat: by then a container's memory of log events is full."""

NOT_EXPLICIT = "MaxTokensUnknown"
FATES = {
    "processed": "RecordsProcessed",
    "rejected": "RecordsRejected",
    "out_of_scope": "RecordsOutOfScope",
    "failed": "RequestsFailed",
}
BATCH = 200
"""Deliveries of a stream in one batch: `BatchSize` in the template."""


def test_sums_of_masses_are_exact_and_every_record_is_accounted_for(
    local: Instance, resource: Callable[[str], str]
) -> None:
    function = resource("MetricProcessorFunction")
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=7)
    began, functions = time.monotonic(), local.session().client("lambda")
    names = [*FATES.values(), NOT_EXPLICIT, "DuplicateDeliveries"]
    before = health(local, names)
    # when all deliveries have been processed, one after another
    fates: Counter[str] = Counter()
    expected: dict[Pool, dict[datetime, Sums]] = {}
    resident: list[float] = []
    delivered = sent = duplicates = 0
    facts = facts_of(ROOT / "registry" / "models", datetime.now(UTC))
    for shipment in soak.shipments(RECORDS, start, seed=RECORDS):
        answer = functions.invoke(FunctionName=function, Payload=json.dumps(shipment.event))
        assert "FunctionError" not in answer, answer["Payload"].read()
        delivered += 1
        sent += shipment.size
        # boto3 sends a delivery again whose answer was lost on the way: one more that comes twice
        duplicates += shipment.again + answer["ResponseMetadata"]["RetryAttempts"]
        fates += shipment.fates
        add(expected, sum_up(shipment.counted, facts, {}).pools)
        if delivered % DRAINED_EVERY == 0:
            local.drain()
            resident.append(megabytes(function))
            seconds = time.monotonic() - began
            say(f"{sent:>9,} records in {delivered:,} deliveries, {seconds:4.0f} s, {resident[-1]:.0f} MB")
    # and a backlog in batches, from the oldest calls to the newest, as a shard is read
    outage = list(soak.backlog(RECORDS // 10, start - timedelta(hours=1), seed=RECORDS))
    for batch in through_stream(local, [shipment.event for shipment in outage]):
        assert shard.consume(batch, lambda event: answer_of(functions, function, event)) == []
    delivered += len(outage)
    sent += sum(shipment.size for shipment in outage)
    fates["processed"] += sum(shipment.size for shipment in outage)
    add(expected, sum_up([record for shipment in outage for record in shipment.counted], facts, {}).pools)
    resident.append(megabytes(function))
    local.drain()
    # then every record has met its fate, and none is missing or without metrics
    counted = {name: round(value - before[name]) for name, value in health(local, names).items()}
    unknown = sum(each.unknown for by_minute in expected.values() for each in by_minute.values())
    assert counted == {
        **{name: fates[fate] for fate, name in FATES.items()},
        NOT_EXPLICIT: unknown,
        "DuplicateDeliveries": duplicates,
    }
    # and each pool's sums are those of an independent count, minute by minute
    assert len(expected) == len({*soak.MODELS, *soak.BACKLOG_MODELS, soak.EMBEDDING})
    assert sum(each.requests for by_minute in expected.values() for each in by_minute.values()) == fates["processed"]
    for pool, by_minute in expected.items():
        assert read(local, "ReservedTokens", pool, start) == {
            minute: pytest.approx(each.reserved, rel=1e-12) for minute, each in by_minute.items()
        }
        assert read(local, "ConsumedTokens", pool, start) == {
            minute: pytest.approx(each.consumed, rel=1e-12) for minute, each in by_minute.items()
        }
        assert read(local, "ConsumedTokens", pool, start, "SampleCount") == {
            minute: each.requests for minute, each in by_minute.items()
        }
    # and the function's memory is what it was
    if resident and RECORDS >= FLAT_FROM:
        quarter = len(resident) // 4
        early, late = (statistics.median(part) for part in (resident[quarter : 2 * quarter], resident[-quarter:]))
        say(f"memory {early:.1f} MB in the second quarter, {late:.1f} MB in the last, {max(resident):.1f} MB at most")
        assert late <= 1.03 * early
    say(f"{sent:,} records in {delivered:,} deliveries: {dict(fates)}, {duplicates} deliveries came twice; lost 0")


def through_stream(local: Instance, deliveries: Sequence[dict[str, Any]]) -> Iterator[list[shard.Record]]:
    """Put deliveries into a Kinesis stream as CloudWatch Logs does, and yield what is read of it in batches."""
    kinesis, name = local.session().client("kinesis"), "soak-backlog"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=name)
    for first in range(0, len(deliveries), BATCH):
        data = [base64.b64decode(each["awslogs"]["data"]) for each in deliveries[first : first + BATCH]]
        answer = kinesis.put_records(
            StreamName=name, Records=[{"Data": each, "PartitionKey": str(len(each))} for each in data]
        )
        assert answer["FailedRecordCount"] == 0
    (only,) = kinesis.list_shards(StreamName=name)["Shards"]
    iterator = kinesis.get_shard_iterator(StreamName=name, ShardId=only["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    read = 0
    while read < len(deliveries):
        found = kinesis.get_records(ShardIterator=iterator, Limit=BATCH)
        iterator, records = found["NextShardIterator"], found["Records"]
        assert records, f"{read} of {len(deliveries)} deliveries came out of the stream"
        read += len(records)
        batch = events.batch([{"awslogs": {"data": base64.b64encode(each["Data"]).decode()}} for each in records])
        for sent, each in zip(batch["Records"], records, strict=True):
            sent["kinesis"]["sequenceNumber"] = each["SequenceNumber"]
        yield batch["Records"]
    kinesis.delete_stream(StreamName=name)


def answer_of(functions: Any, function: str, event: dict[str, Any]) -> dict[str, Any]:
    """Run the function on a batch. A batch that boto3 sent again would have to be counted as duplicates."""
    answer = functions.invoke(FunctionName=function, Payload=json.dumps(event))
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return result


def add(to: dict[Pool, dict[datetime, Sums]], pools: Mapping[Pool, Mapping[datetime, Sums]]) -> None:
    for pool, by_minute in pools.items():
        for minute, sums in by_minute.items():
            total = to.setdefault(pool, {}).setdefault(minute, Sums())
            total.reserved += sums.reserved
            total.consumed += sums.consumed
            total.requests += sums.requests
            total.unknown += sums.unknown


def health(local: Instance, names: Iterable[str]) -> dict[str, float]:
    """Return the sums of health metrics since an hour before the test session."""
    cloudwatch = local.session().client("cloudwatch")
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_data(
        StartTime=now - timedelta(hours=3),
        EndTime=now + timedelta(minutes=5),
        MetricDataQueries=[query(f"q{number}", name, ()) for number, name in enumerate(names)],
    )
    return {name: sum(found["Values"]) for name, found in zip(names, answer["MetricDataResults"], strict=True)}


def read(local: Instance, name: str, pool: Pool, start: datetime, stat: str = "Sum") -> dict[datetime, float]:
    dimensions = (("ModelId", pool[0]), ("EndpointType", pool[1]))
    answer = (
        local.session()
        .client("cloudwatch")
        .get_metric_data(
            StartTime=start - timedelta(hours=1 + soak.BACKLOG_HOURS),
            EndTime=start + timedelta(minutes=soak.MINUTES),
            MetricDataQueries=[query("wanted", name, dimensions, stat)],
        )
    )
    (found,) = answer["MetricDataResults"]
    return dict(zip(found["Timestamps"], found["Values"], strict=True))


def query(query_id: str, name: str, dimensions: Iterable[tuple[str, str]], stat: str = "Sum") -> Any:
    metric = {
        "Namespace": "Bedrock/Quotas",
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
    }
    return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}


def megabytes(function: str) -> float:
    """Return the resident memory of the process that runs the function, or NaN where /proc does not tell."""
    for process_directory in _processes_of(function):
        for line in (process_directory / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return float("nan")


def _processes_of(function: str) -> Iterator[Path]:
    wanted = f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (directory / "environ").read_bytes().split(b"\0"):
                yield directory
        except OSError:  # gone by now, or somebody else's
            continue


def say(line: str) -> None:
    """Show progress to who runs it with `-s`, as `make soak` does."""
    print(line, flush=True)
