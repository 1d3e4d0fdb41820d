"""What the usual way costs the application: a put_metric_data for each call, to an endpoint that answers at once."""

import statistics
import subprocess
import sys
import time
from typing import Any

import boto3
import msgspec
from botocore.config import Config

CALLS = 200

_SERVER = """
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("x-amzn-RequestId", "0")
        self.end_headers()

    def log_message(self, *of):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class ClientSide(msgspec.Struct, frozen=True):
    """Seconds of one call: on the wall, which the application waits, and of CPU."""

    wall: float
    cpu: float


def measure(calls: int = CALLS) -> ClientSide:
    """Publish the four metrics of a call, so many times."""
    server = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None  # noqa: S101 - Popen was given a pipe
        client = boto3.client(
            "cloudwatch",
            endpoint_url=f"http://127.0.0.1:{int(server.stdout.readline())}",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106 - of nobody
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
    finally:
        server.terminate()
        server.wait()
