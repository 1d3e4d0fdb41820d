"""Checks of quotas: the snapshot, the fetcher, and what starts it."""

from datetime import datetime

from bedrock_quota.fetcher.fetch import NOTICES, ZERO
from bedrock_quota.fetcher.quota_lines import ACCOUNT_NOTE
from bedrock_quota.registry.quota_names import SERVICE_CODE
from bedrock_quota.state.snapshot import OLDEST_QUOTAS, Snapshot
from quota_monitor.answers.models import advise_for_legacy
from quota_monitor.aws_session import Stack
from quota_monitor.doctor.checks.processor import ago, ago_in_period, check_function
from quota_monitor.doctor.findings import Findings, check, ok, problem, warning
from quota_monitor.doctor.observed import Function, Parts, Traffic, Unread
from quota_monitor.doctor.remedies import advise, command


@check("quotas", needs=("stack", "parts", "snapshot", "at"))
def check_quotas(stack: Stack, parts: Parts, snapshot: Snapshot | None, now: datetime) -> Findings:
    """Check that quotas were fetched recently, and that they fit."""
    if "StateTable" in parts.gone:
        return
    if snapshot is None or not snapshot.quotas:
        yield problem("Quotas were never fetched, so there are no percentages.", _fetch(stack))
    elif now - snapshot.fetched_at > OLDEST_QUOTAS:
        yield problem(f"Quotas were last fetched {ago(snapshot.fetched_at, now)}.", _fetch(stack))
    else:
        yield ok(f"Quotas of {len(snapshot.quotas)} quota pools were fetched {ago(snapshot.fetched_at, now)}.")
    if snapshot is None:
        return
    if snapshot.account_tokens_per_day is not None:
        yield ok(ACCOUNT_NOTE.format(tokens=snapshot.account_tokens_per_day))
    for topic in NOTICES:
        for notice in snapshot.active_notices.get(topic, ()):
            advice = _advise_on_zero(notice, snapshot) if topic == ZERO else "See docs/alarms.md#messages-about-quotas."
            yield warning(notice, advice)


def _advise_on_zero(notice: str, snapshot: Snapshot) -> str:
    """Return what to do about a quota of 0. AWS grants no increase for a legacy model."""
    legacy = (advise_for_legacy(pool) for pool, _ in snapshot.quotas if f" {pool} " in notice)
    return next(filter(None, legacy), "") or _request()


def _request() -> str:
    """Return how to request an increase of a quota that is 0."""
    bedrock = ("--service-code", SERVICE_CODE)
    zero = ("--query", "Quotas[?Value==`0.0`].[QuotaCode,QuotaName]", "--output", "text")
    request = command("aws", "service-quotas", "request-service-quota-increase", *bedrock)
    return "\n".join(
        (
            advise("Find its quota code", command("aws", "service-quotas", "list-service-quotas", *bedrock, *zero)),
            advise("Request an increase, or use another model", f"{request} --quota-code CODE --desired-value VALUE"),
        )
    )


@check("quotas", needs=("stack", "traffic", "at"), uses=("fetch_error",))
def check_failed_fetches(stack: Stack, traffic: Traffic, now: datetime, reason: str | Unread | None) -> Findings:
    """Check that no fetch failed lately. The reason is from the fetcher's log."""
    failed = traffic.last_failed_fetch
    if failed and now - failed < OLDEST_QUOTAS:
        said = f" Its log says: {reason}" if isinstance(reason, str) else ""
        yield warning(f"A fetch failed {ago_in_period(failed, now)}, in whole or in part.{said}", _fetch(stack))


def _fetch(stack: Stack) -> str:
    fetcher = stack.resources.get("QuotaFetcherFunction", "")
    invoke = command("aws", "lambda", "invoke", "--function-name", fetcher, "/dev/stdout")
    return advise("Fetch them now and read the answer", invoke)


@check("fetcher", needs=("fetcher",))
def check_fetcher(function: Function | None) -> Findings:
    """Check that the fetcher can run."""
    yield from check_function(function)


@check("schedule", needs=("stack", "schedule"))
def check_schedule(stack: Stack, state: str | None) -> Findings:
    """Check that the fetcher's schedule is enabled. A deleted one is a finding of `check_resources`."""
    if state is None:
        return
    if state == "ENABLED":
        yield ok("The fetcher runs every 174 minutes.")
    else:
        yield problem(
            f"{stack.resources.get('QuotaFetcherFunctionSchedule', '')} is disabled. Quotas are no longer updated.",
            "Enable it in the EventBridge console, under Schedules.",
        )


@check("overrides", needs=("stack", "overrides_rule"))
def check_overrides_rule(stack: Stack, state: str | None) -> Findings:
    """Check that changed overrides start the fetcher. A deleted rule is a finding of `check_resources`."""
    if state is None:
        return
    name = stack.resources.get("QuotaFetcherFunctionOverridesChanged", "")
    if state == "ENABLED":
        yield ok("Changed overrides start the fetcher.")
    else:
        yield warning(
            f"The rule {name} is disabled. Changed overrides take effect at the next scheduled fetch.",
            advise("Enable it", command("aws", "events", "enable-rule", "--name", name)),
        )
