"""A shard of a Kinesis stream as Lambda reads it, from AWS's pages, for what the emulator does not do.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html and
https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html (read 2026-11-24): a batch that fails
is halved, which costs no attempt; of one that fails in part, all from the lowest number told comes again; what has
failed once more often than it may be tried again is given up and goes to the failure destination.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = dict[str, Any]
Invoke = Callable[[dict[str, Any]], Mapping[str, Any] | None]
"""Runs the function; returns its answer, or None if it failed."""


def consume(records: Sequence[Record], invoke: Invoke, *, retries: int = 10) -> list[list[Record]]:
    """Have all records of a batch processed in order; return the batches that were given up."""
    given_up: list[list[Record]] = []
    waiting = [(list(records), 0)]
    while waiting:
        batch, attempts = waiting.pop(0)
        answer = invoke({"Records": batch})
        if answer is None and len(batch) > 1:
            middle = len(batch) // 2
            waiting[:0] = [(batch[:middle], attempts), (batch[middle:], attempts)]
            continue
        left = batch if answer is None else _left(batch, answer)
        if len(left) < len(batch):
            waiting[:0] = [(left, 0)] if left else []
        elif attempts < retries:
            waiting.insert(0, (left, attempts + 1))
        else:
            given_up.append(left)
    return given_up


def _left(batch: list[Record], answer: Mapping[str, Any]) -> list[Record]:
    failed = {each["itemIdentifier"] for each in answer.get("batchItemFailures") or []}
    numbers = [record["kinesis"]["sequenceNumber"] for record in batch]
    assert failed <= set(numbers), "Lambda takes a number it does not know for a failure of the whole batch"
    return batch[min(map(numbers.index, failed)) :] if failed else []


def kept(batch: Sequence[Record]) -> str:
    """Return the object that Lambda puts into a bucket for a batch that was given up: with the event as a text."""
    first, last = (record["kinesis"]["sequenceNumber"] for record in (batch[0], batch[-1]))
    return json.dumps(
        {
            "requestContext": {
                "requestId": "c9b8fa9f-5a7f-4b9d-af9c-0c604cde93a5",
                "functionArn": "arn:aws:lambda:us-east-1:111122223333:function:processor",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 11,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": "2026-11-20T09:20:00.000Z",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000000",
                "startSequenceNumber": first,
                "endSequenceNumber": last,
                "approximateArrivalOfFirstRecord": "2026-11-20T09:16:30Z",
                "approximateArrivalOfLastRecord": "2026-11-20T09:16:30Z",
                "batchSize": len(batch),
                "streamArn": batch[0]["eventSourceARN"],
            },
            "payload": json.dumps({"Records": list(batch)}),
        }
    )
