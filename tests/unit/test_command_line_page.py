"""docs/command-line.md is what its generator writes, and describes every member of the documents of `--json`."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from subcommands import find_subcommands
from test_doctor_checks import WELL
from test_explain import POOL, call, trace
from test_increase import QUOTA, usage

from bedrock_quota.analysis.increase import gather_evidence, propose_quota
from bedrock_quota.pools import PoolQuota, Unit
from localaws.instance import Status
from quota_monitor import command_reference, explain, increase, local
from quota_monitor.doctor import command as doctor
from quota_monitor.doctor.checks import run_checks
from quota_monitor.explain import ExplainedPool
from quota_monitor.increase import Request
from quota_monitor.json_output import format_json
from quota_monitor.window import Window

PAGE = command_reference.PAGE.read_text(encoding="utf-8")

DATA = {"outputs", "left_out", "held", "refused", "settings"}
"""Objects whose names are data."""


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

    assert with_json >= {
        *("analyze", "report", "explain", "increase", "doctor", "deploy", "failed list", "local status"),
        *("registry check", "registry sync"),
    }


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
    proposal = propose_quota(found, Unit.TOKENS_PER_MINUTE, changed_peak=None, growth=1)
    window = Window(1_795_867_200, 1_795_867_800)
    return increase.to_data(Request(POOL, "us-east-1", window, found, gather_evidence(found), proposal, QUOTA, QUOTA))


DOCUMENTS = {
    "doctor": lambda: json.loads(doctor.to_json(WELL, run_checks(WELL), "")),
    "explain": lambda: {
        "accounts": [explain.to_data(ExplainedPool("1", "r", POOL, PoolQuota(10_000, 5), trace(call(5))))]
    },
    "increase": increase_data,
    "local status": lambda: json.loads(local.to_json(Status())),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_member_is_described(name: str) -> None:
    part = PAGE.partition(f"### JSON of `{name}`\n")[2].partition("\n#")[0]
    described = {each.removesuffix("[]").rpartition(".")[2] for each in re.findall(r"`([a-z_.\[\]]+)`", part)}

    found = set(members(DOCUMENTS[name]()))

    assert found - {"schema_version"} <= described
    assert len(found) > 8


def test_tokens_are_real_numbers_and_counts_are_whole() -> None:
    (found,) = DOCUMENTS["explain"]()["accounts"]

    assert isinstance(found["token_quota"], float)
    assert {type(second["in_use_tokens"]) for second in found["seconds"]} == {float}
    assert {type(second["running"]) for second in found["seconds"]} == {int}


def test_a_document_begins_with_the_version_of_its_schema() -> None:
    assert format_json({"a": 1}) == '{\n  "schema_version": 1,\n  "a": 1\n}'
