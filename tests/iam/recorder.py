"""Record what IAM would be asked while the functions run, with the policies of that moment."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import botocore.client
import msgspec
import pytest

from iam.authorization import Authorization, read_call
from iam.evaluator import Request
from localaws.account import ACCOUNT_ID
from localaws.fault_proxy import Call, FaultProxy

CUSTOM_RESOURCES = ("LoggingSetupFunction", "BucketEmptyingFunction")
"""Functions that CloudFormation calls, maybe with other policies each time. The other functions must not be delayed."""

KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
"""The policy of a key that was made without one (KMS Developer Guide, "Default key policy", read 2026-11-28)."""


class Recorder:
    """Gets the calls that reach a proxy, and notes the policies that each function's role has at that moment."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self._observed: list[tuple[Call, dict[str, Any]]] = []
        proxy.observe = self.observe

    def observe(self, call: Call) -> None:
        """Note a call before it is carried out, unless a test made the function, which has other tables then."""
        if call.role and call.function.endswith("Function"):
            role = role_name(call.role)
            fresh = call.function.endswith(CUSTOM_RESOURCES)
            self._observed.append((call, self.policies(role) if fresh else self._first_policies(role, call.region)))

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yield each distinct request so far, with the ARN of its role."""
        seen: set[tuple[str, Authorization, bytes]] = set()
        tags: dict[str, dict[str, str]] = {}
        for call, policies in self._observed:
            written = msgspec.json.encode(policies)
            for asked in read_call(call, tags):
                if (call.role, asked, written) not in seen:
                    seen.add((call.role, asked, written))
                    yield call.role, request_of(call.role, asked, policies)
            if call.operation == "CreateLogGroup":
                group = f"arn:aws:logs:{call.region}:{ACCOUNT_ID}:log-group:{call.parameters['logGroupName']}"
                tags.setdefault(group, dict(call.parameters.get("tags", {})))

    def policies(self, role: str) -> dict[str, Any]:
        """Return a role's policies, by name."""
        iam = self._iam()
        return {
            name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        }

    @functools.cache  # noqa: B019 - one recorder lives as long as the tests
    def _first_policies(self, role: str, _region: str) -> dict[str, Any]:
        """Return what a role has at the first call from a Region. Stacks of one name have roles of one name there."""
        return self.policies(role)

    @functools.cache  # noqa: B019 - one recorder lives as long as the tests
    def _iam(self) -> Any:
        return self.proxy.account.session().client("iam")


def role_name(arn: str) -> str:
    """Return the name of a role."""
    return arn.rpartition("/")[2]


@contextlib.contextmanager
def calls_recorded(calls: list[Call]) -> Iterator[None]:
    """Record the calls of this process's clients while the block runs."""
    make = botocore.client.BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: Any) -> Any:
        model = client.meta.service_model
        calls.append(Call("", model.service_name, operation, parameters, region=client.meta.region_name))
        return make(client, operation, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        yield


def request_of(role: str, asked: Authorization, policies: dict[str, Any]) -> Request:
    """Return what a role asks of IAM."""
    return Request(
        principal=f"{role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/session",
        account=ACCOUNT_ID,
        action=asked.action,
        resource=asked.resource,
        context=dict(asked.context),
        policies=policies,
        resource_policy=KEY_POLICY if asked.action.startswith("kms:") else None,
    )
