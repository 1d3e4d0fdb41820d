"""Measure the usual way in the application: one put_metric_data per call, to an endpoint that answers at once."""

import statistics
import time
from typing import Any

import boto3
import msgspec
from botocore.config import Config

from benchmarks import endpoint

CALLS = 200


class ClientSide(msgspec.Struct, frozen=True):
    """Seconds of one call: wall time, which the application waits, and CPU time."""

    wall: float
    cpu: float


def measure(calls: int = CALLS) -> ClientSide:
    """Publish the four metrics of a call `calls` times, and return the medians."""
    with endpoint.answering() as environment:
        client = boto3.client(
            "cloudwatch",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        dimensions = [{"Name": "ModelId", "Value": "a"}, {"Name": "EndpointType", "Value": "regional"}]
        data: list[Any] = [
            {"MetricName": name, "Dimensions": dimensions, "Value": 1_000, "Unit": "Count"}
            for name in ("ReservedTokens", "ConsumedTokens", "OutputTokens", "MaxTokens")
        ]
        walls, cpus = [], []
        for _ in range(calls):
            wall, cpu = time.perf_counter(), time.process_time()
            client.put_metric_data(Namespace="Bedrock/Quotas", MetricData=data)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    return ClientSide(statistics.median(walls), statistics.median(cpus))
