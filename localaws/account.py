"""The emulated AWS account: its identity, its endpoints, and the clients for it."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import msgspec
from botocore.config import Config

ACCOUNT_ID = "111122223333"  # an account number that AWS keeps for documentation
LOOPBACK = "127.0.0.1"
_SECRET = "local"  # noqa: S105 - the emulator accepts any

_UNREACHABLE_FILE = os.devnull  # in place of a user's AWS configuration


class Account(msgspec.Struct, frozen=True):
    """One emulated account in one Region."""

    endpoint_url: str
    service_quotas_url: str
    region: str
    id: str = ACCOUNT_ID

    def credentials(self) -> dict[str, str]:
        """Return environment variables with an identity in this account only."""
        return {
            "AWS_ACCESS_KEY_ID": self.id,  # the emulator takes a 12-digit key id for the account
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_CONFIG_FILE": _UNREACHABLE_FILE,
            "AWS_SHARED_CREDENTIALS_FILE": _UNREACHABLE_FILE,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return `inherited` with this account's identity and endpoints in place of its AWS settings."""
        kept = {name: value for name, value in inherited.items() if not name.startswith(("AWS_", "SAM_CLI_"))}
        direct = ",".join(filter(None, [kept.get("no_proxy") or kept.get("NO_PROXY"), LOOPBACK, "localhost"]))
        return {
            **kept,
            **self.credentials(),
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_SERVICE_QUOTAS": self.service_quotas_url,
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def cli_config(self) -> str:
        """Return a configuration file for the AWS CLI. Its profile `local` is this account."""
        settings = (
            f"aws_access_key_id = {self.id}\n"
            f"aws_secret_access_key = {_SECRET}\n"
            f"region = {self.region}\n"
            f"endpoint_url = {self.endpoint_url}\n"
            "services = local\n"
        )
        return (
            f"[default]\n{settings}\n[profile local]\n{settings}\n"
            f"[services local]\nservice_quotas =\n  endpoint_url = {self.service_quotas_url}\n"
        )

    def session(self) -> "LocalSession":
        """Return a boto3 session for this account. All its clients are made there."""
        return LocalSession(self)


class LocalSession(boto3.Session):
    """A boto3 session for one emulated account. It ignores the user's own AWS settings."""

    def __init__(self, account: Account) -> None:
        no_user_settings: dict[str, Any] = {
            "profile": (None, None, None, None),
            "config_file": (None, None, _UNREACHABLE_FILE, None),
            "credentials_file": (None, None, _UNREACHABLE_FILE, None),
        }
        super().__init__(
            aws_access_key_id=account.id,
            aws_secret_access_key=_SECRET,
            region_name=account.region,
            botocore_session=botocore.session.Session(session_vars=no_user_settings),
        )
        self._account = account

    if not TYPE_CHECKING:  # type checkers see boto3's own signature, which knows each service's client

        def client(self, service_name, **options):
            """Return boto3's client, with this account's endpoint and no proxy."""
            quotas = service_name == "service-quotas"
            endpoint = self._account.service_quotas_url if quotas else self._account.endpoint_url
            direct = Config(proxies={}, retries={"mode": "standard", "total_max_attempts": 3})
            config = options.pop("config", None)
            options["endpoint_url"] = options.get("endpoint_url") or endpoint
            options["config"] = direct.merge(config) if config else direct
            return super().client(service_name, **options)
