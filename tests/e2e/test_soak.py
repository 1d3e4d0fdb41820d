"""The soak: records in masses through the deployed stack, late, twice, broken and hostile; every sum is exact.

A fortieth more have requests in S3, which come there at once, late or never, and whose calls wait in the queue.
A tenth more is a backlog of six hours that is read from a stream in batches, as after an outage.

As many records as the environment variable SOAK_RECORDS says: `make soak` sends a million, `make test` a few thousand.
"""

import base64
import gzip
import json
import math
import os
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import oracle
import pytest
import shard
import soak
from conftest import PROCESSOR_LOG
from late_calls import PATIENCE, sped_up, wait_until_empty
from oracle import Facts, Pool, Sums, facts_of, sum_up

from localaws.instance import Instance
from quota_monitor import sample_events as events
from quota_monitor.deployment.checkout import ROOT

RECORDS = int(os.environ.get("SOAK_RECORDS", "3000"))
DRAINED_EVERY = 50
FLAT_FROM = 800_000
"""Records of a run in which memory must be flat: in its second quarter all that a container remembers is full."""

FATES = {
    "processed": "RecordsProcessed",
    "rejected": "RecordsRejected",
    "out_of_scope": "RecordsOutOfScope",
    "failed": "RequestsFailed",
}
BATCH = 200
"""Deliveries of a stream in one batch: `BatchSize` in the template."""

SPEED = 60 if RECORDS < 100_000 else 15
"""A body is read again every second, for 5 s, or in long runs every 4 s, for 20 s, because the machine may be busy."""

Resource = Callable[[str], str]


@dataclass
class Tally:
    """All that was sent, and what must come of it."""

    deliveries: int = 0
    records: int = 0
    duplicates: int = 0
    """Deliveries that came twice."""
    fates: Counter[str] = field(default_factory=Counter)
    reserved_tier: int = 0
    pools: dict[Pool, dict[datetime, Sums]] = field(default_factory=dict)

    def add(self, shipment: soak.Shipment, retries: int, facts: Mapping[str, Facts]) -> None:
        """Add a delivery. boto3 sends one again whose answer was lost on the way: one more that comes twice."""
        self.deliveries += 1
        self.records += shipment.size
        self.duplicates += shipment.again + retries
        totals = sum_up(shipment.counted, facts, {}, shipment.bodies)
        add_sums(self.pools, totals.pools)
        self.fates += shipment.fates
        self.fates["out_of_scope"] += totals.out_of_scope
        self.fates["processed"] += self.fates.pop(soak.PRICED, 0) - totals.out_of_scope
        self.reserved_tier += totals.reserved_tier

    @property
    def unknown(self) -> int:
        """The calls whose max_tokens nothing says."""
        return sum(each.unknown for by_minute in self.pools.values() for each in by_minute.values())


@pytest.fixture(scope="module")
def in_a_hurry(local: Instance, resource: Resource) -> Iterator[None]:
    with sped_up(local.session(), resource("MetricProcessorFunction"), resource("LateBodiesQueue"), SPEED):
        yield


@pytest.mark.usefixtures("in_a_hurry")
def test_sums_of_masses_are_exact_and_every_record_is_accounted_for(
    local: Instance, resource: Resource, large_bodies: str
) -> None:
    function = resource("MetricProcessorFunction")
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=7)
    began, functions = time.monotonic(), local.session().client("lambda")
    names = [*FATES.values(), "MaxTokensUnknown", "DuplicateDeliveries"]
    before, lines = health(local, names), HealthLines(local)
    facts, tally = facts_of(ROOT / "registry" / "models", datetime.now(UTC)), Tally()
    resident: list[float] = []
    # when all deliveries have been processed, one after another
    for shipment in soak.shipments(RECORDS, start, seed=RECORDS):
        tally.add(shipment, invoke(functions, function, shipment.event)[1], facts)
        if tally.deliveries % DRAINED_EVERY == 0:
            local.drain()
            lines.read()
            resident.append(megabytes(function))
            sent = f"{tally.records:>9,} records in {tally.deliveries:,} deliveries"
            say(f"{sent}, {time.monotonic() - began:4.0f} s, {resident[-1]:.0f} MB")
    # and further ones of calls whose requests come to S3, some of them late
    bodies = Bodies(local, large_bodies)
    further = max(300, RECORDS // 40)
    for shipment in soak.shipments(further, start - timedelta(minutes=30), seed=RECORDS, bucket=large_bodies):
        bodies.begin(shipment.bodies)
        tally.add(shipment, invoke(functions, function, shipment.event)[1], facts)
    bodies.wait()
    # and a backlog in batches, from the oldest calls to the newest, as a shard is read
    outage = list(soak.backlog(RECORDS // 10, start - timedelta(hours=1), seed=RECORDS))
    for batch in through_stream(local, [shipment.event for shipment in outage]):
        assert shard.consume(batch, lambda event: answer_of(functions, function, event)) == []
    for shipment in outage:
        tally.add(shipment, 0, facts)
    resident.append(megabytes(function))
    wait_until_empty(local.session().client("sqs"), resource("LateBodiesQueue"), seconds=600)
    local.drain()
    lines.read()
    # then every record has met its fate, and none is missing or without metrics
    counted = {name: round(value - before[name]) for name, value in health(local, names).items()}
    assert counted == {
        **{name: tally.fates[fate] for fate, name in FATES.items()},
        "MaxTokensUnknown": tally.unknown,
        "DuplicateDeliveries": tally.duplicates,
    }
    assert lines.total["received"] - lines.total["returned"] == tally.fates.total()
    assert lines.total["ignored"] == tally.fates["ignored"]
    assert lines.total["set_aside"] == lines.total["returned"] > 0
    assert lines.total["reserved_tier"] == tally.reserved_tier > 0
    # and each pool's sums are those of an independent count, minute by minute
    models = {*soak.MODELS, *soak.BACKLOG_MODELS, soak.EMBEDDING}
    assert len(tally.pools) == len(models) + 2 * len(soak.OPTIMIZED)
    requests = sum(each.requests for by_minute in tally.pools.values() for each in by_minute.values())
    assert requests == tally.fates["processed"]
    found = read_pools(local, tally.pools, start)
    for pool, by_minute in tally.pools.items():
        assert found[pool]["ReservedTokens", "Sum"] == {
            minute: pytest.approx(each.reserved, rel=1e-12)
            for minute, each in by_minute.items()
            if each.unknown < each.requests
        }
        assert found[pool]["ConsumedTokens", "Sum"] == {
            minute: pytest.approx(each.consumed, rel=1e-12) for minute, each in by_minute.items()
        }
        assert found[pool]["ConsumedTokens", "SampleCount"] == {
            minute: each.requests for minute, each in by_minute.items()
        }
    # and the function's memory is what it was
    if resident and RECORDS >= FLAT_FROM:
        quarter = len(resident) // 4
        early, late = (statistics.median(part) for part in (resident[quarter : 2 * quarter], resident[-quarter:]))
        say(f"memory {early:.1f} MB in the second quarter, {late:.1f} MB in the last, {max(resident):.1f} MB at most")
        assert late <= 1.03 * early
    say(f"{tally.records:,} records in {tally.deliveries:,} deliveries, {tally.duplicates} came twice; lost 0")
    say(f"{dict(tally.fates)}, {tally.unknown} of an unknown limit, {bodies.late} bodies late; {dict(lines.total)}")


def invoke(functions: Any, function: str, event: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Run the function, and return its answer and how often boto3 sent the event again."""
    answer = functions.invoke(FunctionName=function, Payload=json.dumps(event))
    text = answer["Payload"].read()
    assert "FunctionError" not in answer, text
    return json.loads(text), answer["ResponseMetadata"]["RetryAttempts"]


class Bodies:
    """The requests in S3: each is put there when it comes, whatever else goes on."""

    def __init__(self, local: Instance, bucket: str) -> None:
        self._s3, self._bucket = local.session().client("s3"), bucket
        self._timers: list[threading.Timer] = []
        self.late = 0

    def begin(self, bodies: oracle.Bodies) -> None:
        """Put the bodies that are there before their delivery, and have the others come after it."""
        coming: defaultdict[float, dict[str, bytes]] = defaultdict(dict)
        for path, (seconds, body) in bodies.items():
            coming[seconds][path] = b"not gzip" if body is None else gzip.compress(json.dumps(body).encode(), 1)
        coming.pop(math.inf, None)
        self._put(coming.pop(0, {}), math.inf)
        latest = time.monotonic() + PATIENCE / SPEED - 1
        for seconds, group in coming.items():
            self._timers.append(threading.Timer(seconds / SPEED, self._put, (group, latest)))
            self._timers[-1].start()
            self.late += len(group)

    def _put(self, group: Mapping[str, bytes], latest: float) -> None:
        for path, packed in group.items():
            self._s3.put_object(Bucket=self._bucket, Key=path.removeprefix(f"s3://{self._bucket}/"), Body=packed)
        assert time.monotonic() < latest, "this machine is too slow to put bodies in time"

    def wait(self) -> None:
        """Return when all have come."""
        for timer in self._timers:
            timer.join()


class HealthLines:
    """The processor's health lines, added up as they are read, because the emulator returns 10,000 lines at most."""

    def __init__(self, local: Instance) -> None:
        self._logs, self._since = local.session().client("logs"), _milliseconds()
        self.total: Counter[str] = Counter()

    def read(self) -> None:
        """Read the lines since the last time. No run may be under way."""
        until = _milliseconds()
        events = self._logs.filter_log_events(
            logGroupName=PROCESSOR_LOG, startTime=self._since, endTime=until - 1, filterPattern="RecordsProcessed"
        )["events"]
        assert len(events) < 10_000
        self._since = until
        for line in (json.loads(event["message"]) for event in events):
            for name in ("received", "ignored", "set_aside", "returned"):
                self.total[name] += line.get(name, 0)
            self.total["reserved_tier"] += line.get("out_of_scope_reasons", {}).get("reserved_tier", 0)


def _milliseconds() -> int:
    return int(time.time() * 1000)


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
    answer, retries = invoke(functions, function, event)
    assert retries == 0
    return answer


def add_sums(to: dict[Pool, dict[datetime, Sums]], pools: Mapping[Pool, Mapping[datetime, Sums]]) -> None:
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


def read_pools(
    local: Instance, pools: Iterable[Pool], start: datetime
) -> dict[Pool, dict[tuple[str, str], dict[datetime, float]]]:
    """Return the metrics of each pool by name and statistic, minute by minute."""
    cloudwatch = local.session().client("cloudwatch")
    wanted = (("ReservedTokens", "Sum"), ("ConsumedTokens", "Sum"), ("ConsumedTokens", "SampleCount"))
    found: dict[Pool, dict[tuple[str, str], dict[datetime, float]]] = {}
    for pool in pools:
        dimensions = (("ModelId", pool[0]), ("EndpointType", pool[1]))
        answer = cloudwatch.get_metric_data(
            StartTime=start - timedelta(hours=1 + soak.BACKLOG_HOURS),
            EndTime=start + timedelta(minutes=soak.MINUTES),
            MetricDataQueries=[
                query(f"q{number}", name, dimensions, stat) for number, (name, stat) in enumerate(wanted)
            ],
        )
        results = [dict(zip(each["Timestamps"], each["Values"], strict=True)) for each in answer["MetricDataResults"]]
        found[pool] = dict(zip(wanted, results, strict=True))
    return found


def query(query_id: str, name: str, dimensions: Iterable[tuple[str, str]], stat: str = "Sum") -> Any:
    metric = {
        "Namespace": "Bedrock/Quotas",
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
    }
    return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}


def megabytes(function: str) -> float:
    """Return the resident memory of the largest process that runs the function, or NaN where /proc does not tell."""
    found = [float("nan")]
    for process_directory in _processes_of(function):
        for line in (process_directory / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                found.append(int(line.split()[1]) / 1024)
    return max(found[1:] or found)


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
