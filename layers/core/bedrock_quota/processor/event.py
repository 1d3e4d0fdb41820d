"""An envelope: how an event brings deliveries, one from CloudWatch Logs itself or several from a Kinesis data stream.

CloudWatch Logs puts the same gzipped JSON into a record of a stream as it hands to a function, and Lambda writes the
data of a record in base64: so both hold the same, once the envelope is off.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html (read 2026-11-24)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bedrock_quota.errors import DeliveryError


class RawDelivery(msgspec.Struct, frozen=True):
    """One delivery as it came: the event that CloudWatch Logs would send, not yet looked into.

    `sequence_number` is that of its record in the stream, None where CloudWatch Logs sent it to the function.
    """

    event: Mapping[str, Any]
    sequence_number: str | None = None


def split_event(event: Mapping[str, Any]) -> list[RawDelivery]:
    """Return the deliveries of an event in order: one, or those of a batch of Kinesis records.

    Raises `DeliveryError` if it is a batch of something else.
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
    """Return what Lambda is to be told of an event of which the first deliveries have these results.

    Of a batch that is the first delivery that was not processed: Lambda comes back with it and all behind it, and only
    these (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html, read 2026-11-24).
    """
    if len(sent) == 1 and sent[0].sequence_number is None:
        return dict(results[0])
    left = sent[len(results) : len(results) + 1]
    return {"batchItemFailures": [{"itemIdentifier": each.sequence_number} for each in left]}
