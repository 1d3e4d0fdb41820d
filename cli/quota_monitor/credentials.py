"""Credentials of profiles that are used in several Regions: AWS, or a program, is asked for them once per profile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError

from quota_monitor.places import Place

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session

MAY_ASK = ("mfa_serial", "credential_process")
"""Settings of a profile with which signing in may ask the user: for an MFA code, or by a program."""

NO_INPUT = "the profile needs an MFA code, and nobody can be asked for one without a terminal"


class SharedCredentials:
    """The credentials of one profile. It is a component `credential_provider` of botocore's sessions."""

    def __init__(self, place: Place) -> None:
        from botocore.session import Session  # noqa: PLC0415 - half a second of CPU, which `--help` does not need

        self._session: Session = Session(profile=place.profile)
        self._region = place.region or os.environ.get("AWS_REGION")
        self._lock = threading.Lock()
        self._failure: BotoCoreError | ClientError | None = None

    def load_credentials(self) -> Credentials | None:
        """Return the credentials, the same for all sessions. Botocore renews them once for all.

        Propagates botocore errors, the same ones at each call.
        """
        with self._lock, self._remember_failure():
            return self._load()

    def sign_in(self) -> None:
        """Get the keys now if that may ask the user. If it fails, nobody is asked again. Propagates botocore errors.

        botocore asks for an MFA code only when the keys are used, and refuses to ask again for the same credentials.
        """
        with self._lock, self._remember_failure():
            loaded = self._load() if self._may_ask() else None
            if loaded is not None:
                loaded.get_frozen_credentials()

    def share(self, session: Session) -> None:
        """Have a session use these credentials."""
        session.register_component("credential_provider", self)

    def _load(self) -> Credentials | None:
        """Return the credentials. A role is assumed in the Region of the profile, or else in that of the first place.

        The first place may be a Region that the account has not enabled. The other places do not depend on it.
        """
        if self._region and not self._session.get_config_variable("region"):
            self._session.set_config_variable("region", self._region)
        return self._session.get_credentials()

    @contextmanager
    def _remember_failure(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except EOFError as error:
            self._failure = CredentialRetrievalError(provider="assume-role", error_msg=NO_INPUT)
            raise self._failure from error
        except (BotoCoreError, ClientError) as error:
            self._failure = error
            raise

    def _may_ask(self) -> bool:
        """Return True if signing in may ask the user, also for a profile that this one takes its credentials from."""
        profiles, found = self._session.full_config.get("profiles", {}), self._session.get_scoped_config()
        seen: set[str] = set()
        while not any(name in found for name in MAY_ASK):
            source = found.get("source_profile")
            if source is None or source in seen:
                return False
            seen.add(source)
            found = profiles.get(source, {})
        return True


def sign_in(places: Iterable[Place]) -> Mapping[str | None, SharedCredentials]:
    """Return the credentials of each profile. Those that may ask the user do so here, one after the other.

    A profile that cannot sign in fails again, with its reason, when a place uses it.
    """
    found: dict[str | None, SharedCredentials] = {}
    for place in places:
        if place.profile in found:
            continue
        credentials = found[place.profile] = SharedCredentials(place)
        with suppress(BotoCoreError, ClientError):
            credentials.sign_in()
    return found
