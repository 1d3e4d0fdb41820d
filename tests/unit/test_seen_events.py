"""Log events that come again in another delivery of the same container."""

from bedrock_quota.seen_events import SeenEvents


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
