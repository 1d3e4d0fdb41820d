"""Answer the part of the Service Quotas API on quotas of the service `bedrock`, from a data file.

A request for a larger quota stays `PENDING`, because nobody decides about it here.

Source of operations, shapes and errors: botocore's service model `service-quotas` 2019-06-24 (protocol JSON 1.1).
"""

import base64
import binascii
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

SERVICE_CODE = "bedrock"
SERVICE_NAME = "Amazon Bedrock"
TARGET_PREFIX = "ServiceQuotasV20190624."
DATA_FILE = Path(__file__).parent / "data" / "service_quotas.json"

_MAX_RESULTS = 100
_MAX_DESIRED = 10_000_000_000
"""Largest value that may be asked for (API reference of RequestServiceQuotaIncrease, read 2026-11-29)."""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One quota of the data file. `assumed` and `code_assumed` mark values that AWS does not publish."""

    code: str
    name: str
    default: float
    applied: float | None = None
    adjustable: bool = True
    assumed: bool = False
    code_assumed: bool = False


class QuotaFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data file."""

    quotas: list[Quota]
    about: str = ""


class ServiceQuotasError(Exception):
    """An error in the form of the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ServiceQuotas:
    """The Service Quotas API of one account in one Region."""

    def __init__(self, quotas: Sequence[Quota], *, region: str, account: str) -> None:
        self._quotas = {quota.code: quota for quota in quotas}
        self._region = region
        self._account = account
        self._requested: dict[str, dict[str, Any]] = {}
        self._operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "ListServiceQuotas": self._list_service_quotas,
            "ListAWSDefaultServiceQuotas": self._list_aws_default_service_quotas,
            "GetServiceQuota": self._get_service_quota,
            "GetAWSDefaultServiceQuota": self._get_aws_default_service_quota,
            "RequestServiceQuotaIncrease": self._request_service_quota_increase,
            "ListRequestedServiceQuotaChangeHistory": self._list_requested_changes,
        }

    def answer(self, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and JSON document for a request with this X-Amz-Target."""
        try:
            return 200, self._operation(target)(_request(body))
        except ServiceQuotasError as error:
            return 400, {"__type": error.code, "Message": error.message}

    def _operation(self, target: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        operation = self._operations.get(target.removeprefix(TARGET_PREFIX))
        if operation is None or not target.startswith(TARGET_PREFIX):
            raise ServiceQuotasError("UnknownOperationException", f"unknown operation {target!r}")
        return operation

    def _list_service_quotas(self, request: Mapping[str, Any]) -> dict[str, Any]:
        _check_service(request)
        wanted = request.get("QuotaCode")
        applied = [
            self._applied(quota, quota.applied)
            for quota in self._quotas.values()
            if quota.applied is not None and wanted in {None, quota.code}
        ]
        if wanted is not None and not applied:
            raise _no_such_quota()
        return _page(request, applied)

    def _list_aws_default_service_quotas(self, request: Mapping[str, Any]) -> dict[str, Any]:
        _check_service(request)
        return _page(request, [self._default(quota) for quota in self._quotas.values()])

    def _get_service_quota(self, request: Mapping[str, Any]) -> dict[str, Any]:
        _check_service(request)
        quota = self._find(request)
        if quota.applied is None:
            raise _no_such_quota()
        return {"Quota": self._applied(quota, quota.applied)}

    def _get_aws_default_service_quota(self, request: Mapping[str, Any]) -> dict[str, Any]:
        _check_service(request)
        return {"Quota": self._default(self._find(request))}

    def _request_service_quota_increase(self, request: Mapping[str, Any]) -> dict[str, Any]:
        _check_service(request)
        quota, value = self._find(request), request.get("DesiredValue")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_DESIRED:
            raise ServiceQuotasError(
                "IllegalArgumentException", f"DesiredValue is not a number from 0 to {_MAX_DESIRED}: {value!r}"
            )
        if quota.code in self._requested:
            raise ServiceQuotasError(
                "ResourceAlreadyExistsException", f"a request for the quota {quota.code} is open already"
            )
        shape = self._shape(quota, self._account, quota.default)
        now = int(time.time())
        self._requested[quota.code] = {
            "Id": uuid.uuid4().hex,
            **{name: shape[name] for name in _OF_THE_QUOTA},
            "DesiredValue": float(value),
            "Status": "PENDING",
            "Created": now,
            "LastUpdated": now,
            "Requester": json.dumps({"accountId": self._account, "callerArn": f"arn:aws:iam::{self._account}:root"}),
            "QuotaRequestedAtLevel": "ACCOUNT",
        }
        return {"RequestedQuota": self._requested[quota.code]}

    def _list_requested_changes(self, request: Mapping[str, Any]) -> dict[str, Any]:
        wanted = request.get("Status")
        if request.get("ServiceCode") is not None:
            _check_service(request)
        found = [each for each in self._requested.values() if wanted in {None, each["Status"]}]
        return _page(request, found, "RequestedQuotas")

    def _find(self, request: Mapping[str, Any]) -> Quota:
        quota = self._quotas.get(str(request.get("QuotaCode")))
        if quota is None:
            raise _no_such_quota()
        return quota

    def _applied(self, quota: Quota, value: float) -> dict[str, Any]:
        return {**self._shape(quota, self._account, value), "QuotaAppliedAtLevel": "ACCOUNT"}

    def _default(self, quota: Quota) -> dict[str, Any]:
        return self._shape(quota, "", quota.default)  # the ARN of a default has no account

    def _shape(self, quota: Quota, account: str, value: float) -> dict[str, Any]:
        return {
            "ServiceCode": SERVICE_CODE,
            "ServiceName": SERVICE_NAME,
            "QuotaArn": f"arn:aws:servicequotas:{self._region}:{account}:{SERVICE_CODE}/{quota.code}",
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": value,
            "Unit": "None",
            "Adjustable": quota.adjustable,
            "GlobalQuota": False,
        }


_OF_THE_QUOTA = ("ServiceCode", "ServiceName", "QuotaArn", "QuotaCode", "QuotaName", "Unit", "GlobalQuota")
"""Members that a request has of its quota."""


def load(path: Path = DATA_FILE) -> list[Quota]:
    """Read the quotas of a data file. Raises `ValueError` if a code is there twice."""
    quotas = msgspec.json.decode(path.read_bytes(), type=QuotaFile).quotas
    seen: set[str] = set()
    for quota in quotas:
        if quota.code in seen:
            raise ValueError(f"{path}: quota {quota.code} is there twice")
        seen.add(quota.code)
    return quotas


def _request(body: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceQuotasError("SerializationException", f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise ServiceQuotasError("SerializationException", "the body is not a JSON object")
    return request


def _check_service(request: Mapping[str, Any]) -> None:
    if request.get("ServiceCode") != SERVICE_CODE:
        raise ServiceQuotasError(
            "NoSuchResourceException", f"here is no service {request.get('ServiceCode')!r}, only {SERVICE_CODE!r}"
        )


def _no_such_quota() -> ServiceQuotasError:
    return ServiceQuotasError("NoSuchResourceException", "the account has no such quota")


def _page(request: Mapping[str, Any], quotas: Sequence[dict[str, Any]], name: str = "Quotas") -> dict[str, Any]:
    size = request.get("MaxResults", _MAX_RESULTS)
    if not isinstance(size, int) or not 1 <= size <= _MAX_RESULTS:
        raise ServiceQuotasError("IllegalArgumentException", f"MaxResults is not from 1 to {_MAX_RESULTS}: {size!r}")
    first = _position(request.get("NextToken"), len(quotas))
    page: dict[str, Any] = {name: list(quotas[first : first + size])}
    if first + size < len(quotas):
        page["NextToken"] = base64.urlsafe_b64encode(str(first + size).encode()).decode()
    return page


def _position(token: object, end: int) -> int:
    if token is None:
        return 0
    try:
        position = int(base64.urlsafe_b64decode(str(token)).decode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise ServiceQuotasError("InvalidPaginationTokenException", "this NextToken was not given out here") from error
    if not 0 < position < end:
        raise ServiceQuotasError("InvalidPaginationTokenException", "this NextToken leads nowhere")
    return position
