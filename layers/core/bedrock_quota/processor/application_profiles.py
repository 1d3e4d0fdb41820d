"""An application inference profile, and the pool it stands for: only Bedrock can say."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bedrock_quota import clients, model_ids
from bedrock_quota.state.table import read_profile, write_profile
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

_logger = logging.getLogger(__name__)

CIRCUIT_OPEN_SECONDS = 60
"""How long nobody is asked after an answer did not come: a delivery of many profiles must not wait for each."""

SECONDS_PER_DELIVERY = 10.0
"""How long one delivery may ask for its profiles in all, where every answer comes but comes late."""

UNRESOLVED_SECONDS = 300
"""How long a profile is left alone of which an answer said that it cannot be resolved."""

MAX_PROFILE_ARN = 256
"""A longer ARN is nobody's, and is not kept: a profile's id has up to 64 characters (API reference of
GetInferenceProfile, read 2026-11-25)."""

MAX_PROFILES = 10_000
"""Profiles one container remembers before it starts anew."""

UNRESOLVED = OutOfScope("unresolved_profile")


def read_profile_model(profile: ApplicationProfile, client: BedrockClient) -> Reference | OutOfScope:
    """Ask GetInferenceProfile, which takes "the ID or ARN", what a profile stands for. Raises what botocore raises."""
    models = client.get_inference_profile(inferenceProfileIdentifier=profile.profile_id)["models"]
    return model_ids.resolve_profile_models(tuple(model.get("modelArn", "") for model in models))


class CircuitBreaker:
    """Whether a service answers: false for a while after it did not, so that nothing waits for it again and again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._not_until = clock, float("-inf")

    def __bool__(self) -> bool:
        return self._clock() >= self._not_until

    def failed(self, error: Exception) -> None:
        """Note a failed call. What the service answered is an answer, unless it was throttled or broken to the end."""
        answer = getattr(error, "response", None)
        if not answer or answer.get("ResponseMetadata", {}).get("MaxAttemptsReached"):
            self._not_until = self._clock() + CIRCUIT_OPEN_SECONDS


class ProfileResolver:
    """Resolves application profiles: from memory, then from the state table, then from Bedrock.

    What cannot be resolved is out of scope, is named once in the log, and is asked for again after some minutes; what
    nobody could be asked about, as soon as somebody answers again.
    """

    def __init__(self, table: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._table, self._clock = table, clock
        self._known: dict[str, Reference] = {}
        self._unresolved: dict[str, float] = {}
        self._bedrock, self._state = CircuitBreaker(clock), CircuitBreaker(clock)
        self._until = float("inf")

    def begin(self) -> None:
        """Begin a delivery: it has `DELIVERY_SECONDS` for all its profiles."""
        self._until = self._clock() + SECONDS_PER_DELIVERY

    def learn(self, found: Mapping[str, Reference]) -> None:
        """Take in what the fetcher found out, by ARN."""
        self._known.update(found)

    def resolve(self, profile: ApplicationProfile) -> Reference | OutOfScope:
        """Return the pool's model and endpoint type behind a profile. Never raises."""
        if len(profile.arn) > MAX_PROFILE_ARN:
            return UNRESOLVED
        known = self._known.get(profile.arn)
        if known is not None:
            return known
        if self._clock() < self._unresolved.get(profile.arn, float("-inf")):
            return UNRESOLVED
        found = self._stored(profile) or self._asked(profile)
        if found is None:
            return UNRESOLVED
        if len(self._known) + len(self._unresolved) >= MAX_PROFILES:
            self._known.clear()
            self._unresolved.clear()
        if isinstance(found, OutOfScope):
            self._unresolved[profile.arn] = self._clock() + UNRESOLVED_SECONDS
        else:
            self._known[profile.arn] = found
        return found

    def _stored(self, profile: ApplicationProfile) -> Reference | None:
        if self._table is None or not self._state or self._late():
            return None
        try:
            return read_profile(self._table, clients.state(), profile.arn)
        except Exception as error:  # noqa: BLE001 - whatever it is, Bedrock can still be asked
            _warn("the state table could not be asked for an application profile", profile, error)
            self._state.failed(error)
            return None

    def _asked(self, profile: ApplicationProfile) -> Reference | OutOfScope | None:
        """Return what Bedrock says, or None if it does not answer."""
        if not self._bedrock or self._late():
            return None
        try:
            found = read_profile_model(profile, clients.bedrock())
        except Exception as error:  # noqa: BLE001 - whatever it is, metrics must flow; counted as out of scope
            _warn("application profile could not be resolved", profile, error)
            self._bedrock.failed(error)
            return UNRESOLVED if self._bedrock else None
        if isinstance(found, OutOfScope):
            _warn("application profile could not be resolved: it does not stand for one model", profile)
            return found
        if self._table is not None and self._state:
            try:
                write_profile(self._table, clients.state(), profile.arn, found)
            except Exception as error:  # noqa: BLE001 - the next container asks Bedrock again
                _warn("the state table could not keep an application profile", profile, error)
                self._state.failed(error)
        return found

    def _late(self) -> bool:
        return self._clock() >= self._until


def _warn(message: str, profile: ApplicationProfile, error: Exception | None = None) -> None:
    reason = {} if error is None else {"error": f"{type(error).__name__}: {error}"}
    _logger.warning(message, extra={"profile_id": profile.profile_id, **reason})
