"""Record what IAM would be asked while the functions run, with the policies of that moment."""

import functools
import threading
from typing import Any

import msgspec

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
    """Gets the calls that reach a proxy. `requests` has each distinct one, with the ARN of the role."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.requests: list[tuple[str, Request]] = []
        self._turn = threading.Lock()
        self._seen: set[tuple[str, Authorization, bytes]] = set()
        self._tags: dict[str, dict[str, str]] = {}
        proxy.observe = self.observe

    def observe(self, call: Call) -> None:
        """Record a call before it is carried out, unless a test made the function, which has other tables then."""
        if not (call.role and call.function.endswith("Function")):
            return
        role = call.role.rpartition("/")[2]
        policies = self.policies(role) if call.function.endswith(CUSTOM_RESOURCES) else self._first_policies(role)
        written = msgspec.json.encode(policies)
        with self._turn:
            for asked in read_call(call, self._tags):
                if (role, asked, written) not in self._seen:
                    self._seen.add((role, asked, written))
                    self.requests.append((call.role, request_of(call.role, asked, policies)))
            if call.operation == "CreateLogGroup":
                group = f"arn:aws:logs:{call.region}:{ACCOUNT_ID}:log-group:{call.parameters['logGroupName']}"
                self._tags.setdefault(group, dict(call.parameters.get("tags", {})))

    def policies(self, role: str) -> dict[str, Any]:
        """Return a role's policies, by name."""
        iam = self._iam()
        return {
            name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        }

    _first_policies = functools.cache(policies)

    @functools.cache  # noqa: B019 - one recorder lives as long as the tests
    def _iam(self) -> Any:
        return self.proxy.account.session().client("iam")


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
