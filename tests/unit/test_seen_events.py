"""Log events that come again in another delivery of the same container."""

import pytest

from bedrock_quota.processor.seen_events import SeenEvents

ACCOUNT, GROUP = "111122223333", "/aws/bedrock/modelinvocations"


def test_what_was_remembered_is_seen() -> None:
    seen = SeenEvents()
    seen.remember(["a", "b"])
    assert seen.ids == {"a", "b"}


def test_the_oldest_are_forgotten() -> None:
    seen = SeenEvents(most=2)
    seen.remember(["a", "b"])
    seen.remember(["c"])
    assert seen.ids == {"b", "c"}


def test_as_many_as_were_asked_for_are_remembered_at_least_and_an_eighth_more_at_most() -> None:
    # given a memory for 16
    seen = SeenEvents(most=16)
    seen.remember([str(number) for number in range(18)])
    assert len(seen.ids) == 18
    # when there is one more than 16 and an eighth
    seen.remember(["18"])
    # then the last 16 are left
    assert seen.ids == {str(number) for number in range(3, 19)}


def test_what_is_forgotten_is_new() -> None:
    seen = SeenEvents()
    seen.remember(["a", "b"])
    seen.forget(["a", "never seen"])
    assert seen.ids == {"b"}


@pytest.mark.parametrize(
    ("owner", "log_group"),
    [
        pytest.param(ACCOUNT, "/other", id="another log group"),
        pytest.param("999988887777", GROUP, id="another account"),
        pytest.param("", "", id="no source"),
        pytest.param(ACCOUNT, "g" * 512, id="the longest name"),
        pytest.param(ACCOUNT, "g" * 1_000_000, id="an impossible name"),
    ],
)
def test_ids_of_another_source_get_a_short_prefix_of_their_own(owner: str, log_group: str) -> None:
    seen = SeenEvents()
    assert seen.select_source(ACCOUNT, GROUP).prefix == ""

    prefix = seen.select_source(owner, log_group).prefix

    assert len(prefix) == 17
    assert seen.select_source(owner, log_group).prefix == prefix
    assert seen.select_source(ACCOUNT, GROUP).prefix == ""


def test_sources_that_read_alike_have_different_prefixes() -> None:
    seen = SeenEvents()
    seen.select_source(ACCOUNT, GROUP)
    sources = [("1", "2:3"), ("1:2", "3"), ("12", "3"), ("1", "23"), ("", "123")]

    assert len({seen.select_source(*source).prefix for source in sources}) == len(sources)


def test_an_id_that_is_too_long_is_not_remembered() -> None:
    seen = SeenEvents()

    seen.remember(["a" * 128, "b" * 129, "c" * 1_000_000])

    assert seen.ids == {"a" * 128}
