"""Log events that come again in another delivery of the same container."""

from bedrock_quota.processor.seen_events import SeenEvents


def test_what_was_remembered_is_seen() -> None:
    seen = SeenEvents()
    seen.remember(["a", "b"])
    assert seen.ids == {"a", "b"}


def test_events_without_an_id_are_always_new() -> None:
    seen = SeenEvents()
    seen.remember([""])
    assert seen.ids == set()


def test_the_oldest_are_forgotten() -> None:
    seen = SeenEvents(most=2)
    seen.remember(["a", "b"])
    seen.remember(["c"])
    assert seen.ids == {"b", "c"}


def test_as_many_as_were_asked_for_are_remembered_at_least_and_an_eighth_more_at_most() -> None:
    # given a memory for 16
    seen = SeenEvents(most=16)
    seen.remember(str(number) for number in range(18))
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
