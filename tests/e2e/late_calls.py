"""The queue of late calls, seen from outside."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def wait_until_empty(client: "SQSClient", queue_url: str, seconds: float = 60.0) -> None:
    """Return when no message waits, is delayed or is being processed."""
    names = (
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
    )
    deadline = time.monotonic() + seconds
    while True:
        held = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        if all(int(held[name]) == 0 for name in names):
            return
        assert time.monotonic() < deadline, held
        time.sleep(0.1)
