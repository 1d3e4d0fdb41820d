"""The function's event: one delivery from CloudWatch Logs, or a batch of deliveries from a Kinesis data stream.

CloudWatch Logs puts the same gzipped JSON into a record of a stream as into a function's event. Lambda encodes the data
of a record in base64, so both contain the same. Sources:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html (read 2026-11-24)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bedrock_quota.errors import DeliveryError


class RawDelivery(msgspec.Struct, frozen=True):
    """One delivery as it was received: the event that CloudWatch Logs would send, not decoded yet.

    `sequence_number` is that of its record in the stream, None if CloudWatch Logs sent the delivery to the function.
    """

    event: Mapping[str, Any]
    sequence_number: str | None = None


def split_event(event: Mapping[str, Any]) -> list[RawDelivery]:
    """Return the deliveries of an event in order: one, or those of a batch of Kinesis records.

    Raises `DeliveryError` if the event is a batch of anything else.
    """
    if "Records" not in event:
        return [RawDelivery(event)]
    try:
        return [
            RawDelivery({"awslogs": {"data": record["kinesis"]["data"]}}, record["kinesis"]["sequenceNumber"])
            for record in event["Records"]
        ]
    except (KeyError, TypeError) as error:
        raise DeliveryError("the event is not a batch of Kinesis records") from error


def batch_response(sent: Sequence[RawDelivery], results: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """Return the function's response to an event whose first deliveries have these results.

    For a batch it names the first delivery that was not processed. Lambda retries that one and all later ones, and no
    other (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html, read 2026-11-24).
    """
    if len(sent) == 1 and sent[0].sequence_number is None:
        return dict(results[0])
    unprocessed = sent[len(results) : len(results) + 1]
    return {"batchItemFailures": [{"itemIdentifier": each.sequence_number} for each in unprocessed]}
