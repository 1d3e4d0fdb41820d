"""The IAM policy that `analyze` needs for a source: each action is one that it calls, on what it calls it for.

Resource types and conditions: Service Authorization Reference of Amazon CloudWatch, CloudWatch Logs, Bedrock, S3 and
Service Quotas (read 2026-11-28). GetCallerIdentity needs no right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bedrock_quota.log_sources.s3 import LOGS_FOLDER
from quota_monitor.analyze import estimate
from quota_monitor.analyze.account import PROFILE_ACTIONS, QUOTA_ACTIONS
from quota_monitor.analyze.bucket import check_place
from quota_monitor.analyze.log_group import EXISTS_ACTION, LOGGING_ACTION
from quota_monitor.analyze.publish.policy import list_statements

VERSION = "2012-10-17"


def write_policy(given: Mapping[str, Any]) -> str:
    """Return the policy for the source that options select, as JSON. Raises `click.UsageError`.

    Local files need no rights, unless an option names an account.
    """
    statements: list[dict[str, Any]] = []
    if given.get("publish"):
        statements += list_statements(given["publish"], given["log_group"] or "*", _partition(given))
        statements += _read_bucket(*check_place(given["bucket"]), _partition(given)) if given["bucket"] else []
        return json.dumps({"Version": VERSION, "Statement": statements}, indent=2)
    if not given["files"] or given["profiles"] or given["regions"]:
        statements += [*_read_account(given), _read_bodies(given)]
    if given["bucket"]:
        statements += _read_bucket(*check_place(given["bucket"]), _partition(given))
    elif not given["files"]:
        statements += _read_log_group(given)
    return json.dumps({"Version": VERSION, "Statement": statements}, indent=2)


def _read_bodies(given: Mapping[str, Any]) -> dict[str, Any]:
    return _allow("RequestsOver100KB", ["s3:GetObject"], f"arn:{_partition(given)}:s3:::*/AWSLogs/*/{LOGS_FOLDER}/*")


def _read_account(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    list_profiles, read_profile = PROFILE_ACTIONS
    profile = f"arn:{_partition(given)}:bedrock:*:*:application-inference-profile/*"
    return [
        _allow("Quotas", QUOTA_ACTIONS, "*"),
        _allow("ApplicationProfiles", [list_profiles], "*"),
        _allow("ApplicationProfile", [read_profile], profile),
    ]


def _read_log_group(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    partition, name = _partition(given), given["log_group"]
    regions = given["regions"] or ("*",)
    group = [f"arn:{partition}:logs:{region}:*:log-group:{name or '*'}" for region in regions]
    # with and without the stars of all log streams, because AWS's documentation has both for these actions
    groups = [*group, *(f"{each}:*" for each in group)] if name else group
    statements = [] if name else [_allow("WhereBedrockLogs", [LOGGING_ACTION], "*")]
    if given["whole_records"]:
        statements.append(_allow("Records", ["logs:FilterLogEvents"], groups))
    else:
        statements.append(_allow("Query", ["logs:StartQuery"], groups))
        statements.append(_allow("Results", ["logs:GetQueryResults", "logs:StopQuery"], "*"))
    statements.append(_allow("LogGroupExists", [EXISTS_ACTION], groups))
    statements.append(_allow("Estimate", [estimate.ACTION], "*"))
    return statements


def _read_bucket(bucket: str, prefix: str, partition: str) -> list[dict[str, Any]]:
    arn = f"arn:{partition}:s3:::{bucket}"
    below = prefix.rstrip("/")
    listing = _allow("List", ["s3:ListBucket"], arn)
    if below:
        listing["Condition"] = {"StringLike": {"s3:prefix": [below, f"{below}/*"]}}
    return [listing, _allow("Records", ["s3:GetObject"], f"{arn}/{below}/*" if below else f"{arn}/*")]


def _allow(name: str, actions: Sequence[str], resource: str | Sequence[str]) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _partition(given: Mapping[str, Any]) -> str:
    """Return the partition of the Regions, `aws` if none is named."""
    first = next(iter(given["regions"]), "")
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(
        "us-gov" if first.startswith("us-gov-") else first.partition("-")[0], "aws"
    )
