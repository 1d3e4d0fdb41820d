"""The processor killed in the middle, and twice at once: what becomes of the delivery.

Lambda's own Runtime Interface Emulator, as AWS SAM CLI ships it, runs the built function with Lambda's own runtime: it
ends it at its timeout as Lambda does, and starts another when one is gone.
"""

import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import samcli
from test_stack import Metric, converse, record

from localaws.deployment import ENDPOINT_SETTINGS, choose_architecture
from localaws.fault_proxy import Fault, FaultProxy
from localaws.instance import CHECKOUT, Instance
from localaws.state import Ports
from quota_monitor import sample_events as events

NAME = "killed"
MODEL = "mistral.mistral-7b-instruct-v0:2"
TIMEOUT_SECONDS = 5
"""In place of the processor's 60: an unfinished delivery is refused for as long as the function could still run."""

HURRIED = """
from bedrock_quota.processor import batch
batch.MIN_MILLISECONDS_TO_RECORD = 500  # in place of 5,000: after that it records no delivery as processed
from app import handler
"""

RIE = Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{choose_architecture(platform.machine())}"


class Runtime:
    """The processor under the emulator, and what it has printed."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process, self.log = process, log
        self._url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"

    def invoke(self, event: object) -> str:
        request = urllib.request.Request(self._url, data=json.dumps(event).encode())  # noqa: S310 - the emulator's
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as failed:  # 502, where the runtime has ended
            return str(failed.read().decode())

    def kill(self) -> None:
        """End the runtime, as the kernel does where memory runs out; the emulator stays."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        (child,) = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        os.kill(child, signal.SIGKILL)

    def reserved(self) -> list[int]:
        """The reserved tokens of every metric line printed so far."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if '"ReservedTokens"' in line]
        return [value for line in lines for value in line["ReservedTokens"]]


@pytest.fixture(scope="module")
def runtime(
    local: Instance, proxy: FaultProxy, resource: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    if importlib.util.find_spec("awslambdaric") is None:
        pytest.skip("nothing was killed: Lambda's runtime is not there for this system or Python")
    functions = local.session().client("lambda")
    of = functions.get_function_configuration(FunctionName=resource("MetricProcessorFunction"))
    assert of["Handler"] == "app.handler"
    build = local.directory / "build"
    ports, files = Ports.free(), tmp_path_factory.mktemp("rie")
    log = files / "log"
    files.joinpath("hurried.py").write_text(HURRIED)
    environment = {
        "PATH": os.environ["PATH"],
        **local.account.credentials(),
        **of["Environment"]["Variables"],
        **dict.fromkeys(ENDPOINT_SETTINGS, f"{proxy.url}/{NAME}"),
        "PYTHONPATH": os.pathsep.join(
            [str(files), *(str(build / layer / "python") for layer in ("CoreLayer", "DependenciesLayer"))]
        ),
        "AWS_LAMBDA_FUNCTION_NAME": NAME,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT_SECONDS),
    }
    addresses = (
        *("--runtime-interface-emulator-address", f"127.0.0.1:{ports.emulator}"),
        *("--runtime-api-address", f"127.0.0.1:{ports.sidecar}"),
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [RIE, *addresses, sys.executable, "-m", "awslambdaric", "hurried.handler"],
            cwd=CHECKOUT / "functions" / "metric_processor",
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    made = Runtime(process, ports.emulator, log)
    try:
        wait_for(lambda: answers(made))
        yield made
    finally:
        process.terminate()
        process.wait()


def answers(runtime: Runtime) -> bool:
    try:
        return "is not gzip" in runtime.invoke({"awslogs": {"data": "AAAA"}})
    except urllib.error.URLError:
        return False


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def in_progress(local: Instance, resource: Callable[[str], str]) -> Callable[[], int]:
    """How many deliveries the state table has as begun and not ended."""
    table, client = resource("StateTable"), local.session().client("dynamodb")

    def count() -> int:
        items = client.scan(TableName=table)["Items"]
        return sum(item.get("status") == {"S": "INPROGRESS"} for item in items)

    return count


def delivery(local: Instance, name: str, at: datetime, *reserved: int) -> dict[str, Any]:
    """Calls that reserve so much, each through an application profile that nobody has asked Bedrock about."""
    source = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
    bedrock = local.session().client("bedrock")
    calls = []
    for number, tokens in enumerate(reserved):
        made = bedrock.create_inference_profile(
            inferenceProfileName=f"{name}-{number}", modelSource={"copyFrom": source}
        )
        calls.append(record(at, made["inferenceProfileArn"], body=converse(tokens - 1), tokens=(1, 1)))
    return events.delivery([json.dumps(call) for call in calls])


def test_killed_in_mid_delivery(
    runtime: Runtime, local: Instance, proxy: FaultProxy, minute: datetime, in_progress: Callable[[], int]
) -> None:
    # given a processor that has begun a delivery and waits for Bedrock
    event = delivery(local, "killed-in-the-middle", minute, 1_001)
    before = in_progress()
    with ThreadPoolExecutor() as pool, proxy.failing(Fault.HANGING, "bedrock", function=NAME):
        answer = pool.submit(runtime.invoke, event)
        wait_for(lambda: in_progress() > before)
        # when it is killed
        runtime.kill()
        assert "Runtime.ExitError" in answer.result()
    # then nothing of it was written, and nobody else takes it on before the killed one would have ended
    assert 1_001 not in runtime.reserved()
    assert "ConcurrentDuplicateError" in runtime.invoke(event)
    time.sleep(TIMEOUT_SECONDS)
    # and after that, the redelivery is processed, once
    assert json.loads(runtime.invoke(event)) == {"received": 1, "processed": 1}
    assert json.loads(runtime.invoke(event)) == {"received": 1, "processed": 1}
    assert runtime.reserved().count(1_001) == 1
    assert in_progress() == before


def test_killed_at_its_timeout(runtime: Runtime, local: Instance, proxy: FaultProxy, minute: datetime) -> None:
    # given a processor that takes longer than it may: over 2 s for each of two profiles, and 0.7 s for each request to
    # the state table
    event = delivery(local, "killed-at-timeout", minute, 1_002, 1_004)
    with proxy.failing(Fault.HANGING, "bedrock", function=NAME), proxy.failing(Fault.SLOW, "dynamodb", function=NAME):
        # when its time is over
        assert runtime.invoke(event) == f"Task timed out after {TIMEOUT_SECONDS}.00 seconds"
    # then nothing was written, and the redelivery is processed, once
    assert {1_002, 1_004}.isdisjoint(runtime.reserved())
    answers = [runtime.invoke(event)]  # Lambda tries again later; the refusal ends when the killed one would have
    wait_for(lambda: "ConcurrentDuplicateError" not in answers[-1] or answers.append(runtime.invoke(event)))
    assert json.loads(answers[-1]) == {"received": 2, "processed": 2}
    assert json.loads(runtime.invoke(event)) == {"received": 2, "processed": 2}
    assert sorted(each for each in runtime.reserved() if each in {1_002, 1_004}) == [1_002, 1_004]


def test_killed_between_writing_and_noting_so(
    runtime: Runtime, local: Instance, proxy: FaultProxy, minute: datetime
) -> None:
    # given a processor that has written its lines and waits for the state table to note so
    event = delivery(local, "killed-after-writing", minute, 1_003)
    with ThreadPoolExecutor() as pool, proxy.failing(Fault.HANGING, "dynamodb", operation="UpdateItem", function=NAME):
        answer = pool.submit(runtime.invoke, event)
        wait_for(lambda: 1_003 in runtime.reserved())
        # when it is killed
        runtime.kill()
        assert "Runtime.ExitError" in answer.result()
    time.sleep(TIMEOUT_SECONDS)
    # then it counts a second time, as docs/limits.md says, and not a third
    assert json.loads(runtime.invoke(event)) == {"received": 1, "processed": 1}
    assert json.loads(runtime.invoke(event)) == {"received": 1, "processed": 1}
    assert runtime.reserved().count(1_003) == 2


def test_one_delivery_in_two_containers_at_once(  # noqa: PLR0917 - fixtures
    local: Instance,
    proxy: FaultProxy,
    metric: Metric,
    minute: datetime,
    resource: Callable[[str], str],
    in_progress: Callable[[], int],
) -> None:
    # given a container that is at work on a delivery
    at = minute + timedelta(minutes=62)
    event = delivery(local, "twice-at-once", at, 1_004)
    function, functions = resource("MetricProcessorFunction"), local.session().client("lambda")

    def invoke() -> Any:
        return functions.invoke(FunctionName=function, Payload=json.dumps(event))

    before = in_progress()
    with ThreadPoolExecutor() as pool:
        with proxy.failing(Fault.HANGING, "bedrock", operation="GetInferenceProfile"):
            first = pool.submit(invoke)
            wait_for(lambda: in_progress() > before)
            # when it is delivered to another one
            second = invoke()
        answered = json.loads(first.result()["Payload"].read())
    local.drain()
    # then that one waits for the first one, and it was processed once
    assert answered["received"] == 1
    assert json.loads(second["Payload"].read()) == answered
    # (on a busy machine Bedrock hangs for both attempts at the profile: then it was processed as out of scope)
    once = 1_004 if answered["processed"] else None
    assert metric("ReservedTokens", MODEL, "regional").get(at) == once
