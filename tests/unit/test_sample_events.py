"""The ready events of `events/`: made from the readable records beside them."""

import json
from pathlib import Path

import pytest

from bedrock_quota.processor.delivery import decode_delivery
from bedrock_quota.processor.event import split_event
from quota_monitor import sample_events
from quota_monitor.deployment.checkout import ROOT

FOLDERS = ("metric_processor", "quota_fetcher", "logging_setup", "bucket_emptying")
RECORDS = ROOT / "events" / "records"
DELIVERIES = ROOT / "events" / "metric_processor"


def test_every_function_has_a_ready_event() -> None:
    functions = {path.parent.name for path in ROOT.glob("functions/*/app.py")}
    assert functions == set(FOLDERS)
    assert all(any((ROOT / "events" / folder).glob("*.json")) for folder in FOLDERS)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_a_delivery_holds_just_the_records_it_is_made_from(path: Path) -> None:
    # given the committed event; compressed bytes differ between machines, what they hold does not
    committed = json.loads((DELIVERIES / path.name).read_text())
    # when
    held = [event.message for event in decode_delivery(committed).log_events]
    # then
    assert held == sample_events.read_messages(path)


def test_no_delivery_is_left_over_from_records_that_are_gone() -> None:
    assert {path.name for path in DELIVERIES.glob("*.json")} == {path.name for path in sample_events.make_events(ROOT)}


def test_the_batch_of_a_stream_holds_every_delivery_in_order() -> None:
    committed = json.loads((DELIVERIES / "kinesis-batch.json").read_text())
    sent = split_event(committed)
    held = [[event.message for event in decode_delivery(each.event).log_events] for each in sent]
    assert held == [sample_events.read_messages(path) for path in sorted(RECORDS.glob("*.json"))]
    assert len({each.item_id for each in sent}) == len(held) == 3


def test_the_control_message_is_one() -> None:
    committed = json.loads((DELIVERIES / "control-message.json").read_text())
    assert decode_delivery(committed).is_control
