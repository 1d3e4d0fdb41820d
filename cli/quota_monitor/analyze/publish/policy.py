"""The rights that publishing needs, as statements of an IAM policy.

Resource types: Service Authorization Reference of AWS CloudFormation, Amazon CloudWatch, CloudWatch Logs, DynamoDB and
AWS Lambda (read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def list_statements(stack: str, log_group: str, partition: str = "aws") -> list[dict[str, Any]]:
    """Return the statements for a stack and the log group that it reads. S3 also needs the rights of `--s3`."""

    def allow(name: str, actions: Sequence[str], *resources: str) -> dict[str, Any]:
        found = [each if each == "*" else f"arn:{partition}:{each}" for each in resources]
        resource = found[0] if len(found) == 1 else found
        return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": resource}

    group = f"logs:*:*:log-group:{log_group}"
    in_group = ("logs:DescribeSubscriptionFilters", "logs:FilterLogEvents")
    return [
        allow(
            "Stack",
            ["cloudformation:DescribeStacks", "cloudformation:ListStackResources"],
            f"cloudformation:*:*:stack/{stack}/*",
        ),
        allow("OlderRecords", in_group, group, f"{group}:*"),  # AWS's documentation has both forms
        allow("BoundaryAndSize", ["cloudwatch:GetMetricData"], "*"),  # it takes no resource
        allow("Processor", ["lambda:InvokeFunction"], f"lambda:*:*:function:{stack}-MetricProcessorFunction-*"),
        allow(
            "Progress",
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
            f"dynamodb:*:*:table/{stack}-StateTable-*",
        ),
    ]
