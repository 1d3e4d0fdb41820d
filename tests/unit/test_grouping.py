"""Grouping accounts into minutes."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from processed import price, read_record
from records import MINUTE, NOVA, NOW, PROFILE_ARN, SONNET, by_session, converse, invoke, message, of_project

from bedrock_quota.model_ids import OutOfScope, Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor import grouping
from bedrock_quota.processor.grouping import MAX_GROUPS_PER_POOL, OTHER, group_calls
from bedrock_quota.processor.usage import CallUsage, UsageCalculator
from bedrock_quota.registry.models import Registry


@pytest.fixture
def tagged(registry: Registry) -> UsageCalculator:
    return UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), ("team",), with_sessions=True)


def opened(accounts: UsageCalculator, *entries: dict[str, Any]) -> list[CallUsage]:
    found = [price(accounts, read_record(message(entry)), NOW) for entry in entries]
    assert all(isinstance(account, CallUsage) for account in found)
    return found  # type: ignore[return-value]


def test_nothing_gives_nothing() -> None:
    assert group_calls([]) == ()


def test_calls_that_share_all_a_line_says_share_a_minute(tagged: UsageCalculator) -> None:
    first, second = opened(
        tagged,
        converse(timestamp="2026-11-23T12:00:00Z", input_tokens=1),
        converse(timestamp="2026-11-23T12:00:59Z", input_tokens=2),
    )

    (minute,) = group_calls([first, second])

    assert minute.group.minute == MINUTE
    assert minute.calls == (first, second)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(converse(timestamp="2026-11-23T12:01:00Z"), id="minute"),  # the next minute
        pytest.param(converse(NOVA), id="model"),
        pytest.param(converse(f"us.{SONNET}"), id="endpoint type"),
        pytest.param(converse(operation="ConverseStream"), id="operation"),
        pytest.param(converse(max_tokens=None), id="source of the limit"),
        pytest.param(converse(input_tokens=0, output_tokens=0), id="blocked"),
        pytest.param(converse(identity={"arn": "arn:aws:iam::111122223333:user/jane"}), id="caller"),
        pytest.param(converse(requestMetadata={"team": "search"}), id="tag"),
        pytest.param(converse(**by_session("kim")), id="session"),
        pytest.param(of_project(converse(), "proj_a"), id="project"),
        pytest.param(invoke(SONNET, {"max_tokens": 500}), id="operation and body"),
    ],
)
def test_calls_that_differ_in_something_a_line_says_do_not(tagged: UsageCalculator, other: dict[str, Any]) -> None:
    given = opened(tagged, converse(), other)

    assert sorted(len(minute.calls) for minute in group_calls(given)) == [1, 1]


def test_order_of_arrival_does_not_change_the_groups(tagged: UsageCalculator) -> None:
    given = opened(
        tagged,
        *(
            converse(model_id, timestamp=f"2026-11-23T12:0{minute}:30Z", requestMetadata=tags)
            for model_id in (SONNET, NOVA)
            for minute in (2, 0, 1)
            for tags in ({"team": "search"}, None)
        ),
    )
    shuffled = random.Random(7).sample(given, len(given))

    kinds = [minute.group for minute in group_calls(given)]

    assert kinds == sorted(kinds)
    assert [minute.group for minute in group_calls(shuffled)] == kinds


# A bound on lines

BIG_ROLE = "arn:aws:sts::111122223333:assumed-role/Big"


def by(number: int, **changes: Any) -> dict[str, Any]:
    return converse(identity={"arn": f"arn:aws:iam::111122223333:user/u{number}"}, **changes)


def test_callers_beyond_the_bound_share_a_line_and_no_token_is_lost(accounts: UsageCalculator) -> None:
    # given 2,000 callers with a call each, 20 more callers, 10 callers of another model, and again the first caller
    first = [by(number) for number in range(2 * MAX_GROUPS_PER_POOL)]
    beyond = [by(10_000 + number, output_tokens=number + 1) for number in range(20)]
    other_pool = [by(20_000 + number, model_id=NOVA) for number in range(10)]

    found = group_calls(opened(accounts, *first, *beyond, *other_pool, by(0)))

    # then one more line for the 20, with 1 + 2 + … + 20 tokens of output, and ten of the other pool
    assert len(found) == 2 * MAX_GROUPS_PER_POOL + 1 + 10
    (others,) = [grouped for grouped in found if grouped.group.caller == OTHER]
    assert (others.group.pool.model_id, len(others.calls)) == (SONNET, 20)
    assert sum(each.output_tokens for each in others.calls) == 210
    assert (others.group.operation, others.group.application_profile) == ("other", "")
    # and who had a line before goes on having it
    assert [len(grouped.calls) for grouped in found if grouped.group.caller == "u0"] == [2]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(lambda _number: {}, id="one group"),
        pytest.param(lambda number: {"identity": {"arn": f"{BIG_ROLE}/s{number}"}}, id="a session per call"),
    ],
)
def test_callers_with_the_most_calls_keep_their_name_however_late_they_come(
    tagged: UsageCalculator, changes: Callable[[int], dict[str, Any]]
) -> None:
    # given 2,500 callers with a call each, and then one with 30
    few = [by(number) for number in range(2_500)]
    big = [converse(**{"identity": {"arn": f"{BIG_ROLE}/s"}} | changes(number)) for number in range(30)]

    found = group_calls(opened(tagged, *few, *big))

    # then it is among the 2,000 that stay apart, and 501 calls of others share a line
    assert sum(len(grouped.calls) for grouped in found if grouped.group.caller == "Big") == 30
    assert [len(grouped.calls) for grouped in found if grouped.group.caller == OTHER] == [501]
    assert len(found) == 2 * MAX_GROUPS_PER_POOL + 1


def test_every_minute_has_its_lines(accounts: UsageCalculator) -> None:
    # given a call in each of 2,500 minutes, and one more in the first and in the last
    def at(minute: int) -> dict[str, Any]:
        moment = datetime.fromtimestamp(MINUTE - 60 * minute, UTC)
        return converse(timestamp=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))

    given = opened(accounts, *(at(minute) for minute in (*range(2_500), 0, 2_499)))

    found = group_calls(given)

    assert len(found) == 2_500
    counted = {(grouped.group.minute, grouped.group.caller): len(grouped.calls) for grouped in found}
    assert counted[MINUTE, "ReportWriter"] == counted[MINUTE - 60 * 2_499, "ReportWriter"] == 2
    assert sum(counted.values()) == len(given)


def test_a_line_of_others_takes_calls_of_any_tag_and_profile(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one group per pool and minute
    monkeypatch.setattr(grouping, "MAX_GROUPS_PER_POOL", 1)
    given = opened(
        UsageCalculator(registry, lambda _profile: Reference(NOVA, EndpointType.REGIONAL), ("team",)),
        by(1, model_id=NOVA),
        by(2, model_id=PROFILE_ARN),
        by(2, model_id=NOVA, requestMetadata={"team": "search"}),
        by(3, model_id=NOVA, requestMetadata={"team": "chat"}),
        by(4, model_id=PROFILE_ARN),
    )

    found = {grouped.group.caller: grouped for grouped in group_calls(given)}

    # then the second caller has a line without profile and tags, and all others share one
    assert {caller: grouped.calls for caller, grouped in found.items()} == {
        "u1": (given[0],),
        "u2": tuple(given[1:3]),
        OTHER: tuple(given[3:]),
    }
    for caller in ("u2", OTHER):
        assert (found[caller].group.application_profile, found[caller].group.request_metadata) == ("", ())


def test_sessions_and_projects_beyond_the_bound_share_a_line(
    tagged: UsageCalculator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one group per pool and minute
    monkeypatch.setattr(grouping, "MAX_GROUPS_PER_POOL", 1)
    sessions = [converse(output_tokens=number, **by_session(f"s{number}")) for number in range(1, 11)]
    projects = [of_project(converse(output_tokens=100), f"proj_{number}") for number in range(10)]

    first, others = sorted(
        group_calls(opened(tagged, *sessions, *projects)), key=lambda grouped: not grouped.group.session
    )

    # then 2 + 3 + … + 10 and 10 × 100 tokens of output are on another line of the same caller
    assert (first.group.session, others.group.session, others.group.project) == ("s1", "", "")
    assert first.group.caller == others.group.caller == "ReportWriter"
    assert sum(each.output_tokens for each in others.calls) == 54 + 1_000


def test_up_to_the_bound_every_caller_has_a_line(accounts: UsageCalculator) -> None:
    found = group_calls(opened(accounts, *(by(number) for number in range(MAX_GROUPS_PER_POOL))))

    assert len(found) == MAX_GROUPS_PER_POOL
    assert OTHER not in {minute.group.caller for minute in found}
