"""The function's event: one delivery from CloudWatch Logs, a batch from a Kinesis data stream, or late calls.

CloudWatch Logs puts the same gzipped JSON into a record of a stream as into a function's event. Lambda encodes the data
of a record in base64, so both contain the same. Sources:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html (read 2026-11-24)

The stack's queue brings calls again whose body was late (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html,
read 2026-11-28).
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from bedrock_quota.errors import DeliveryError

PUBLISHED = "published"
"""Member beside `awslogs` that is true for older records, which `quota-monitor analyze --publish` sends. They say
nothing about the health of the logs, so no health metric has them, and their calls do not wait for a body."""


class RawDelivery(msgspec.Struct, frozen=True):
    """One delivery as it was received: the event that CloudWatch Logs would send, not decoded yet.

    `item_id` identifies it in its batch: the sequence number of its record in the stream, or the id of its message. It
    is None if CloudWatch Logs sent the delivery to the function. `message` is the text of a message of late calls. It
    `is_repeated` if SQS has delivered it before. It `is_published` if `quota-monitor analyze --publish` sent it: see
    `PUBLISHED`.
    """

    event: Mapping[str, Any]
    item_id: str | None = None
    message: str | None = None
    is_repeated: bool = False
    is_published: bool = False


def split_event(event: Mapping[str, Any]) -> list[RawDelivery]:
    """Return the deliveries of an event in order: one, or those of a batch of Kinesis records or SQS messages.

    Raises `DeliveryError` if the event is a batch of anything else.
    """
    if "Records" not in event:
        return [RawDelivery(event, is_published=event.get(PUBLISHED) is True)]
    try:
        return [_read_item(record) for record in event["Records"]]
    except (AttributeError, KeyError, TypeError) as error:
        raise DeliveryError("the event is not a batch of Kinesis records or SQS messages") from error


def _read_item(record: Mapping[str, Any]) -> RawDelivery:
    if record.get("eventSource") == "aws:sqs":
        is_repeated = record.get("attributes", {}).get("ApproximateReceiveCount", "1") != "1"
        return RawDelivery({}, record["messageId"], record["body"], is_repeated)
    return RawDelivery({"awslogs": {"data": record["kinesis"]["data"]}}, record["kinesis"]["sequenceNumber"])


def batch_response(sent: Sequence[RawDelivery], results: Sequence[Mapping[str, int] | None]) -> dict[str, Any]:
    """Return the function's response to an event whose first deliveries have these results, None if not processed.

    For a batch of a stream it names the first delivery that was not processed. Lambda retries that one and all later
    ones, and no other (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html, read
    2026-11-24). For a batch of messages it names each that was not processed, because Lambda deletes all others
    (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html, read 2026-11-28).
    """
    if len(sent) == 1 and sent[0].item_id is None:
        return dict(results[0] or {})
    missing = [each for each, result in zip_longest(sent, results) if result is None]
    unprocessed = [each for each in missing if each.message is not None] or missing[:1]
    return {"batchItemFailures": [{"itemIdentifier": each.item_id} for each in unprocessed]}
