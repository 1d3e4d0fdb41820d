"""The queue of late calls: its settings made short, and the queue seen from outside."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from localaws.session import LocalSession

DELAY, PATIENCE = 60, 300
"""Seconds until a body is read again, and seconds for which it is waited for, as the stack is deployed."""


@contextmanager
def sped_up(session: "LocalSession", function: str, queue_url: str, speed: int) -> Iterator[None]:
    """Have the processor wait for bodies as many times as briefly, until the queue is empty in the end."""
    functions = session.client("lambda")
    before = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    settings = {"LATE_BODIES_DELAY": str(DELAY // speed), "LATE_BODIES_SECONDS": str(PATIENCE // speed)}
    functions.update_function_configuration(FunctionName=function, Environment={"Variables": before | settings})
    yield
    wait_until_empty(session.client("sqs"), queue_url)
    functions.update_function_configuration(FunctionName=function, Environment={"Variables": before})


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
