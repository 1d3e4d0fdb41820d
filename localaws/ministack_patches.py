"""Run MiniStack 1.5.33 with patches where it differs from AWS: `python -m localaws.ministack_patches`.

- MiniStack reads a finished invocation's log lines from a pipe. It stops after 5 ms without a line, or after 50 ms
  without a first line. On a busy machine later lines are lost, or appear with the next invocation. All lines are in the
  pipe when the function has answered, so the patch reads until the pipe is empty.
- Its CloudFormation deletes a bucket together with its objects. S3 refuses to delete a bucket that is not empty (API
  reference, DeleteBucket, read 2026-11-24), and so does the patch.
- It does not send `Delete` to a custom resource whose creation failed. AWS does so when it rolls back a creation.
- Its CloudFormation ignores `ReservedConcurrentExecutions` of a function, and `PermissionsBoundary` of a role.
- It has other words than CloudFormation for a custom resource that did not answer in time. The patch has AWS's words
  (aws/aws-cdk issue 18746, read 2026-11-28).
- It cannot return its whole state. With the patch, SIGUSR1 makes it write its state to a file.
- It answers 404 for an object that does not exist. S3 answers 403 to a caller without `s3:ListBucket` on the bucket
  (API reference, GetObject, read 2026-11-28). With the patch, functions are callers with the policies of their role.
- Its Logs Insights knows few commands. With the patch, queries are evaluated as in the dashboard preview.
- It renames members of the invocation-logging configuration whose names begin with a capital letter, and returns null
  if there is no configuration. The patch returns what was put, member by member, or no configuration.
- A stack that creates a function stops functions of that name in all Regions. The patch limits this to one Region.
- It has no Observability Access Manager. The patch keeps the sinks of each Region, but no links.
"""

import array
import contextlib
import fcntl
import functools
import inspect
import json
import os
import signal
import termios
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import iam_evaluator, lambda_runtime, persistence, router  # type: ignore[import-untyped]
from ministack.core.lambda_runtime import Worker  # type: ignore[import-untyped]
from ministack.core.responses import (  # type: ignore[import-untyped]
    error_response_json,
    get_account_id,
    get_region,
)
from ministack.services import bedrock, cloudwatch_logs, iam, lambda_svc, s3  # type: ignore[import-untyped]
from ministack.services.cloudformation import custom_resource, provisioners, stacks  # type: ignore[import-untyped]

from localaws import log_queries
from localaws.preview.errors import PreviewError

_WAITS = {"first_line_wait": 0.1, "idle_confirm": 0.1, "hard_cap": 10.0}
"""Seconds to wait after the pipe is empty, in which MiniStack's own thread passes the lines on."""

_LONGEST_SECONDS = 10.0


def main() -> None:
    """Run MiniStack with the patches, as its own command does."""
    os.environ.pop("PYTHONPATH", None)  # the functions must not inherit it
    drain = Worker._drain_stderr_bounded
    unknown = _WAITS.keys() - inspect.signature(drain).parameters.keys()
    if unknown:
        raise RuntimeError(
            f"this version of MiniStack lacks the settings {sorted(unknown)}. Adapt localaws/ministack_patches.py"
        )

    @functools.wraps(drain)
    def drain_all(worker: Any) -> str:
        if worker._proc is not None:  # None if the function has ended
            _await_empty(worker._proc.stderr.fileno())
        return str(drain(worker, **_WAITS))

    Worker._drain_stderr_bounded = drain_all
    custom_resource.invoke_custom_resource = functools.partial(
        _name_no_answer_as_aws, custom_resource.invoke_custom_resource
    )
    _delete_what_failed_to_be_made()
    signal.signal(signal.SIGUSR1, _write_down)
    of_functions = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    of_functions["create"] = functools.partial(_create_with_concurrency, of_functions["create"])
    of_roles = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    of_roles["create"] = functools.partial(_create_with_boundary, of_roles["create"])
    of_buckets = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    of_buckets["delete"] = functools.partial(_delete_if_empty, of_buckets["delete"])
    lambda_runtime.execution_credentials = functools.partial(_with_role, lambda_runtime.execution_credentials)
    s3._get_object = functools.partial(_refuse_to_say_what_is_missing, s3._get_object)
    bedrock._get_logging_config = _return_configuration
    lambda_svc.invalidate_worker = functools.partial(_end_here, lambda_svc.invalidate_worker)
    cloudwatch_logs._start_query = functools.partial(_start_query, cloudwatch_logs._start_query)
    cloudwatch_logs._get_query_results = functools.partial(_get_query_results, cloudwatch_logs._get_query_results)
    router.SERVICE_PATTERNS["oam"] = {"credential_scope": "oam"}
    app.SERVICE_HANDLERS["oam"] = _answer_access_manager
    app.main()


def _start_query(start: Callable[[Any], Any], data: Any) -> Any:
    """Start a query in MiniStack, which checks the request. Then put our results in place of its own."""
    answer = start({**data, "queryString": "fields @message"})
    if answer[0] != HTTPStatus.OK:
        return answer
    query_id = json.loads(answer[2])["queryId"]
    query = cloudwatch_logs._queries[query_id]
    scanned = cloudwatch_logs._collect_query_records(
        cloudwatch_logs._resolve_query_log_groups(data), query["startTime"], query["endTime"]
    )
    events = [{"timestamp": each["_timestamp_ms"], "message": each["@message"]} for each in scanned]
    try:
        found = log_queries.run_query(events, data["queryString"], data.get("limit"))
    except PreviewError as error:
        return error_response_json("MalformedQueryException", str(error), 400)
    query |= {"results": found.results, "statistics": found.statistics, "queryString": data["queryString"]}
    return answer


def _get_query_results(get: Callable[[Any], Any], data: Any) -> Any:
    """Return a page of at most `PAGE_ROWS`, also if the request does not ask for one."""
    return get({**data, "maxItems": min(int(data.get("maxItems") or log_queries.PAGE_ROWS), log_queries.PAGE_ROWS)})


def _return_configuration() -> tuple[int, dict[str, str], bytes]:
    configuration = bedrock._invocation_logging_config.get("config")
    answer = {} if configuration is None else {"loggingConfig": configuration}
    return HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(answer).encode()


_sinks: dict[tuple[str, str], list[dict[str, str]]] = {}
"""Sinks by account and Region."""


async def _answer_access_manager(
    _method: str, path: str, _headers: Any, body: bytes, _query: Any
) -> tuple[int, dict[str, str], bytes]:
    """Answer CreateSink, DeleteSink and ListSinks of the Observability Access Manager."""
    account, region = get_account_id(), get_region()
    sinks = _sinks.setdefault((account, region), [])
    given = json.loads(body or b"{}")
    answer: dict[str, Any] = {}
    if path == "/CreateSink":
        arn = f"arn:aws:oam:{region}:{account}:sink/{len(sinks) + 1}"
        answer = {"Arn": arn, "Id": arn.rpartition("/")[2], "Name": given["Name"]}
        sinks.append(answer)
    elif path == "/DeleteSink":
        sinks[:] = [sink for sink in sinks if sink["Arn"] != given["Identifier"]]
    elif path == "/ListSinks":
        answer = {"Items": sinks}
    else:
        return HTTPStatus.NOT_FOUND, {}, b"{}"
    return HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def _end_here(end: Callable[..., None], function: str, **options: Any) -> None:
    end(function, **{"account": get_account_id(), "region": get_region(), **options})


def _with_role(credentials: Callable[[Any], dict[str, str]], function: Any) -> dict[str, str]:
    """Name the function's role in its session token, which comes with each of its requests."""
    return {**credentials(function), "AWS_SESSION_TOKEN": function["Role"]}


def _refuse_to_say_what_is_missing(
    get: Callable[..., tuple[int, Any, bytes]], bucket: str, key: str, headers: Any, query: Any = None
) -> tuple[int, Any, bytes]:
    answer = get(bucket, key, headers, query)
    role = headers.get("x-amz-security-token", "")
    if answer[0] == HTTPStatus.NOT_FOUND and bucket in s3._buckets and role and not _may_list(role, bucket):
        refused: tuple[int, Any, bytes] = s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}")
        return refused
    return answer


def _may_list(role: str, bucket: str) -> bool:
    account = get_account_id()
    asked = iam_evaluator.EvalContext(
        role, "AssumedRole", account, "s3:ListBucket", f"arn:aws:s3:::{bucket}", get_region()
    )
    policies = iam_evaluator._gather_role_policies(role.rpartition("/")[2], account)
    return bool(iam_evaluator.evaluate(asked, policies).decision == "Allow")


def _delete_if_empty(delete: Callable[[str, Any], None], bucket: str, properties: Any) -> None:
    held = s3._buckets.get(bucket)
    if held is not None and (held["objects"] or s3._bucket_has_versions(bucket)):
        raise RuntimeError(f"The bucket you tried to delete is not empty: {bucket}")
    delete(bucket, properties)


def _delete_what_failed_to_be_made() -> None:
    create, roll_back = provisioners._custom_resource_create, stacks._roll_back_operation
    failed: dict[tuple[str, str], tuple[Any, str]] = {}
    deliver = custom_resource.deliver_response
    answered: dict[tuple[str, str], str] = {}

    def deliver_and_note(token: str, answer: dict[str, Any]) -> bool:
        if answer["Status"] == "FAILED":
            answered[answer["StackId"], answer["LogicalResourceId"]] = answer["PhysicalResourceId"]
        return bool(deliver(token, answer))

    def create_or_note(logical_id: str, properties: Any, stack_name: str, kind: str) -> Any:
        try:
            return create(logical_id, properties, stack_name, kind)
        except Exception:
            failed[stack_name, logical_id] = (properties, kind)
            raise

    async def delete_and_roll_back(name: str, stack_id: str, stack: Any, operation: Any, *more: Any) -> None:
        logical_id = operation.get("failed_logical_id")
        properties, kind = failed.pop((name, logical_id), (None, ""))
        if properties is not None and not operation.get("is_update"):
            stack["StackStatus"] = "ROLLBACK_IN_PROGRESS"
            # the function does not exist or did not answer the creation either, so it created nothing
            with contextlib.suppress(ValueError, TimeoutError):
                physical_id = answered.pop((stack_id, logical_id), "never-answered")
                await stacks.run_reentrant(
                    provisioners._custom_resource_delete, physical_id, properties, name, logical_id, kind
                )
        await roll_back(name, stack_id, stack, operation, *more)

    provisioners._custom_resource_create = create_or_note
    stacks._roll_back_operation = delete_and_roll_back
    custom_resource.deliver_response = deliver_and_note


def _write_down(*_signal: object) -> None:
    held = {name: state() for name, state in app._build_persistence_save_dict().items()}
    directory = Path(os.environ["STATE_DIR"])
    directory.mkdir(exist_ok=True)
    unfinished = directory / "held.unfinished"
    unfinished.write_text(json.dumps(held, default=persistence._json_default), encoding="utf-8")
    unfinished.replace(directory / "held.json")


def _create_with_concurrency(create: Callable[..., Any], logical_id: str, properties: Any, stack_name: str) -> Any:
    name, attributes = create(logical_id, properties, stack_name)
    lambda_svc._functions[name]["concurrency"] = properties.get("ReservedConcurrentExecutions")
    return name, attributes


def _create_with_boundary(create: Callable[..., Any], logical_id: str, properties: Any, stack_name: str) -> Any:
    name, attributes = create(logical_id, properties, stack_name)
    iam._roles[name]["PermissionsBoundary"] = properties.get("PermissionsBoundary")
    return name, attributes


def _name_no_answer_as_aws(invoke: Callable[..., Any], *given: Any, **named: Any) -> Any:
    try:
        return invoke(*given, **named)
    except TimeoutError as error:
        raise TimeoutError(
            "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId "
            "[unknown]."
        ) from error


def _await_empty(pipe: int) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while _unread_bytes(pipe) and time.monotonic() < deadline:
        time.sleep(0.001)


def _unread_bytes(pipe: int) -> int:
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


if __name__ == "__main__":
    main()
