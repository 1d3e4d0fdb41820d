"""Translate a recorded call into what IAM is asked: actions, resources and condition keys.

Actions and resources are those of the Service Authorization Reference, from the evaluator's data. That has no API
operations, so the few whose actions have another name are listed here.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from iam import evaluator
from localaws.account import ACCOUNT_ID
from localaws.fault_proxy import Call

PREFIXES = {"service-quotas": "servicequotas"}
"""IAM's prefix of a service, where it is not botocore's name for it."""

ACTIONS = {
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html (read 2026-11-28)
    "sqs:SendMessageBatch": "sqs:SendMessage",
    # https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (read 2026-11-29)
    "lambda:Invoke": "lambda:InvokeFunction",
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html (read 2026-11-24)
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
}
"""IAM's action for an operation, where it is not one of the operation's name."""

BEDROCK = "bedrock.amazonaws.com"


class Authorization(msgspec.Struct, frozen=True):
    """One question to IAM. The context is sorted."""

    action: str
    resource: str
    context: tuple[tuple[str, str | tuple[str, ...]], ...] = ()


def read_action(call: Call) -> str:
    """Return the action that an operation takes."""
    name = f"{PREFIXES.get(call.service, call.service)}:{call.operation}"
    return ACTIONS.get(name, name)


def any_resource(action: str) -> str:
    """Return some resource that an action can be on."""
    return next((re.sub(r"\$\{\w+\}", "x", template) for template in _templates(action)), "*")


def access_level(action: str) -> str:
    """Return the kind of access that AWS counts an action to, for example `Read`."""
    service, _, name = action.partition(":")
    return str(evaluator.read_data("actions", service)[name.lower()]["accessLevel"])


def read_call(call: Call, tags: Mapping[str, Mapping[str, str]]) -> Iterator[Authorization]:
    """Yield what a call needs. `tags` are those of log groups, by ARN."""
    given = call.parameters
    context: dict[str, Any] = {
        "aws:PrincipalAccount": ACCOUNT_ID,
        "aws:PrincipalArn": call.role,
        "aws:RequestedRegion": call.region,
        "aws:SecureTransport": "true",  # as on AWS, where the functions know https endpoints only
    }
    if call.operation == "DeleteObjects":
        # An object's version takes both actions (S3 API reference, DeleteObjects, "Permissions", read 2026-11-28).
        for each in given["Objects"]:
            for action in ("s3:DeleteObject", "s3:DeleteObjectVersion")[: 1 + ("VersionId" in each)]:
                yield from _asked(action, call, {**given, **each}, context)
        return
    of_request = {f"aws:RequestTag/{key}": value for key, value in given.get("tags", {}).items()}
    if of_request:
        context = {**context, **of_request, "aws:TagKeys": tuple(given["tags"])}
    yield from _asked(read_action(call), call, given, context, tags)
    if call.operation == "CreateLogGroup" and of_request:
        yield from _asked("logs:TagResource", call, given, context)
    role = given.get("loggingConfig", {}).get("cloudWatchConfig", {}).get("roleArn")
    if role is not None:  # who hands a service a role needs it (IAM User Guide, id_roles_use_passrole)
        context = {**context, "iam:PassedToService": BEDROCK}
        yield _authorization("iam:PassRole", role, context)


def _asked(
    action: str,
    call: Call,
    given: Mapping[str, Any],
    context: Mapping[str, Any],
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Authorization]:
    found = _resource(action, call.region, given)
    of_resource = {f"aws:ResourceTag/{key}": value for key, value in (tags or {}).get(found, {}).items()}
    yield _authorization(action, found, {**context, **of_resource})
    if re.fullmatch(r"arn:[\w-]+:logs:[^:]+:[^:]+:log-group:[^:]+", found):
        # The Service Authorization Reference has this ARN, and AWS's refusals have the other one (CloudWatch Logs User
        # Guide, "Overview of managing access permissions to your CloudWatch Logs resources", read 2026-11-28).
        yield _authorization(action, f"{found}:log-stream:", {**context, **of_resource})


def _authorization(action: str, resource: str, context: Mapping[str, Any]) -> Authorization:
    return Authorization(action, resource, tuple(sorted(context.items())))


def _resource(action: str, region: str, given: Mapping[str, Any]) -> str:
    """Return what an action is on: an ARN among the parameters, the ARN that they fill in, or `*` if it takes none."""
    templates = _templates(action)
    if not templates:
        return "*"
    service = action.partition(":")[0]
    for value in given.values():
        if isinstance(value, str) and value.startswith("arn:") and value.split(":")[2] == service:
            return value
    # CloudWatch has one dataset, which is called so (CloudWatch API reference, GetDataset, read 2026-11-28)
    values = {"Partition": "aws", "Region": region, "Account": ACCOUNT_ID, "DatasetId": "default", **_values(given)}
    filled = [found for template in templates if (found := _filled(template, values))]
    assert filled, f"{action} is on one of {templates}, and the call has {sorted(given)}"
    return filled[0]


@functools.cache
def _templates(action: str) -> Sequence[str]:
    service, _, name = action.partition(":")
    known = evaluator.read_data("actions", service)
    assert name.lower() in known, f"there is no action {action}: which actions does this operation need?"
    types = evaluator.read_data("resourceTypes", service)
    return [types[each["name"].lower()]["arn"] for each in known[name.lower()]["resourceTypes"]]


def _filled(template: str, values: Mapping[str, str]) -> str | None:
    names = re.findall(r"\$\{(\w+)\}", template)
    return re.sub(r"\$\{(\w+)\}", lambda name: values[name[1]], template) if values.keys() >= set(names) else None


def _values(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters by the names that ARNs have for them."""
    texts = {f"{key[0].upper()}{key[1:]}": value for key, value in given.items() if isinstance(value, str)}
    renamed = {
        "BucketName": texts.get("Bucket"),
        "ObjectName": texts.get("Key"),
        "QueueName": texts.get("QueueUrl", "").rpartition("/")[2],
        "ParameterNameWithoutLeadingSlash": texts.get("Name", "").removeprefix("/"),
        "ResourceId": texts.get("InferenceProfileIdentifier"),
    }
    return {**texts, **{name: value for name, value in renamed.items() if value}}
