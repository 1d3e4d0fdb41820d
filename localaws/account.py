"""The emulated AWS account: its identity, its endpoints, and the clients for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from localaws.session import LocalSession

ACCOUNT_ID = "111122223333"  # an account number that AWS keeps for documentation
LOOPBACK = "127.0.0.1"
SECRET = "local"  # noqa: S105 - the emulator accepts any

UNREACHABLE_FILE = os.devnull  # in place of a user's AWS configuration


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
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_CONFIG_FILE": UNREACHABLE_FILE,
            "AWS_SHARED_CREDENTIALS_FILE": UNREACHABLE_FILE,
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
            f"aws_secret_access_key = {SECRET}\n"
            f"region = {self.region}\n"
            f"endpoint_url = {self.endpoint_url}\n"
            "services = local\n"
        )
        return (
            f"[default]\n{settings}\n[profile local]\n{settings}\n"
            f"[services local]\nservice_quotas =\n  endpoint_url = {self.service_quotas_url}\n"
        )

    def session(self) -> LocalSession:
        """Return a boto3 session for this account. All its clients are made there."""
        from localaws.session import LocalSession  # noqa: PLC0415 - boto3 costs half a second, and `--help` needs none

        return LocalSession(self)
