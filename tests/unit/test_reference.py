"""docs/reference.md names everything that users rely on, and nothing that there is not."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import processed
import pytest
from records import (
    MINUTE,
    NOVA,
    NOW,
    PROFILE_ARN,
    SONNET,
    Process,
    ReadLine,
    blocked,
    converse,
    cut_answer,
    failed,
    log_event,
    message,
    metadata_only,
    of_project,
)
from samcli.yamlhelper import yaml_parse

from bedrock_quota import model_ids
from bedrock_quota.fetcher.changes import Change, Unit
from bedrock_quota.fetcher.quota_lines import lines_for_quotas
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.calls import DeliveryCalls, LateCall
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.health import HEALTH_METRICS, line_for_duplicate
from bedrock_quota.processor.pipeline import price_delivery
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry

ROOT = Path(__file__).parents[2]
Line = dict[str, Any]

POOL = QuotaPool(SONNET, EndpointType.REGIONAL)
QUOTA = PoolQuota(tokens_per_minute=1_000, requests_per_minute=10, tokens_per_day=100)
ZERO = PoolQuota(tokens_per_minute=0)


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the tables under a heading, by their first cell, up to the next heading."""
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert rows, heading
    names = [row[0].strip("`") for row in rows]
    assert len(names) == len(set(names)), names
    return dict(zip(names, [row[1:] for row in rows], strict=True))


@pytest.fixture(scope="module")
def template() -> Any:
    return yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))


def test_parameters_with_their_defaults(template: Any) -> None:
    documented = {name: cells[0].strip("`") for name, cells in table("Parameters").items()}

    assert documented == {name: str(each["Default"]) or "none" for name, each in template["Parameters"].items()}


def test_outputs(template: Any) -> None:
    assert table("Outputs").keys() == template["Outputs"].keys()


def served_by(tier: str) -> dict[str, Any]:
    entry = of_project(converse(PROFILE_ARN, requestMetadata={"team": "reports"}), "proj_1")
    entry["output"]["outputBodyJson"]["serviceTier"] = {"type": tier}
    return entry


@pytest.fixture
def written(registry: Registry, process: Process, read_line: ReadLine) -> list[Line]:
    """Lines of every kind: of each outcome that a record, a delivery and a quota can have."""
    resolved = UsageCalculator(
        registry, lambda _profile: Reference(NOVA, EndpointType.REGIONAL), ("team",), with_sessions=True
    )
    records = [
        of_project(cut_answer(converse()), "proj_1"),
        converse(requestMetadata={"team": "reports"}, cache_read=4, cache_write=5),
        converse(NOVA, max_tokens=None),
        converse(PROFILE_ARN),
        converse("nobody.unlisted-v1:0"),
        blocked(),
        metadata_only(),
        metadata_only(requestMetadata={"max_tokens": "50"}),
        *(served_by(each) for each in ("flex", "reserved")),
        failed(),
        of_project(failed(PROFILE_ARN, input={"inputBodyJson": {}}, requestMetadata={"team": "reports"}), "proj_1"),
        converse(model_ids.ALARM_TEST),
        "no JSON",
    ]
    outcome = process(records, by=resolved, quotas={POOL: QUOTA}, quota_age_seconds=5, checked=False)
    events = tuple(log_event(message(converse()), event_id) for event_id in ("seen", "new"))
    twice = processed.process_delivery(
        Delivery("DATA_MESSAGE", events), resolved, quotas=None, namespace="Mine", now=NOW, seen={"seen"}
    )
    together = processed.written(
        [price_delivery(Delivery("DATA_MESSAGE", events), resolved, NOW) for _ in range(2)],
        quotas=None,
        namespace="Mine",
        now=NOW,
    )
    late_call = LateCall(b"{}", together.calls.usages[0], b"", 0)
    waits = DeliveryCalls(received=1, returned=1, late=[late_call])
    older = processed.written(
        [DeliveryCalls(received=1, ignored=1, published=1)], quotas=None, namespace="Mine", now=NOW
    )
    late = processed.written([waits], quotas=None, namespace="Mine", now=NOW)
    again = line_for_duplicate("Mine", NOW.timestamp(), 0)
    changes = [Change(POOL, unit, 1, 2) for unit in Unit]
    quotas = {POOL: QUOTA, QuotaPool("a.zero", POOL.endpoint_type): ZERO}
    of_quotas = lines_for_quotas("Mine", MINUTE, quotas, changes, account_tokens_per_day=700)
    every = (*outcome.lines, *twice.lines, *together.lines, *late.lines, *older.lines, again, *of_quotas)
    return [read_line(line) for line in every]


def metrics(written: Iterable[Line], dimensions: list[str]) -> Iterator[tuple[str, str]]:
    for line in written:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            if directive["Dimensions"] == [dimensions]:
                yield from ((each["Name"], each["Unit"]) for each in directive["Metrics"])


@pytest.mark.parametrize(
    ("heading", "dimensions"),
    [
        pytest.param("Metrics of a pool", ["ModelId", "EndpointType"], id="quota pools"),
        pytest.param("Health metrics", [], id="health"),
    ],
)
def test_metrics_with_their_units(written: list[Line], heading: str, dimensions: list[str]) -> None:
    documented = {(name, cells[0]) for name, cells in table(heading).items() if name not in dimensions}

    assert documented == set(metrics(written, dimensions))


def test_every_health_metric_is_documented() -> None:
    assert table("Health metrics").keys() == HEALTH_METRICS


OUTCOMES = ("RecordsProcessed", "RecordsRejected", "RecordsOutOfScope", "RequestsFailed", "ignored", "set_aside")


def test_outcomes_add_up_to_the_records_received_and_the_health_check_says_so(written: list[Line]) -> None:
    deliveries = [line for line in written if line.get("event") == "delivery"]
    page = (ROOT / "docs" / "health-check.md").read_text(encoding="utf-8")

    for line in deliveries:
        assert sum(line.get(name, 0) for name in OUTCOMES) == line["received"]
    assert any("set_aside" in line for line in deliveries)
    assert f"`{' + '.join(OUTCOMES)} = received`" in page


def kind(line: Line) -> str:
    if line.get("event") == "failed_calls":
        return "Lines of failed calls"
    if line.get("event") == "reserved_tier_calls":
        return "Lines of the reserved tier"
    if "event" in line:
        return "Lines of deliveries"
    return "Lines of calls" if "consumed_tokens" in line else "Lines of quotas"


@pytest.mark.parametrize(
    "heading",
    ["Lines of calls", "Lines of the reserved tier", "Lines of failed calls", "Lines of deliveries", "Lines of quotas"],
)
def test_properties(written: list[Line], heading: str) -> None:
    named = {name for name, _ in (*metrics(written, ["ModelId", "EndpointType"]), *metrics(written, []))}
    if heading in {"Lines of calls", "Lines of quotas"}:  # the pool is the dimensions of their metrics
        named |= {"ModelId", "EndpointType"}
    found = {key for line in written if kind(line) == heading for key in line}

    assert table(heading).keys() == found - named - {"_aws"}
