"""`quota-monitor increase`: the evidence for a larger quota, for Service Quotas and AWS Support."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.analysis.advice import plan_changes
from bedrock_quota.analysis.increase import Evidence, Proposal, gather_evidence, propose_quota
from bedrock_quota.analysis.levers import QUOTA_HEADROOM
from bedrock_quota.analysis.usage import PoolUsage, Sizes
from bedrock_quota.errors import LogSourceError
from bedrock_quota.pools import EndpointType, QuotaKey, QuotaPool, Unit
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import SERVICE_CODE, ListedQuota, match_quota, models_by_quota_name
from bedrock_quota.registry.sources import read_sources
from quota_monitor.analyze.command import show_progress
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Progress, Source, source_errors_as_messages
from quota_monitor.analyze.sources import open_sources, source_options
from quota_monitor.answers.markdown import escape
from quota_monitor.answers.models import find_end_of_life
from quota_monitor.answers.numbers import count, percent, real, timestamp
from quota_monitor.answers.options import make_scope, parse_pools, require_finite, scope_options
from quota_monitor.aws_session import open_session, read_stack
from quota_monitor.data_files import MODELS
from quota_monitor.deployed.measure import measure_stack
from quota_monitor.json_output import format_json, json_option
from quota_monitor.program import own_command
from quota_monitor.window import Window

if TYPE_CHECKING:
    import boto3

DEFAULT_DAYS = 7.0


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
    proposal: Proposal
    quota: Quota | None
    ask_for: Quota | None
    """The quota to ask for: for an in-Region pool, that of the cross-Region pool."""
    named_value: int | None = None
    """The value that the user named, instead of the proposal."""
    end_of_life: date | None = None
    notes: tuple[str, ...] = ()

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


@click.command()
@click.option("--pool", "pool_name", required=True, metavar="POOL", help="A model id, or a model id/endpoint type.")
@click.option("--requests", "by_requests", is_flag=True, help="Ask for requests per minute instead of tokens.")
@click.option("--growth", type=click.FloatRange(min=0, max=1000, min_open=True), default=1.0, help="Expected growth.")
@click.option(
    "--headroom",
    type=click.FloatRange(min=1, max=100),
    default=QUOTA_HEADROOM,
    show_default=True,
    help="Factor above the highest use.",
)
@click.option("--value", type=click.IntRange(min=1), metavar="N", help="Ask for this value instead of a derived one.")
@click.option("--stack-name", metavar="NAME", help="Take the numbers from a deployed stack instead of the logs.")
@click.option("--request", "send", is_flag=True, help="Send the request to Service Quotas, after a question.")
@source_options
@scope_options
@json_option
def increase(
    pool_name: str,
    *,
    by_requests: bool,
    growth: float,
    headroom: float,
    value: int | None,
    stack_name: str | None,
    send: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Write the evidence for a larger quota, as Markdown.

    It covers the last 7 days unless an option says otherwise. Only --request changes anything.
    """
    require_finite({"growth": growth, "headroom": headroom}, "growth", "headroom")
    if given["hours"] is None and given["days"] is None and given["start"] is None:
        given["days"] = DEFAULT_DAYS
    now = datetime.now(UTC)
    pools = parse_pools(pool_name)
    scope = msgspec.structs.replace(make_scope(given, now), model=pools[0].model_id)
    registry = read_sources(MODELS)
    unit = Unit.REQUESTS_PER_MINUTE if by_requests else Unit.TOKENS_PER_MINUTE
    with source_errors_as_messages():
        with show_progress() as progress:
            session, usages, notes = _measure(given, stack_name, scope, registry, now=now, progress=progress)
        usage = _choose(usages, pools, pool_name)
        request = _prepare(session, usage, scope, registry, unit, growth=growth, headroom=headroom)
        request = msgspec.structs.replace(request, named_value=value, notes=tuple(notes))
        click.echo(format_json(to_data(request)) if as_json else "\n".join(write_markdown(request)))
        if send:
            sys.exit(_send(session, request))


def _measure(
    given: dict[str, Any],
    stack_name: str | None,
    scope: Scope,
    registry: Registry,
    *,
    now: datetime,
    progress: Progress,
) -> tuple[boto3.Session, Sequence[PoolUsage], Sequence[str]]:
    profile, region = ((given[name] or "").split(",")[0] or None for name in ("profiles", "regions"))
    session = open_session(profile, region)
    if stack_name:
        measured = measure_stack(session, read_stack(session, stack_name), scope, now, progress)
        return session, measured.usages, measured.notes
    sources: list[Source] = list(open_sources(given, registry))
    if len(sources) != 1:
        raise click.UsageError("A request is for one account and Region. Name one with --profiles and --regions.")
    source = sources[0]
    session = _open_session_for(source, session, profile)
    reader = RecordReader(registry, scope, source.resolve_profile, source.fetch_bodies, may_repeat=source.may_repeat)
    notes = source.read(reader, scope, progress)
    reader.finish()
    return session, reader.tally.measure(source.account.quotas), [*notes, *source.account.notes]


def _open_session_for(source: Source, session: boto3.Session, profile: str | None) -> boto3.Session:
    """Return a session in the Region of a source. Raises `LogSourceError` if the source is another account's."""
    account = source.account
    own = session.client("sts").get_caller_identity()["Account"]
    if account.account_id and account.account_id != own:
        raise LogSourceError(
            f"These logs are of account {account.account_id}, and the credentials of {own}. Its quotas cannot be read."
        )
    if account.region and account.region != session.region_name:
        return open_session(profile, account.region)
    return session


def _choose(usages: Sequence[PoolUsage], pools: Sequence[QuotaPool], name: str) -> PoolUsage:
    found = [usage for usage in usages if usage.pool in pools]
    if not found:
        known = ", ".join(f"{usage.pool.model_id}/{usage.pool.endpoint_type}" for usage in usages) or "none"
        raise LogSourceError(f"No call to {name} in this window. Pools of this model with calls: {known}.")
    return max(found, key=lambda usage: (usage.peak_percent or 0, usage.peak_used))


def _prepare(
    session: boto3.Session,
    usage: PoolUsage,
    scope: Scope,
    registry: Registry,
    unit: Unit,
    *,
    growth: float,
    headroom: float,
) -> Request:
    listed = list_pool_quotas(session, registry)
    pool = usage.pool
    quota = listed.get(QuotaKey(pool, unit))
    ask_for = quota
    if pool.endpoint_type is EndpointType.REGIONAL and unit is Unit.TOKENS_PER_MINUTE:
        ask_for = listed.get(QuotaKey(QuotaPool(pool.model_id, EndpointType.CROSS_REGION), unit)) or quota
    changes = plan_changes(usage)
    return Request(
        pool=pool,
        region=session.region_name or "",
        window=scope.window,
        usage=usage,
        evidence=gather_evidence(usage),
        proposal=propose_quota(
            usage, unit, changed_peak=changes[-1].peak if changes else None, growth=growth, headroom=headroom
        ),
        quota=quota,
        ask_for=ask_for,
        end_of_life=find_end_of_life(pool),
    )


def list_pool_quotas(session: boto3.Session, registry: Registry) -> dict[QuotaKey, Quota]:
    """Return the quotas of all pools, with the values applied to the account. Propagates botocore errors."""
    client = session.client("service-quotas")
    models = models_by_quota_name(registry)
    found: dict[QuotaKey, Quota] = {}
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
        pages = client.get_paginator(operation).paginate(ServiceCode=SERVICE_CODE)
        for page in pages:
            for each in page["Quotas"]:
                key = match_quota(ListedQuota(each["QuotaCode"], each["QuotaName"], each.get("Value")), models)
                if isinstance(key, QuotaKey):
                    found[key] = Quota(each["QuotaCode"], each["QuotaName"], each.get("Value"), each.get("Adjustable"))
    return found


def to_data(request: Request) -> dict[str, Any]:
    """Return the request as data for JSON."""
    usage, evidence, proposal = request.usage, request.evidence, request.proposal
    return {
        "model_id": request.pool.model_id,
        "endpoint_type": str(request.pool.endpoint_type),
        "region": request.region or None,
        "from": timestamp(request.window.start),
        "to": timestamp(request.window.end),
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
        "requests": usage.requests,
        "throttled": evidence.throttled,
        "throttled_minutes": evidence.throttled_minutes,
        "coverage": real(usage.coverage),
        "changes": [
            {"caller": change.caller.caller, "max_tokens": change.max_tokens, "peak_tokens": real(change.peak)}
            for change in plan_changes(usage)
        ],
        "proposal": {
            "unit": str(proposal.unit),
            "base": real(proposal.base),
            "growth": real(proposal.growth),
            "headroom": real(proposal.headroom),
            "value": request.value,
            "reason": request.why_no_value,
            "is_after_changes": proposal.is_after_changes,
        },
        "command": _command(request) if _is_worth_asking(request) else None,
        "notes": list(request.notes),
    }


def _quota_data(quota: Quota | None) -> dict[str, Any] | None:
    if quota is None:
        return None
    return {"code": quota.code, "name": quota.name, "value": real(quota.value), "adjustable": quota.adjustable}


def _is_worth_asking(request: Request) -> bool:
    """Return True if there is a value to ask for that is larger than the quota, and AWS may grant it."""
    ask_for, value = request.ask_for, request.value
    if ask_for is None or value is None or request.end_of_life is not None:
        return False
    return ask_for.value is None or value > ask_for.value


# ---------------------------------------------------------------- Markdown


def write_markdown(request: Request) -> Iterator[str]:
    """Yield the lines of the request."""
    usage, evidence, proposal = request.usage, request.evidence, request.proposal
    unit = "TPM" if proposal.unit is Unit.TOKENS_PER_MINUTE else "RPM"
    yield f"# Quota increase for {escape(str(request.pool))} in {request.region}"
    yield ""
    yield from _write_quota(request, unit)
    yield ""
    yield f"## Usage, {request.window}"
    yield ""
    yield "| | Tokens per minute | Requests per minute |"
    yield "|---|--:|--:|"
    for name, load in (
        ("Steady (median busy minute)", evidence.steady),
        ("High (90th percentile)", evidence.high),
        ("Peak", evidence.peak),
    ):
        yield f"| {name} | {load.tokens:,.0f} | {load.requests:,.0f} |"
    yield ""
    yield (
        f"Busy minutes: {evidence.busy_minutes:,}. Tokens are the larger of reserved (input + cache write + "
        "max_tokens) and consumed (input + cache write + output × burndown rate) in the same minute."
    )
    yield ""
    yield "| Per request | Mean | 95th percentile |"
    yield "|---|--:|--:|"
    yield f"| Input tokens | {_write_sizes(evidence.mean_input, usage.input_sizes, usage.requests)} |"
    yield f"| Output tokens | {_write_sizes(evidence.mean_output, usage.output_sizes, usage.requests)} |"
    yield ""
    yield (
        f"Bedrock throttled {count(evidence.throttled, 'request')} of {usage.requests + evidence.throttled:,}, "
        f"in {count(evidence.throttled_minutes, 'minute')}."
    )
    if usage.coverage < 1:
        yield ""
        yield (
            f"The max_tokens of {_count_unknown(usage)} is unknown. Their reservations are missing, so the numbers may "
            "be too low."
        )
    for note in request.notes:
        yield ""
        yield escape(note)
    yield ""
    yield "## max_tokens"
    yield ""
    yield from _write_limits(usage)
    yield ""
    yield "## Value"
    yield ""
    yield _write_value(request, unit)
    yield from _write_command(request)


def _write_sizes(mean: float, sizes: Sizes, requests: int) -> str:
    """Return the cells of the mean and the 95th percentile, which is unknown if single calls were not seen."""
    if not requests:
        return "– | –"
    if not mean:
        return "none | none"
    return f"{mean:,.0f} | {'–' if sizes.p95 is None else f'{sizes.p95:,}'}"


def _write_value(request: Request, unit: str) -> str:
    proposal = request.proposal
    if request.named_value is not None:
        return f"**{request.named_value:,} {unit}**, as named with --value."
    if request.value is None:
        return (
            f"{request.why_no_value} Estimate it: requests per minute × tokens per request (input + max_tokens). "
            "Then name it with `--value N`."
        )
    base = "the peak after these changes" if proposal.is_after_changes else "the peak"
    if proposal.unit is Unit.REQUESTS_PER_MINUTE:
        base = "the most requests wanted in a minute"
    return (
        f"{proposal.base:,.0f} {unit} ({base}) × {proposal.growth:g} growth × {proposal.headroom:g} headroom, "
        f"rounded up: **{request.value:,} {unit}**."
    )


def _write_quota(request: Request, unit: str) -> Iterator[str]:
    quota, ask_for = request.quota, request.ask_for
    if quota is None:
        yield f"Service Quotas lists no {unit} quota for this pool in {request.region}. Ask AWS Support."
    else:
        value = "unknown" if quota.value is None else f"{quota.value:,.0f} {unit}"
        yield f"- Current quota: {escape(quota.name)} (`{quota.code}`), {value}."
    if ask_for is not None:
        yield f"- Quota to ask for: {escape(ask_for.name)} (`{ask_for.code}`)."
        yield f"- Adjustable through Service Quotas: {_ADJUSTABLE[ask_for.adjustable]}."
    if quota is not None and ask_for is not None and ask_for.code != quota.code:
        yield (
            "- AWS grants on-demand quotas together with the cross-Region one, so this asks for the cross-Region one. "
            "Say in the case that the on-demand quota is needed, too."
        )
    if request.end_of_life is not None:
        yield (
            f"- The model ends on {request.end_of_life}. AWS grants no increases for models that it marks as legacy. "
            "Move its callers to another model."
        )


_ADJUSTABLE = {True: "yes", False: "no, open a case with AWS Support", None: "not said"}


def _count_unknown(usage: PoolUsage) -> str:
    return f"{round((1 - usage.coverage) * usage.requests):,} of {count(usage.requests, 'request')}"


def _write_limits(usage: PoolUsage) -> Iterator[str]:
    changes = plan_changes(usage)
    if not changes and usage.coverage < 1:
        yield (
            f"No smaller max_tokens is proposed, because that of {_count_unknown(usage)} is unknown. Log the text of "
            "requests, or declare the limits, before you ask for more."
        )
        return
    if not changes:
        used = sum(caller.consumed_tokens for caller in usage.callers)
        reserved = sum(caller.reserved_tokens for caller in usage.callers)
        share = f" Calls consumed {percent(used, reserved)} of what they reserved." if reserved else ""
        yield f"No smaller max_tokens would lower the peak.{share}"
        return
    for change in changes:
        limit = change.caller.largest_limit
        yield (
            f"- {escape(change.caller.caller)}: {limit.max_tokens if limit else 0:,} → {change.max_tokens:,}. Its "
            f"largest of {count(change.caller.requests, 'answer')} has {change.caller.sizes.largest:,} tokens."
        )
    yield f"- Peak with these changes: {changes[-1].peak:,.0f} TPM, instead of {usage.peak_used:,.0f}."
    quota = usage.token_quota
    if quota and changes[-1].peak < quota:
        yield f"- That is {percent(changes[-1].peak, quota)} of the quota. Make these changes before you ask for more."


def _write_command(request: Request) -> Iterator[str]:
    ask_for = request.ask_for
    if ask_for is None:
        return
    yield ""
    if request.end_of_life is not None:
        yield "Do not ask for this quota: the model is legacy. Move its callers to another model."
        return
    if ask_for.value is not None and request.value is not None and not _is_worth_asking(request):
        if request.quota is None or ask_for.code == request.quota.code:
            yield (
                f"The quota is {ask_for.value:,.0f} already, so no increase is needed. If calls are throttled all the "
                f"same, `{own_command('analyze')}` says why."
            )
        else:
            yield (
                f"The cross-Region quota is {ask_for.value:,.0f} already. Open a case with AWS Support for the "
                "on-demand quota, and add this page."
            )
        return
    yield "```"
    yield _command(request)
    yield "```"
    yield ""
    yield "Service Quotas has no field for a reason. Add this page to the case that it opens."


def _command(request: Request) -> str:
    return " ".join(["aws", "service-quotas", "request-service-quota-increase", *_arguments(request)])


def _arguments(request: Request) -> list[str]:
    code = request.ask_for.code if request.ask_for is not None else ""
    value = "VALUE" if request.value is None else str(request.value)
    found = ["--service-code", SERVICE_CODE, "--quota-code", code, "--desired-value", value]
    return [*found, "--region", request.region] if request.region else found


def _send(session: boto3.Session, request: Request) -> int:
    """Send the request after a question. Return the exit code."""
    ask_for, value = request.ask_for, request.value
    if ask_for is None:
        raise click.ClickException("There is no quota to ask for.")
    if value is None:
        raise click.ClickException(f"{request.why_no_value} Name one with --value N.")
    if ask_for.value is not None and value <= ask_for.value:
        raise click.ClickException(f"The quota is {ask_for.value:,.0f} already, which is not less than {value:,}.")
    click.confirm(f"Ask AWS for {value:,} as {ask_for.name} in {request.region}?", abort=True, err=True)
    try:
        answer = session.client("service-quotas").request_service_quota_increase(
            ServiceCode=SERVICE_CODE, QuotaCode=ask_for.code, DesiredValue=float(value)
        )["RequestedQuota"]
    except ClientError as error:
        if error.response["Error"].get("Code") == "ResourceAlreadyExistsException":
            raise click.ClickException(
                "A request for this quota is open already. See it in the Service Quotas console."
            ) from None
        raise
    click.echo(f"Request {answer['Id']}: {answer['Status']}.", err=True)
    return 0
