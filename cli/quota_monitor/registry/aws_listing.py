"""Listing: models, inference profiles and quotas of Bedrock in one Region, from AWS or from a file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.access_denied import is_denied
from bedrock_quota.errors import QuotaFetchError, QuotaMonitorError
from bedrock_quota.fetcher.aws_sources import list_quotas
from bedrock_quota.registry.quota_names import ListedQuota
from quota_monitor.aws_session import explain_aws_error

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_bedrock.type_defs import FoundationModelSummaryTypeDef

ACTIONS = (
    "bedrock:ListFoundationModels",
    "bedrock:ListInferenceProfiles",
    "servicequotas:ListAWSDefaultServiceQuotas",
    "servicequotas:ListServiceQuotas",
)
"""Actions that the credentials need."""

ACTIVE = "ACTIVE"

Progress = Callable[[str], None]
"""Gets a text about the current step."""


class ListingError(QuotaMonitorError):
    """AWS could not be listed, or a file has no listing. The message says what to do."""


class ListedModel(msgspec.Struct, frozen=True):
    """One entry of ListFoundationModels. Only `id` is always present."""

    id: str
    name: str = ""
    provider: str = ""
    output_modalities: tuple[str, ...] = ()
    inference_types: tuple[str, ...] = ()
    status: str = ACTIVE
    end_of_life: date | None = None


class ListedProfile(msgspec.Struct, frozen=True):
    """One system-defined inference profile and the ids of its models."""

    id: str
    model_ids: tuple[str, ...]


class Listing(msgspec.Struct, frozen=True):
    """Everything that AWS listed on one day (UTC)."""

    region: str
    day: date
    models: tuple[ListedModel, ...]
    profiles: tuple[ListedProfile, ...]
    quotas: tuple[ListedQuota, ...]


def fetch(session: boto3.Session, progress: Progress = lambda _text: None) -> Listing:
    """List models, profiles and quotas with the credentials of a session. Raises `ListingError`."""
    from botocore.config import Config  # noqa: PLC0415 - see `aws_session.open_session`

    config = Config(retries={"mode": "adaptive", "total_max_attempts": 8}, connect_timeout=10, read_timeout=30)
    try:
        bedrock = session.client("bedrock", config=config)
        service_quotas = session.client("service-quotas", config=config)
        progress("Listing foundation models")
        models = _models(bedrock)
        progress("Listing inference profiles")
        profiles = _profiles(bedrock)
        progress("Listing quotas")
        _report_pages(service_quotas, progress)
        listed = list_quotas(service_quotas)
    except (BotoCoreError, ClientError, QuotaFetchError) as error:
        raise ListingError(_explain(error)) from error
    return Listing(session.region_name, datetime.now(UTC).date(), models, profiles, tuple(listed))


def _models(bedrock: BedrockClient) -> tuple[ListedModel, ...]:
    summaries = bedrock.list_foundation_models()["modelSummaries"]
    return tuple(
        ListedModel(
            id=each["modelId"],
            name=each.get("modelName", ""),
            provider=each.get("providerName", ""),
            output_modalities=tuple(each.get("outputModalities", ())),
            inference_types=tuple(each.get("inferenceTypesSupported", ())),
            status=each.get("modelLifecycle", {"status": "ACTIVE"})["status"],
            end_of_life=_end_of_life(each),
        )
        for each in summaries
    )


def _end_of_life(summary: FoundationModelSummaryTypeDef) -> date | None:
    if "modelLifecycle" not in summary or "endOfLifeTime" not in summary["modelLifecycle"]:
        return None
    return summary["modelLifecycle"]["endOfLifeTime"].date()


def _profiles(bedrock: BedrockClient) -> tuple[ListedProfile, ...]:
    pages = bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
    return tuple(
        ListedProfile(
            id=each["inferenceProfileId"],
            model_ids=tuple(
                dict.fromkeys(model["modelArn"].rpartition("/")[2] for model in each["models"] if "modelArn" in model)
            ),
        )
        for page in pages
        for each in page["inferenceProfileSummaries"]
    )


def _report_pages(client: Any, progress: Progress) -> None:
    """Report each page of quotas, because listing them can take half a minute."""
    pages = 0

    def count(**_event: object) -> None:
        nonlocal pages
        pages += 1
        progress(f"Listing quotas, page {pages}")

    client.meta.events.register("after-call.service-quotas", count)


def _explain(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, QuotaFetchError) and error.__cause__ is not None else error
    sentence = explain_aws_error(cause if isinstance(cause, Exception) else error)
    if isinstance(cause, ClientError) and is_denied(cause):
        return f"{sentence} The command needs {', '.join(ACTIONS)}."
    return sentence


def read(path: Path) -> Listing:
    """Read a saved listing. Raises `ListingError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Listing)
    except OSError as error:
        raise ListingError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ListingError(f"{path} is not a listing written with --save: {error}") from error


def save(listing: Listing, path: Path) -> None:
    """Write a listing for `read`. Raises `ListingError`."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(listing), indent=2) + b"\n")
    except OSError as error:
        raise ListingError(f"{path}: {error.strerror}") from error
