"""Grouping accounts into minutes."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from processed import price
from records import MINUTE, NOVA, NOW, PROFILE_ARN, SONNET, converse, invoke, message

from bedrock_quota.model_ids import OutOfScope, Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor import grouping
from bedrock_quota.processor.grouping import MAX_GROUPS, MAX_OTHER_GROUPS, OTHER, Groups, group_calls
from bedrock_quota.processor.reading import read_record
from bedrock_quota.processor.usage import CallUsage, UsageCalculator
from bedrock_quota.registry.models import Registry


@pytest.fixture
def tagged(registry: Registry) -> UsageCalculator:
    return UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), ("team",))


def opened(accounts: UsageCalculator, *entries: dict[str, Any]) -> list[CallUsage]:
    found = [price(accounts, read_record(message(entry)), NOW) for entry in entries]
    assert all(isinstance(account, CallUsage) for account in found)
    return found  # type: ignore[return-value]


def test_nothing_gives_nothing() -> None:
    assert group_calls([]) == Groups(())


def test_calls_that_share_all_a_line_says_share_a_minute(tagged: UsageCalculator) -> None:
    first, second = opened(
        tagged,
        converse(timestamp="2026-11-23T12:00:00Z", input_tokens=1),
        converse(timestamp="2026-11-23T12:00:59Z", input_tokens=2),
    )

    (minute,) = group_calls([first, second]).groups

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
        pytest.param(invoke(SONNET, {"max_tokens": 500}), id="operation and body"),
    ],
)
def test_calls_that_differ_in_something_a_line_says_do_not(tagged: UsageCalculator, other: dict[str, Any]) -> None:
    given = opened(tagged, converse(), other)

    assert sorted(len(minute.calls) for minute in group_calls(given).groups) == [1, 1]


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

    kinds = [minute.group for minute in group_calls(given).groups]

    assert kinds == sorted(kinds)
    assert [minute.group for minute in group_calls(shuffled).groups] == kinds


# A bound on lines


def by(number: int, **changes: Any) -> dict[str, Any]:
    return converse(identity={"arn": f"arn:aws:iam::111122223333:user/u{number}"}, **changes)


def test_callers_beyond_the_bound_share_a_line_and_no_token_is_lost(accounts: UsageCalculator) -> None:
    # given 1,000 callers with a call each, 30 more callers with calls of two models, and again the first caller
    first = [by(number) for number in range(MAX_GROUPS)]
    beyond = [by(10_000 + number, output_tokens=number + 1) for number in range(20)]
    beyond += [by(20_000 + number, model_id=NOVA, output_tokens=number + 1) for number in range(10)]

    found = group_calls(opened(accounts, *first, *beyond, by(0))).groups

    # then two more lines, one of each pool: 1 + 2 + … + 20 and 1 + 2 + … + 10 tokens of output
    assert len(found) == MAX_GROUPS + 2
    others = [minute for minute in found if minute.group.caller == OTHER]
    assert {
        (minute.group.pool.model_id, len(minute.calls), sum(each.output_tokens for each in minute.calls))
        for minute in others
    } == {(SONNET, 20, 210), (NOVA, 10, 55)}
    assert all((minute.group.operation, minute.group.application_profile) == ("other", "") for minute in others)
    # and who had a line before goes on having it
    assert [len(minute.calls) for minute in found if minute.group.caller == "u0"] == [2]


def test_pools_and_minutes_beyond_the_bound_are_the_rest(accounts: UsageCalculator) -> None:
    # given a call in each of 2,000 minutes, 3 in minutes after that, and one more in the first and in the last line's
    def at(minute: int) -> dict[str, Any]:
        moment = datetime.fromtimestamp(MINUTE - 60 * minute, UTC)
        return converse(timestamp=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))

    bound = MAX_GROUPS + MAX_OTHER_GROUPS
    given = opened(accounts, *(at(minute) for minute in (*range(bound + 3), 0, bound - 1)))

    found = group_calls(given)

    assert (MAX_GROUPS, MAX_OTHER_GROUPS) == (1_000, 1_000)
    assert len(found.groups) == bound
    assert found.overflow == tuple(given[bound : bound + 3])
    counted = {(minute.group.minute, minute.group.caller): len(minute.calls) for minute in found.groups}
    assert counted[MINUTE, "ReportWriter"] == 2
    assert counted[MINUTE - 60 * (bound - 1), "other"] == 2
    assert sum(calls for _, calls in found.sizes()) == len(given)


def test_beyond_all_bounds_a_line_of_others_goes_on_taking_calls_of_any_tag_and_profile(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one line of a kind, and one of others
    monkeypatch.setattr(grouping, "MAX_GROUPS", 1)
    monkeypatch.setattr(grouping, "MAX_OTHER_GROUPS", 1)
    given = opened(
        UsageCalculator(registry, lambda _profile: Reference(NOVA, EndpointType.REGIONAL), ("team",)),
        converse(),
        converse(PROFILE_ARN),
        converse(NOVA, requestMetadata={"team": "search"}),
        converse(NOVA, requestMetadata={"team": "chat"}),
        by(1),
    )

    found = group_calls(given)

    # then all calls of the others' pool are on theirs, and only a pool without a line is the rest
    others, first = found.groups
    assert (others.group.pool.model_id, first.group.pool.model_id) == (NOVA, SONNET)
    assert (others.group.application_profile, others.group.request_metadata) == ("", ())
    assert (others.calls, first.calls) == (tuple(given[1:4]), (given[0],))
    assert found.overflow == tuple(given[4:])


def test_up_to_the_bound_every_caller_has_a_line(accounts: UsageCalculator) -> None:
    found = group_calls(opened(accounts, *(by(number) for number in range(MAX_GROUPS)))).groups

    assert len(found) == MAX_GROUPS
    assert OTHER not in {minute.group.caller for minute in found}
