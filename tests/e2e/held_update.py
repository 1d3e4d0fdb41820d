"""An update of a stack that goes on until a test ends it, because only then the stack waits for requests."""

import contextlib
import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

Tree = dict[str, Any]


def deployed_template(stacks: Any, stack: str) -> Tree:
    """The template as it was deployed, before SAM's transform."""
    body: Any = stacks.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    found: Tree = json.loads(json.dumps(yaml_parse(body) if isinstance(body, str) else body, default=str))
    return found


@contextlib.contextmanager
def held_update(stacks: Any, stack: str, body: Tree, start: Callable[[Tree], None]) -> Iterator[None]:
    """Keep a stack in the middle of an update while the block runs. It waits for a signal when the rest is done."""
    number = uuid.uuid4().hex[:8]
    handle, waiting = f"Handle{number}", f"Waiting{number}"
    start({**body, "Resources": {**body["Resources"], **_waiting(handle, waiting, list(body["Resources"]))}})
    while not _events(stacks, stack, waiting):
        time.sleep(0.1)
    yield
    signal = json.dumps({"Status": "SUCCESS", "UniqueId": "1", "Data": "", "Reason": ""}).encode()
    found = stacks.describe_stack_resource(StackName=stack, LogicalResourceId=handle)
    url = found["StackResourceDetail"]["PhysicalResourceId"]
    with urllib.request.urlopen(urllib.request.Request(url, data=signal, method="PUT", headers={"Content-Type": ""})):  # noqa: S310
        pass
    waiter = stacks.get_waiter("stack_update_complete")
    waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.25, "MaxAttempts": 480})


def _waiting(handle: str, waiting: str, after: list[str]) -> Tree:
    properties = {"Handle": {"Ref": handle}, "Timeout": "300", "Count": 1}
    return {
        handle: {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        waiting: {"Type": "AWS::CloudFormation::WaitCondition", "DependsOn": after, "Properties": properties},
    }


def _events(stacks: Any, stack: str, resource: str) -> list[Any]:
    events = stacks.describe_stack_events(StackName=stack)["StackEvents"]
    return [each for each in events if each["LogicalResourceId"] == resource]
