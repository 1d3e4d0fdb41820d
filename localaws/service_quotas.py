"""Answer the part of the Service Quotas API that lists quotas of the service `bedrock`, from a data file.

Source of operations, shapes and errors: botocore's service model `service-quotas` 2019-06-24 (protocol JSON 1.1).
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

SERVICE_CODE = "bedrock"
SERVICE_NAME = "Amazon Bedrock"
TARGET_PREFIX = "ServiceQuotasV20190624."
DATA_FILE = Path(__file__).parent / "data" / "service_quotas.json"

_MAX_RESULTS = 100


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
        self._operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "ListServiceQuotas": self._list_service_quotas,
            "ListAWSDefaultServiceQuotas": self._list_aws_default_service_quotas,
            "GetServiceQuota": self._get_service_quota,
            "GetAWSDefaultServiceQuota": self._get_aws_default_service_quota,
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


def _page(request: Mapping[str, Any], quotas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    size = request.get("MaxResults", _MAX_RESULTS)
    if not isinstance(size, int) or not 1 <= size <= _MAX_RESULTS:
        raise ServiceQuotasError("IllegalArgumentException", f"MaxResults is not from 1 to {_MAX_RESULTS}: {size!r}")
    first = _position(request.get("NextToken"), len(quotas))
    page: dict[str, Any] = {"Quotas": list(quotas[first : first + size])}
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
