"""docs/command-line.md is what its generator writes, and describes every member of the documents of `--json`."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from subcommands import find_subcommands
from test_doctor_checks import WELL
from test_explain import POOL, call, trace
from test_increase import QUOTA, usage

from bedrock_quota.analysis.increase import gather_evidence, propose_quotas
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.pools import PoolQuota, Unit
from localaws.instance import Status
from quota_monitor import command_reference, explain, local
from quota_monitor.deployment import deploy
from quota_monitor.deployment.deploy import RegionProgress
from quota_monitor.doctor import command as doctor
from quota_monitor.doctor.checks import run_checks
from quota_monitor.doctor.command import Checked
from quota_monitor.doctor.first_day import answers
from quota_monitor.explain import ExplainedPool
from quota_monitor.failed import command as failed
from quota_monitor.failed.progress import Part, Progress
from quota_monitor.failed.store import FailedDelivery
from quota_monitor.increase.request import Request
from quota_monitor.increase.request import to_data as to_increase_data
from quota_monitor.json_output import format_json
from quota_monitor.main import main
from quota_monitor.places import Place, Reply, format_replies
from quota_monitor.window import Window

PAGE = command_reference.PAGE.read_text(encoding="utf-8")

LISTING = Path(__file__).parents[1] / "data" / "registry_sync" / "listing.json"

DATA = {
    *("outputs", "left_out", "held", "refused", "settings"),
    *("burndown_rates", "quota_names_unmatched", "records_rejected"),
    "document",
}
"""Objects whose names are data, and documents that are described by themselves."""


def test_the_page_is_current() -> None:
    assert command_reference.render() == PAGE, "run `make command-line`"


@pytest.mark.parametrize("names", [names for names, _ in find_subcommands()][1:], ids=" ".join)
def test_every_command_is_on_the_page_with_all_options(names: tuple[str, ...]) -> None:
    part = PAGE.partition(f"## quota-monitor {' '.join(names)}\n")[2].partition("\n##")[0]

    for parameter in dict(find_subcommands())[names].params:
        assert f"| `{parameter.opts[0]}" in part


def test_every_command_that_prints_facts_has_json() -> None:
    with_json = {
        " ".join(names)
        for names, command in find_subcommands()
        if any("--json" in parameter.opts for parameter in command.params)
    }

    assert with_json == {
        *("analyze", "report", "explain", "increase", "doctor", "deploy", "failed list", "local status"),
        *("registry check", "registry sync", "cost"),
    }
    names = {each.partition(" --")[0] for each in command_reference._DOCUMENTS}
    assert with_json - names == {"analyze", "report", "cost"}
    assert "[answers.md](answers.md) describes the document of `analyze` and `report`" in PAGE
    assert "[costs.md](costs.md#json) that of `cost`" in PAGE


def members(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from members(each)
    elif isinstance(value, dict):
        for name, below in value.items():
            yield name
            if name not in DATA:
                yield from members(below)


def increase_data() -> dict[str, Any]:
    found = usage()
    evidence, proposals = gather_evidence(found), propose_quotas(found, Scenario())
    window = Window(1_795_867_200, 1_795_867_800)
    return to_increase_data(
        Request(POOL, "us-east-1", window, found, evidence, Unit.TOKENS_PER_MINUTE, proposals, QUOTA, QUOTA)
    )


def deploy_json() -> str:
    deployed: Any = SimpleNamespace(place=Place(None, "us-east-1"), progress=RegionProgress(), seconds=1.0)
    return deploy.to_json([deployed], "stack")


def failed_json() -> str:
    part = Part(0, status="processed", rejected={"invalid_json": 1})
    return failed.to_json("bucket", [FailedDelivery("key", 1, datetime(2026, 11, 28, tzinfo=UTC), Progress((part,)))])


def run(*words: str) -> Any:
    return json.loads(CliRunner(mix_stderr=False).invoke(main, [*words, "--json"]).stdout)


DOCUMENTS: dict[str, Callable[[], Any]] = {
    "doctor": lambda: dict(doctor.to_data(Checked(WELL, run_checks(WELL), ""))),
    "doctor --regions": lambda: json.loads(
        format_replies([Reply(Place(), Checked(WELL, run_checks(WELL), ""))], doctor.to_data)
    ),
    "doctor --first-day": lambda: msgspec.to_builtins(
        answers.Report("", "us-east-1", "1", "1", {}, (answers.seen("It was."),))
    ),
    "failed list": lambda: json.loads(failed_json()),
    "deploy": lambda: json.loads(deploy_json()),
    "registry check": lambda: run("registry", "check"),
    "registry sync": lambda: run("registry", "sync", "--listing", str(LISTING)),
    "explain": lambda: {
        "accounts": [explain.to_data(ExplainedPool("1", "r", POOL, PoolQuota(10_000, 5), trace(call(5))))]
    },
    "increase": increase_data,
    "local status": lambda: json.loads(local.to_json(Status())),
}


def names_in(text: str) -> set[str]:
    return {each.removesuffix("[]").rpartition(".")[2] for each in re.findall(r"`([a-z0-9_.\[\]]+)`", text)}


def test_all_described_documents_are_compared() -> None:
    assert DOCUMENTS.keys() == command_reference._DOCUMENTS.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_member_is_described(name: str) -> None:
    part = PAGE.partition(f"### JSON of `{name}`\n")[2].partition("\n#")[0]
    members_column = "".join(re.findall(r"^\| (.+?) \|", part, re.MULTILINE))

    found = set(members(DOCUMENTS[name]()))

    assert found - {"schema_version"} <= names_in(part)
    assert names_in(members_column) <= found


def test_tokens_are_real_numbers_and_counts_are_whole() -> None:
    (found,) = DOCUMENTS["explain"]()["accounts"]

    assert isinstance(found["token_quota"], float)
    assert {type(second["in_use_tokens"]) for second in found["seconds"]} == {float}
    assert {type(second["running"]) for second in found["seconds"]} == {int}


def test_a_document_begins_with_the_version_of_its_schema() -> None:
    assert format_json({"a": 1}) == '{\n  "schema_version": 1,\n  "a": 1\n}'
