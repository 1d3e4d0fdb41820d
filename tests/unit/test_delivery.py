"""Decoding a delivery: what CloudWatch Logs sends, and everything else that may arrive."""

import base64
import gzip
import json
import re
import zlib
from typing import Any

import pytest
from records import MINUTE, converse, envelope, event_around, event_of, message

from bedrock_quota.errors import DeliveryError
from bedrock_quota.processor.delivery import MAX_INFLATED_BYTES, decode_delivery


def event_with(data: object) -> dict[str, Any]:
    return {"awslogs": {"data": data}}


def test_delivery_gives_its_log_events() -> None:
    entries = [converse(text="first"), converse(text="second")]

    decoded = decode_delivery(event_of(entries))

    assert [event.message for event in decoded.log_events] == [message(entry) for entry in entries]
    assert [event.id for event in decoded.log_events] == ["0" * 55 + "0", "0" * 55 + "1"]
    assert decoded.log_events[0].timestamp == MINUTE * 1000
    assert decoded.log_group == "/aws/bedrock/modelinvocations"
    assert decoded.owner == "111122223333"
    assert not decoded.is_control


def test_control_message_is_told() -> None:
    decoded = decode_delivery(
        event_of(["CWL CONTROL MESSAGE: Checking health of destination Lambda."], "CONTROL_MESSAGE")
    )

    assert decoded.is_control


def test_unknown_keys_and_missing_ones_do_not_matter() -> None:
    payload = {"messageType": "DATA_MESSAGE", "policyLevel": "new", "logEvents": [{"message": "m", "extra": 1}]}

    decoded = decode_delivery(event_around(json.dumps(payload).encode()))

    assert [(event.message, event.id) for event in decoded.log_events] == [("m", "")]


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        pytest.param({"logGroup": "g" * 512}, False, id="longest log group"),
        pytest.param({"logGroup": "g" * 513}, True, id="log group too long"),
        pytest.param({"owner": "1" * 12}, False, id="account id"),
        pytest.param({"owner": "1" * 13}, True, id="owner too long"),
        pytest.param({"owner": "CloudwatchLogs", "messageType": "CONTROL_MESSAGE"}, False, id="control message"),
    ],
)
def test_delivery_from_a_source_that_aws_cannot_have_is_refused(source: dict[str, str], refused: bool) -> None:
    event = event_around(json.dumps(envelope([message(converse())]) | source).encode())

    if refused:
        with pytest.raises(DeliveryError, match="owner or log group is longer than AWS allows"):
            decode_delivery(event)
    else:
        assert len(decode_delivery(event).log_events) == 1


def test_no_log_events_is_an_empty_delivery() -> None:
    assert decode_delivery(event_of([])).log_events == ()


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({}, id="empty"),
        pytest.param(None, id="null"),
        pytest.param([], id="a list"),
        pytest.param("text", id="text"),
        pytest.param({"awslogs": None}, id="awslogs is null"),
        pytest.param({"awslogs": {}}, id="awslogs is empty"),
        pytest.param({"awslogs": []}, id="awslogs is a list"),
        pytest.param({"awslogs": "data"}, id="awslogs is text"),
        pytest.param(event_with(None), id="data is null"),
        pytest.param(event_with(5), id="data is a number"),
        pytest.param(event_with({}), id="data is an object"),
        pytest.param({"Records": [{"s3": {}}]}, id="an event of S3"),
    ],
)
def test_event_of_something_else_is_no_delivery(event: Any) -> None:
    with pytest.raises(DeliveryError, match="not a CloudWatch Logs delivery"):
        decode_delivery(event)


@pytest.mark.parametrize("data", ["abc", "é", "A"])
def test_not_base64(data: str) -> None:
    with pytest.raises(DeliveryError, match="not base64"):
        decode_delivery(event_with(data))


def test_not_gzip() -> None:
    with pytest.raises(DeliveryError, match="not gzip"):
        decode_delivery(event_with(base64.b64encode(b'{"plain": "json"}').decode()))


def test_corrupted_gzip() -> None:
    data = bytearray(gzip.compress(json.dumps(envelope([message(converse())])).encode(), mtime=0))
    data[len(data) // 2] ^= 0xFF

    with pytest.raises(DeliveryError):
        decode_delivery(event_with(base64.b64encode(bytes(data)).decode()))


@pytest.mark.parametrize("kept", [0, 1, 20, -9])
def test_cut_short(kept: int) -> None:
    whole = gzip.compress(json.dumps(envelope([message(converse())])).encode(), mtime=0)

    with pytest.raises(DeliveryError, match="truncated"):
        decode_delivery(event_with(base64.b64encode(whole[:kept]).decode()))


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b"\x00", id="a null byte"),
        pytest.param(b"more", id="text"),
        pytest.param(gzip.compress(b"{}", mtime=0), id="another gzip member"),
    ],
)
@pytest.mark.parametrize("compress", [pytest.param(gzip.compress, id="gzip"), pytest.param(zlib.compress, id="zlib")])
def test_data_after_the_end_is_refused(compress: Any, more: bytes) -> None:
    whole = compress(json.dumps(envelope([message(converse())])).encode())

    assert len(decode_delivery(event_with(base64.b64encode(whole).decode())).log_events) == 1
    with pytest.raises(DeliveryError, match="has data after the end of the gzip"):
        decode_delivery(event_with(base64.b64encode(whole + more).decode()))


def test_zlib_stream_is_read_too() -> None:
    data = zlib.compress(json.dumps(envelope(["m"])).encode())

    assert decode_delivery(event_with(base64.b64encode(data).decode())).log_events[0].message == "m"


def test_bomb_is_refused_without_being_inflated() -> None:
    assert MAX_INFLATED_BYTES == 16_777_216  # 16 MiB
    bomb = event_around(b" " * (MAX_INFLATED_BYTES + 1))
    assert len(bomb["awslogs"]["data"]) < 100_000  # small enough for Lambda to deliver

    with pytest.raises(DeliveryError, match=f"more than {MAX_INFLATED_BYTES} bytes"):
        decode_delivery(bomb)


def test_bound_is_exact() -> None:
    payload = json.dumps(envelope(["m" * 1000])).encode()

    assert decode_delivery(event_around(payload), len(payload)).log_events[0].message == "m" * 1000
    with pytest.raises(DeliveryError, match=re.escape(f"more than {len(payload) - 1} bytes")):
        decode_delivery(event_around(payload), len(payload) - 1)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b'{"messageType": 5}', id="a message type that is a number"),
        pytest.param(b'{"messageType": "DATA_MESSAGE", "logEvents": {}}', id="log events that are an object"),
        pytest.param(b'{"messageType": "DATA_MESSAGE", "logEvents": [5]}', id="a log event that is a number"),
        pytest.param(
            b'{"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1"}]}', id="a log event without a message"
        ),
        pytest.param(b'{"messageType": "DATA_MESSAGE"} trailing', id="text after the end"),
        pytest.param(b"\xff\xfe\x00", id="bytes that are not UTF-8"),
        pytest.param(b"[" * 100_000, id="deep nesting"),
        pytest.param(b'{"messageType": "DATA_MESSAGE", "x": ' + b"[" * 100_000, id="deep nesting in another key"),
    ],
)
def test_inflated_data_that_is_no_delivery(payload: bytes) -> None:
    with pytest.raises(DeliveryError, match="not a delivery in JSON"):
        decode_delivery(event_around(payload))


def test_lone_surrogate_does_not_spoil_the_delivery() -> None:
    messages = b'{"message": "a \\ud800 b"}, {"message": "fine \\ud83d\\ude00"}'
    payload = b'{"messageType": "DATA_MESSAGE", "logEvents": [' + messages + b"]}"

    decoded = decode_delivery(event_around(payload))

    # a pair is a character, and stays one
    assert [event.message for event in decoded.log_events] == ["a \ufffd b", "fine \U0001f600"]


def test_error_never_holds_the_text() -> None:
    payload = b'{"messageType": "DATA_MESSAGE", "logEvents": [{"message": "the secret"'

    with pytest.raises(DeliveryError) as caught:
        decode_delivery(event_around(payload))

    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
