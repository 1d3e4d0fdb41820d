"""Credentials of profiles that are used in several Regions: AWS, or a program, is asked for them once per profile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from quota_monitor.places import Place

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session

MAY_ASK = ("mfa_serial", "credential_process")
"""Settings of a profile with which signing in may ask the user: for an MFA code, or by a program."""


class SharedCredentials:
    """The credentials of one profile. It is a component `credential_provider` of botocore's sessions."""

    def __init__(self, place: Place) -> None:
        from botocore.session import Session  # noqa: PLC0415 - half a second of CPU, which `--help` does not need

        self._session: Session = Session(profile=place.profile)
        region = place.region or os.environ.get("AWS_REGION")
        if region:
            self._session.set_config_variable("region", region)
        self._lock = threading.Lock()
        self._failure: BotoCoreError | ClientError | None = None

    def load_credentials(self) -> Credentials | None:
        """Return the credentials, the same for all sessions. Botocore renews them once for all.

        Propagates botocore errors, the same ones at each call.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                return self._session.get_credentials()
            except (BotoCoreError, ClientError) as error:
                self._failure = error
                raise

    def may_ask(self) -> bool:
        """Return True if signing in may ask the user."""
        return any(name in self._session.get_scoped_config() for name in MAY_ASK)

    def share(self, session: Session) -> None:
        """Have a session use these credentials."""
        session.register_component("credential_provider", self)


def sign_in(places: Iterable[Place]) -> Mapping[str | None, SharedCredentials]:
    """Return the credentials of each profile. Those that may ask the user do so here, one after the other.

    A profile that cannot sign in fails again, with its reason, when a place uses it.
    """
    found: dict[str | None, SharedCredentials] = {}
    for place in places:
        if place.profile in found:
            continue
        credentials = found[place.profile] = SharedCredentials(place)
        try:
            loaded = credentials.load_credentials() if credentials.may_ask() else None
            if loaded is not None:
                loaded.get_frozen_credentials()
        except (BotoCoreError, ClientError):
            continue
    return found
