"""Application inference profiles: the model and endpoint type behind each, which only Bedrock knows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bedrock_quota import clients, model_ids
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.state import table

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

_logger = logging.getLogger(__name__)

CIRCUIT_OPEN_SECONDS = 60
"""Time for which a service is not called after it did not answer. A delivery must not wait for each profile."""

SECONDS_PER_DELIVERY = 10.0
"""Total time for the profiles of one delivery, if every answer is slow."""

UNRESOLVED_SECONDS = 300
"""Time for which an unresolvable profile is not looked up again."""

MAX_PROFILE_ARN = 256
"""No profile has a longer ARN: its id has up to 64 characters (API reference of GetInferenceProfile, read 2026-11-25).
Longer ones are not kept."""

MAX_PROFILES = 10_000
"""Profiles that one container remembers before it starts again."""

UNRESOLVED = OutOfScope("unresolved_profile")


def read_profile_model(profile: ApplicationProfile, client: BedrockClient) -> Reference | OutOfScope:
    """Return the model behind a profile from GetInferenceProfile, which takes "the ID or ARN".

    Propagates botocore errors.
    """
    models = client.get_inference_profile(inferenceProfileIdentifier=profile.profile_id)["models"]
    return model_ids.resolve_profile_models(tuple(model.get("modelArn", "") for model in models))


class CircuitBreaker:
    """A circuit breaker: False for `CIRCUIT_OPEN_SECONDS` after a service did not answer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._not_until = clock, float("-inf")

    def __bool__(self) -> bool:
        return self._clock() >= self._not_until

    def failed(self, error: Exception) -> None:
        """Open the circuit after a failed call, unless the service answered. Throttling to the end is no answer."""
        answer = getattr(error, "response", None)
        if not answer or answer.get("ResponseMetadata", {}).get("MaxAttemptsReached"):
            self._not_until = self._clock() + CIRCUIT_OPEN_SECONDS


class ProfileResolver:
    """Resolves application profiles: from memory, then from the state table, then from Bedrock.

    An unresolvable profile is out of scope, is named once in the log, and is looked up again after
    `UNRESOLVED_SECONDS`. If no service answers, it is looked up again as soon as one does.
    """

    def __init__(self, table: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._table, self._clock = table, clock
        self._known: dict[str, Reference] = {}
        self._unresolved: dict[str, float] = {}
        self._bedrock, self._state = CircuitBreaker(clock), CircuitBreaker(clock)
        self._deadline = float("inf")

    def begin(self) -> None:
        """Begin a delivery: it has `SECONDS_PER_DELIVERY` for all its profiles."""
        self._deadline = self._clock() + SECONDS_PER_DELIVERY

    def learn(self, found: Mapping[str, Reference]) -> None:
        """Remember the profiles that the fetcher has resolved, by ARN."""
        self._known.update(found)

    def resolve(self, profile: ApplicationProfile) -> Reference | OutOfScope:
        """Return the model and endpoint type behind a profile. Never raises."""
        if len(profile.arn) > MAX_PROFILE_ARN:
            return UNRESOLVED
        known = self._known.get(profile.arn)
        if known is not None:
            return known
        if self._clock() < self._unresolved.get(profile.arn, float("-inf")):
            return UNRESOLVED
        found = self._read_stored(profile) or self._ask_bedrock(profile)
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

    def _read_stored(self, profile: ApplicationProfile) -> Reference | None:
        if self._table is None or not self._state or self._is_late():
            return None
        try:
            return table.read_profile(self._table, clients.state(), profile.arn)
        except Exception as error:  # noqa: BLE001 - Bedrock can still be called after any error
            _warn("could not read an application profile from the state table", profile, error)
            self._state.failed(error)
            return None

    def _ask_bedrock(self, profile: ApplicationProfile) -> Reference | OutOfScope | None:
        """Return Bedrock's answer, or None if it does not answer."""
        if not self._bedrock or self._is_late():
            return None
        try:
            found = read_profile_model(profile, clients.bedrock())
        except Exception as error:  # noqa: BLE001 - metrics must flow after any error; counted as out of scope
            _warn("could not resolve an application profile", profile, error)
            self._bedrock.failed(error)
            return UNRESOLVED if self._bedrock else None
        if isinstance(found, OutOfScope):
            _warn("could not resolve an application profile: it does not stand for one model", profile)
            return found
        if self._table is not None and self._state:
            try:
                table.write_profile(self._table, clients.state(), profile.arn, found)
            except Exception as error:  # noqa: BLE001 - the next container asks Bedrock again
                _warn("could not write an application profile to the state table", profile, error)
                self._state.failed(error)
        return found

    def _is_late(self) -> bool:
        return self._clock() >= self._deadline


def _warn(message: str, profile: ApplicationProfile, error: Exception | None = None) -> None:
    reason = {} if error is None else {"error": f"{type(error).__name__}: {error}"}
    _logger.warning(message, extra={"profile_id": profile.profile_id, **reason})
