"""Application inference profiles: the model and endpoint type behind each, which only Bedrock knows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bedrock_quota import clients, model_ids
from bedrock_quota.model_ids import UNRESOLVED, ApplicationProfile, OutOfScope, Reference
from bedrock_quota.state import table

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

_logger = logging.getLogger(__name__)

CIRCUIT_OPEN_SECONDS = 60
"""Time for which a service is not called after it did not answer. A delivery must not wait for each profile."""

SECONDS_PER_DELIVERY = 10.0
"""Total time for the profiles of one delivery, if every answer is slow."""

SECONDS_PER_CALL = 5.0
"""Longest call of the state table or Bedrock: two attempts of 1 s to connect and 1 s to answer, and 1 s in between.

No call begins with less of the delivery's time left. Only an answer that arrives a byte at a time takes longer.
"""

UNRESOLVED_SECONDS = 300
"""Time for which an unresolvable profile is not looked up again."""

MAX_PROFILE_ARN = 256
"""No profile has a longer ARN: its id has up to 64 characters (API reference of GetInferenceProfile, read 2026-11-25).
Longer ones are not kept."""

MAX_PROFILES = 10_000
"""Profiles that one container remembers, beside those that the fetcher has resolved."""

MAX_LOOK_UPS = 200
"""Profiles looked up for one delivery. The rest is out of scope."""

FAILURES_TO_OPEN = 2
"""Failed calls in a row after which a service counts as unreachable: one name that fails costs the others nothing."""


def read_profile_model(profile: ApplicationProfile, client: BedrockClient) -> Reference | OutOfScope:
    """Return the model behind a profile from GetInferenceProfile, which takes "the ID or ARN".

    Propagates botocore errors.
    """
    models = client.get_inference_profile(inferenceProfileIdentifier=profile.profile_id)["models"]
    return model_ids.resolve_profile_models(tuple(model.get("modelArn", "") for model in models))


class CircuitBreaker:
    """A circuit breaker: False for `CIRCUIT_OPEN_SECONDS` after a service did not answer some times in a row."""

    def __init__(self, clock: Callable[[], float], failures_to_open: int = FAILURES_TO_OPEN) -> None:
        self._clock, self._closed_at, self._failures = clock, float("-inf"), 0
        self._failures_to_open = failures_to_open

    def __bool__(self) -> bool:
        return self._clock() >= self._closed_at

    def answered(self) -> None:
        """Note that the service has answered."""
        self._failures = 0

    def failed(self, error: Exception) -> bool:
        """Note a failed call, and return True if the service has answered. Throttling to the end is no answer."""
        answer = getattr(error, "response", None)
        if answer and not answer.get("ResponseMetadata", {}).get("MaxAttemptsReached"):
            self._failures = 0
            return True
        self._failures += 1
        if self._failures >= self._failures_to_open:
            self.open()
        return False

    def open(self) -> None:
        """Have the service left alone for `CIRCUIT_OPEN_SECONDS`."""
        self._failures, self._closed_at = 0, self._clock() + CIRCUIT_OPEN_SECONDS


class ProfileResolver:
    """Resolves application profiles: from memory, then from the state table, then from Bedrock.

    An unresolvable profile is out of scope, is named once in the log, and is looked up again after
    `UNRESOLVED_SECONDS`. If no service answers, it is looked up again as soon as one does.
    """

    def __init__(self, table: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._table, self._clock = table, clock
        self._learned: Mapping[str, Reference] = {}
        self._known: dict[str, Reference] = {}
        self._unresolved: dict[str, float] = {}
        # If reading a profile from the state table times out, writing it would too.
        self._bedrock, self._state = CircuitBreaker(clock), CircuitBreaker(clock, failures_to_open=1)

    def learn(self, found: Mapping[str, Reference]) -> None:
        """Remember the profiles that the fetcher has resolved, by ARN, in place of those of its last fetch."""
        self._learned = found

    def restore(self, found: Mapping[str, Reference]) -> None:
        """Remember profiles that were resolved when their calls were set aside, by ARN, unless they are known."""
        self._make_room()
        for arn, reference in found.items():
            self._known.setdefault(arn, reference)

    def find(self, profile: ApplicationProfile) -> Reference | OutOfScope | None:
        """Return the model and endpoint type behind a profile from memory; None if it must be looked up first."""
        if len(profile.arn) > MAX_PROFILE_ARN:
            return UNRESOLVED
        known = self._learned.get(profile.arn) or self._known.get(profile.arn)
        if known is None and self._clock() < self._unresolved.get(profile.arn, float("-inf")):
            return UNRESOLVED
        return known

    def look_up(self, needed: Mapping[ApplicationProfile, int]) -> None:
        """Look up profiles that are not in memory, those with the most calls first. Never raises.

        `needed` has the number of calls that need each. At most `MAX_LOOK_UPS` of them are looked up, and one delivery
        has `SECONDS_PER_DELIVERY` for all.
        """
        self._make_room()
        last_start = self._clock() + SECONDS_PER_DELIVERY - SECONDS_PER_CALL
        by_calls = sorted(needed, key=lambda profile: (-needed[profile], profile.arn))
        for profile in by_calls[:MAX_LOOK_UPS]:
            if self._clock() > last_start or not (self._state or self._bedrock):
                return
            found = self._read_stored(profile) or self._ask_bedrock(profile, last_start)
            if found is not None:
                self._remember(profile, found)

    def _make_room(self) -> None:
        """Forget enough for another look-up: first the profiles that could not be resolved, then the oldest."""
        if len(self._known) + len(self._unresolved) > MAX_PROFILES - MAX_LOOK_UPS:
            self._unresolved.clear()
        for arn in list(self._known)[: max(len(self._known) - (MAX_PROFILES - MAX_LOOK_UPS), 0)]:
            del self._known[arn]

    def _remember(self, profile: ApplicationProfile, found: Reference | OutOfScope) -> None:
        if isinstance(found, OutOfScope):
            self._unresolved[profile.arn] = self._clock() + UNRESOLVED_SECONDS
        else:
            self._known[profile.arn] = found

    def _read_stored(self, profile: ApplicationProfile) -> Reference | None:
        if self._table is None or not self._state:
            return None
        try:
            found = table.read_profile(self._table, clients.state(), profile.arn)
        except Exception as error:  # noqa: BLE001 - Bedrock can still be called after any error
            _warn("could not read an application profile from the state table", profile, error)
            self._state.failed(error)
            return None
        self._state.answered()
        return found

    def _ask_bedrock(self, profile: ApplicationProfile, last_start: float) -> Reference | OutOfScope | None:
        """Return Bedrock's answer, or None if it does not answer or it is too late to ask."""
        if not self._bedrock or self._clock() > last_start:
            return None
        try:
            found = read_profile_model(profile, clients.bedrock())
        except Exception as error:  # noqa: BLE001 - metrics must flow after any error; counted as out of scope
            _warn("could not resolve an application profile", profile, error)
            return UNRESOLVED if self._bedrock.failed(error) else None
        self._bedrock.answered()
        if isinstance(found, OutOfScope):
            _warn("could not resolve an application profile: it does not stand for one model", profile)
            return found
        if self._table is not None and self._state and self._clock() <= last_start:
            try:
                table.write_profile(self._table, clients.state(), profile.arn, found)
            except Exception as error:  # noqa: BLE001 - the next container asks Bedrock again
                _warn("could not write an application profile to the state table", profile, error)
                self._state.failed(error)
        return found


def _warn(message: str, profile: ApplicationProfile, error: Exception | None = None) -> None:
    reason = {} if error is None else {"error": f"{type(error).__name__}: {error}"}
    _logger.warning(message, extra={"profile_id": profile.profile_id, **reason})
