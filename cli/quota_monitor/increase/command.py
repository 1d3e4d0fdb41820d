"""`quota-monitor increase`: the evidence for a larger quota, for Service Quotas and AWS Support."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.analysis.increase import gather_evidence, propose_quotas
from bedrock_quota.analysis.levers import QUOTA_HEADROOM
from bedrock_quota.analysis.usage import PoolUsage
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.errors import LogSourceError
from bedrock_quota.pools import EndpointType, QuotaKey, QuotaPool, Unit
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import SERVICE_CODE, ListedQuota, match_quota, models_by_quota_name
from bedrock_quota.registry.sources import read_sources
from quota_monitor.analyze.command import show_progress
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope, bound_window
from quota_monitor.analyze.source import Source, source_errors_as_messages
from quota_monitor.analyze.sources import open_sources, source_options
from quota_monitor.answers.models import advise_for_legacy, find_end_of_life
from quota_monitor.answers.names import sort_by_similarity
from quota_monitor.answers.numbers import count
from quota_monitor.answers.options import DEFAULT_DAYS, make_scope, parse_pools, require_finite, week_options
from quota_monitor.aws_session import open_session, read_stack
from quota_monitor.data_files import MODELS
from quota_monitor.deployed.measure import measure_stack
from quota_monitor.increase.page import write_markdown, write_next_steps
from quota_monitor.increase.request import Quota, Request, to_data
from quota_monitor.json_output import format_json, json_option
from quota_monitor.places import list_places
from quota_monitor.progress import Progress

if TYPE_CHECKING:
    import boto3


ONE_PLACE = "A request is for one account and Region. Name one with --profiles and --regions."


@click.command()
@click.option(
    "--pool",
    "pool_name",
    required=True,
    metavar="POOL",
    help="A model id or a unique part of it, with or without /endpoint type.",
)
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
@week_options
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

    It covers the last 7 days unless an option says otherwise, and files whole. Only --request changes anything.

    The quotas come from Service Quotas, so it needs AWS credentials, with --files as well.
    """
    require_finite({"growth": growth, "headroom": headroom}, "growth", "headroom")
    is_whole = bool(given["files"]) and not stack_name
    if not is_whole and given["hours"] is None and given["days"] is None and given["start"] is None:
        given["days"] = DEFAULT_DAYS
    now = datetime.now(UTC)
    pools = parse_pools(pool_name)
    scope = msgspec.structs.replace(make_scope(given, now, all_time=is_whole), model=pools[0].model_id)
    registry = read_sources(MODELS)
    unit = Unit.REQUESTS_PER_MINUTE if by_requests else Unit.TOKENS_PER_MINUTE
    with source_errors_as_messages():
        with show_progress() as progress:
            read = _measure(given, stack_name, scope, registry, now=now, progress=progress)
        session, usage = read.session, choose_pool(read.usages, pools, pool_name, read.other_models)
        request = _prepare(session, usage, scope, registry, unit, growth=growth, headroom=headroom)
        request = msgspec.structs.replace(
            request, named_value=value, notes=tuple(read.describe(usage)), asides=tuple(read.asides)
        )
        if as_json:
            click.echo(format_json(to_data(request)))
        else:
            click.echo("\n".join(write_markdown(request)))
            for sentence in (*request.asides, *write_next_steps(request)):
                click.echo(sentence, err=True)
        if send:
            sys.exit(_send(session, request))


class Measurement(msgspec.Struct, frozen=True):
    """The usage that was read. `describe` returns notes on one pool. `asides` are notes on how all of it was read."""

    session: Any
    usages: Sequence[PoolUsage]
    describe: Callable[[PoolUsage], Sequence[str]]
    asides: Sequence[str] = ()
    other_models: Collection[str] = ()
    """Models with calls that were not asked for."""


def _measure(
    given: dict[str, Any],
    stack_name: str | None,
    scope: Scope,
    registry: Registry,
    *,
    now: datetime,
    progress: Progress,
) -> Measurement:
    places = list_places(None, None, given["profiles"], given["regions"])
    if stack_name and len(places) > 1:
        raise click.UsageError(ONE_PLACE)
    session = open_session(places[0].profile, places[0].region)
    if stack_name:
        measured = measure_stack(session, read_stack(session, stack_name), scope, now, progress)
        return Measurement(session, measured.usages, measured.describe, (), measured.other_models)
    sources: list[Source] = list(open_sources(given, registry))
    if len(sources) != 1:
        raise click.UsageError(ONE_PLACE)
    source = sources[0]
    session = _open_session_for(source, session, places[0].profile)
    reader = RecordReader(registry, scope, source.resolve_profile, source.fetch_bodies, may_repeat=source.may_repeat)
    notes = source.read(reader, scope, progress)
    reader.finish()

    def describe(usage: PoolUsage) -> Sequence[str]:
        unknown = reader.counts.unknown_ends[usage.pool]
        answers = f"{unknown:,} of {count(usage.requests, 'answer')}"
        return [f"The log shows neither tier nor latency of {answers}, and not if they were cut."] if unknown else []

    return Measurement(
        session=session,
        usages=reader.tally.measure(source.account.quotas),
        describe=describe,
        asides=[*notes, *source.account.notes],
        other_models=reader.counts.other_models,
    )


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


def choose_pool(
    usages: Sequence[PoolUsage], pools: Sequence[QuotaPool], name: str, other_models: Collection[str] = ()
) -> PoolUsage:
    """Return the usage of the pool of this name, or of the only model whose id has it as a part.

    Of several endpoint types, it is the one nearest to its quota. Raises `LogSourceError` if no call is of this name,
    and `click.UsageError` if several models have it as a part.
    """
    endpoint_types = {pool.endpoint_type for pool in pools}
    found = [usage for usage in usages if usage.pool in pools] or [
        usage
        for usage in usages
        if pools[0].model_id in usage.pool.model_id and usage.pool.endpoint_type in endpoint_types
    ]
    models = sorted({usage.pool.model_id for usage in found})
    if len(models) > 1:
        raise click.UsageError(f"{name} is part of {len(models)} models with calls: {', '.join(models)}. Name one.")
    if not found:
        known = [f"{usage.pool.model_id}/{usage.pool.endpoint_type}" for usage in usages]
        nearest = known or sort_by_similarity(name, other_models) or ["none"]
        raise LogSourceError(f"No call to {name} in this window. With calls: {', '.join(nearest)}.")
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
    usage = _add_quotas(usage, listed)
    return Request(
        pool=pool,
        region=session.region_name or "",
        window=bound_window(scope.window, [usage]),
        usage=usage,
        evidence=gather_evidence(usage),
        unit=unit,
        proposals=propose_quotas(usage, Scenario(growth), headroom),
        quota=quota,
        ask_for=ask_for,
        end_of_life=find_end_of_life(pool),
    )


def _add_quotas(usage: PoolUsage, listed: Mapping[QuotaKey, Quota]) -> PoolUsage:
    """Return the usage with the quotas that Service Quotas lists, if its source, such as a file, knows none."""
    tokens, requests = (
        quota.value if (quota := listed.get(QuotaKey(usage.pool, unit))) is not None else None
        for unit in (Unit.TOKENS_PER_MINUTE, Unit.REQUESTS_PER_MINUTE)
    )
    return msgspec.structs.replace(
        usage,
        token_quota=tokens if usage.token_quota is None else usage.token_quota,
        request_quota=requests if usage.request_quota is None else usage.request_quota,
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


def _send(session: boto3.Session, request: Request) -> int:
    """Send the request after a question. Return the exit code."""
    ask_for, value = request.ask_for, request.value
    if request.end_of_life is not None:
        raise click.ClickException(f"No quota is asked for. {advise_for_legacy(request.pool)}")
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
