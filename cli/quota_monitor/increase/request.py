"""The request for a larger quota, and the same as data."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from bedrock_quota.analysis.increase import Evidence, Proposal, Proposals
from bedrock_quota.analysis.usage import PoolUsage, find_peak_minute
from bedrock_quota.pools import QuotaPool, Unit
from bedrock_quota.registry.quota_names import SERVICE_CODE
from quota_monitor.answers.days import Day, count_days, find_ends, list_days
from quota_monitor.answers.numbers import real, timestamp
from quota_monitor.window import Window


class Quota(msgspec.Struct, frozen=True):
    """A quota as Service Quotas lists it. `adjustable` is None if it does not say."""

    code: str
    name: str
    value: float | None
    adjustable: bool | None


class Request(msgspec.Struct, frozen=True):
    """Everything that goes into a request. `quota` is None if Service Quotas lists none for the pool."""

    pool: QuotaPool
    region: str
    window: Window
    usage: PoolUsage
    evidence: Evidence
    unit: Unit
    proposals: Proposals
    quota: Quota | None
    ask_for: Quota | None
    """The quota to ask for: for an in-Region pool, that of the cross-Region pool."""
    named_value: int | None = None
    """The value that the user named, instead of the proposal."""
    end_of_life: date | None = None
    notes: tuple[str, ...] = ()
    """Sentences on the numbers of this pool."""
    asides: tuple[str, ...] = ()
    """Sentences to the user on how the numbers were read."""

    @property
    def proposal(self) -> Proposal:
        """Return the proposal in the unit to ask for."""
        is_tokens = self.unit is Unit.TOKENS_PER_MINUTE
        return self.proposals.tokens if is_tokens else self.proposals.requests

    @property
    def other(self) -> Proposal | None:
        """Return the proposal in the other unit if that quota is reached, too. None if it is not, or nobody knows."""
        is_tokens = self.unit is Unit.TOKENS_PER_MINUTE
        proposal = self.proposals.requests if is_tokens else self.proposals.tokens
        quota = self.other_quota
        return proposal if quota is not None and proposal.value is not None and proposal.needed >= quota else None

    @property
    def other_quota(self) -> float | None:
        """Return the pool's quota in the other unit, None if it is unknown."""
        is_tokens = self.unit is Unit.TOKENS_PER_MINUTE
        return self.usage.request_quota if is_tokens else self.usage.token_quota

    @property
    def days(self) -> list[Day]:
        """Return the days with calls."""
        return list_days(self.usage.minutes)

    @property
    def peak_minute(self) -> int | None:
        """Return the minute with most tokens, None if no call was answered."""
        peak = find_peak_minute(minute for minute in self.usage.minutes if minute.requests)
        return None if peak is None else peak.minute

    @property
    def value(self) -> int | None:
        """Return the value to ask for, None if there is neither a named one nor a proposal."""
        return self.named_value or self.proposal.value

    @property
    def why_no_value(self) -> str | None:
        """Return why there is no value, None if there is one."""
        if self.value is not None:
            return None
        if not self.usage.requests:
            return "No call was answered in this window, so no value can be derived."
        return "The calls used no tokens of a quota in this window, so no value can be derived."


def to_data(request: Request) -> dict[str, Any]:
    """Return the request as data for JSON."""
    usage, evidence, proposal, other = request.usage, request.evidence, request.proposal, request.other
    first, last = find_ends(usage.minutes) or (None, None)
    return {
        "model_id": request.pool.model_id,
        "endpoint_type": str(request.pool.endpoint_type),
        "region": request.region or None,
        "from": timestamp(request.window.start),
        "to": timestamp(request.window.end),
        "first_call": None if first is None else timestamp(first),
        "last_call": None if last is None else timestamp(last),
        "peak_minute": None if request.peak_minute is None else timestamp(request.peak_minute),
        "days_in_window": count_days(request.window),
        "days": [
            {
                "date": day.date,
                "requests": day.requests,
                "throttled": day.throttled,
                "peak_tokens": real(day.peak_tokens),
                "peak_minute": timestamp(day.peak_minute),
            }
            for day in request.days
        ],
        "quota": _quota_data(request.quota),
        "quota_to_ask_for": _quota_data(request.ask_for),
        "end_of_life": None if request.end_of_life is None else request.end_of_life.isoformat(),
        "busy_minutes": evidence.busy_minutes,
        "use_per_minute": {
            name: {"tokens": real(load.tokens), "requests": real(load.requests)}
            for name, load in (("steady", evidence.steady), ("high", evidence.high), ("peak", evidence.peak))
        },
        "mean_input_tokens": real(evidence.mean_input),
        "mean_output_tokens": real(evidence.mean_output),
        "p95_input_tokens": usage.input_sizes.p95 if usage.requests else None,
        "p95_output_tokens": usage.output_sizes.p95 if usage.requests else None,
        "requests": usage.requests,
        "throttled": evidence.throttled,
        "throttled_minutes": evidence.throttled_minutes,
        "coverage": real(usage.coverage),
        "changes": [
            {
                "caller": change.caller.caller,
                "max_tokens": change.max_tokens,
                "peak_tokens": real(change.peak),
                "peak_tokens_with_throttled": real(change.peak_with_throttled),
            }
            for change in request.proposals.changes
        ],
        "proposal": {
            "unit": str(proposal.unit),
            "base": real(proposal.base),
            "growth": real(proposal.growth),
            "headroom": real(proposal.headroom),
            "value": request.value,
            "reason": request.why_no_value,
            "is_after_changes": proposal.is_after_changes,
            "has_throttled_calls": proposal.has_throttled,
        },
        "other_proposal": None
        if other is None
        else {"unit": str(other.unit), "base": real(other.base), "value": other.value},
        "command": write_command_line(request) if is_worth_asking(request) else None,
        "notes": [*request.notes, *request.asides],
    }


def _quota_data(quota: Quota | None) -> dict[str, Any] | None:
    if quota is None:
        return None
    return {"code": quota.code, "name": quota.name, "value": real(quota.value), "adjustable": quota.adjustable}


def is_worth_asking(request: Request) -> bool:
    """Return True if there is a value to ask for that is larger than the quota, and AWS may grant it."""
    ask_for, value = request.ask_for, request.value
    if ask_for is None or value is None or request.end_of_life is not None:
        return False
    return ask_for.value is None or value > ask_for.value


def write_command_line(request: Request) -> str:
    """Return the command that asks for the value, with a placeholder if there is none."""
    return " ".join(["aws", "service-quotas", "request-service-quota-increase", *_arguments(request)])


def _arguments(request: Request) -> list[str]:
    code = request.ask_for.code if request.ask_for is not None else ""
    value = "VALUE" if request.value is None else str(request.value)
    found = ["--service-code", SERVICE_CODE, "--quota-code", code, "--desired-value", value]
    return [*found, "--region", request.region] if request.region else found
