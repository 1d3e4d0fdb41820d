"""A boto3 session for the emulated AWS account. Apart from `localaws.account`, because boto3 is slow to import."""

from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from localaws.account import SECRET, UNREACHABLE_FILE, Account


class LocalSession(boto3.Session):
    """A boto3 session for one emulated account. It ignores the user's own AWS settings."""

    def __init__(self, account: Account) -> None:
        no_user_settings: dict[str, Any] = {
            "profile": (None, None, None, None),
            "config_file": (None, None, UNREACHABLE_FILE, None),
            "credentials_file": (None, None, UNREACHABLE_FILE, None),
        }
        super().__init__(
            aws_access_key_id=account.id,
            aws_secret_access_key=SECRET,
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
