"""The facts about an account that records leave out: its quotas and its application profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.access_denied import is_denied
from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.fetcher.aws_sources import list_application_profiles, list_quotas
from bedrock_quota.model_ids import UNRESOLVED, ApplicationProfile, OutOfScope, Reference
from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.processor.application_profiles import read_profile_model
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import ListedQuota, list_account_tokens_per_day, quotas_by_pool
from quota_monitor.aws_session import is_expired

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_bedrock import BedrockClient

MAX_PROFILES = 1_000
"""Application profiles that are looked up one by one, because the list did not have them."""

QUOTA_ACTIONS = ("servicequotas:ListServiceQuotas", "servicequotas:ListAWSDefaultServiceQuotas")

PROFILE_ACTIONS = ("bedrock:ListInferenceProfiles", "bedrock:GetInferenceProfile")

Value = TypeVar("Value")


class Account(msgspec.Struct, frozen=True):
    """An account in one Region. `notes` say what could not be read, and which right is missing."""

    account_id: str = ""
    region: str = ""
    listed: tuple[ListedQuota, ...] = ()
    quotas: Mapping[QuotaPool, PoolQuota] = {}
    account_tokens_per_day: float | None = None
    profiles: Mapping[str, Reference] = {}
    notes: tuple[str, ...] = ()


def read_account(session: boto3.Session, registry: Registry, region: str | None = None) -> Account:
    """Read what is known of an account in a Region, by default that of the session.

    A right that is missing, or a Region without a list of quotas, costs only what it would show.

    Raises botocore errors that are not refusals, such as missing credentials.
    """
    region = region or session.region_name
    notes: list[str] = []

    def attempt(read: Callable[[], Value], loss: str, right: str) -> Value | None:
        try:
            return read()
        except (ClientError, QuotaFetchError) as error:
            cause = error if isinstance(error, ClientError) else error.__cause__
            if isinstance(cause, ClientError) and is_denied(cause):
                notes.append(f"{loss}, because these credentials may not list them ({right}).")
            elif isinstance(error, QuotaFetchError) and not (isinstance(cause, Exception) and is_expired(cause)):
                notes.append(f"{loss}: {error}.")
            else:
                raise cause or error from None
            return None

    identity = session.client("sts").get_caller_identity()["Account"]
    listed = attempt(
        lambda: list_quotas(session.client("service-quotas", region_name=region)),
        "There are no percentages without the quotas",
        " and ".join(QUOTA_ACTIONS),
    )
    listed = listed or []
    profiles = attempt(
        lambda: list_application_profiles(session.client("bedrock", region_name=region)),
        "Calls through application inference profiles may be out of scope",
        PROFILE_ACTIONS[0],
    )
    daily = [quota.value for quota in list_account_tokens_per_day(listed, registry) if quota.value is not None]
    return Account(
        account_id=identity,
        region=region or "",
        listed=tuple(listed),
        quotas=quotas_by_pool(listed, registry),
        account_tokens_per_day=daily[0] if daily else None,
        profiles=profiles or {},
        notes=tuple(notes),
    )


class Profiles:
    """Finds the model behind an application profile: from the list, then from Bedrock, each once."""

    def __init__(self, known: Mapping[str, Reference], client: BedrockClient | None) -> None:
        self._known: dict[str, Reference | OutOfScope] = dict(known)
        self._client, self._asked = client, 0

    def resolve(self, profile: ApplicationProfile) -> Reference | OutOfScope:
        """Return the model and endpoint type behind a profile. One that cannot be resolved is out of scope.

        Propagates botocore errors of an expired session.
        """
        found = self._known.get(profile.arn)
        if found is not None:
            return found
        if self._client is None or self._asked >= MAX_PROFILES:
            return UNRESOLVED
        self._asked += 1
        try:
            found = read_profile_model(profile, self._client)
        except (ClientError, BotoCoreError) as error:
            if is_expired(error):
                raise
            found = UNRESOLVED  # counted as out of scope, with this reason
        self._known[profile.arn] = found
        return found
