"""Options that `analyze` and `report` share: window, calls to look at, what-if, and the form of the output."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.pools import EndpointType, QuotaPool
from quota_monitor.analyze.scope import ALL_TIME, Dimension, Scope
from quota_monitor.answers import prices
from quota_monitor.answers.chargeback import NO_CHARGEBACK, Chargeback, ChargebackFile, check_use
from quota_monitor.window import Window, make_window

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_TOKENS = 100_000_000

MAX_GROWTH = 1_000

MAX_KEY = 256
"""Most characters of a key of `requestMetadata` (API reference of Converse, read 2026-11-28)."""

_COUNT = re.compile(r"[0-9]{1,9}")

_FIRST_YEAR = 1970

DEFAULT_HOURS = 24.0

DEFAULT_DAYS = 7.0
"""Days that `increase` looks at."""


class Output(msgspec.Struct, frozen=True):
    """The form of the output.

    `form` is `terminal`, `json`, `markdown`, `csv` or `csv-totals`. `html` is a file or None. `fail_over` is the
    percentage of a quota from which the exit code is 1, or None. `shows_usage` and `dollars` add tokens and prices by
    caller. `chargeback` has prices of the user's own. With `is_summary`, the terminal and Markdown have one row per
    place, and the totals.
    """

    form: str = "terminal"
    html: Path | None = None
    fail_over: float | None = None
    shows_usage: bool = False
    dollars: bool = False
    is_summary: bool = False
    chargeback: Chargeback = NO_CHARGEBACK


def scope_options(command: Command) -> Command:
    """Add the options that select the calls, by default of the last day."""
    return _add_scope_options(command, hours=f"Hours before now. Default: {DEFAULT_HOURS:g}.", days="Days before now.")


def week_options(command: Command) -> Command:
    """Add the options that select the calls, by default of the last week."""
    return _add_scope_options(command, hours="Hours before now.", days=f"Days before now. Default: {DEFAULT_DAYS:g}.")


def _add_scope_options(command: Command, *, hours: str, days: str) -> Command:
    options = (
        click.option("--hours", type=click.FloatRange(min=0, min_open=True), help=hours),
        click.option("--days", type=click.FloatRange(min=0, min_open=True), help=days),
        click.option(
            "--from", "start", metavar="TIME", help="Start, such as 2026-11-28T14:00 (UTC unless it has an offset)."
        ),
        click.option("--to", "end", metavar="TIME", help="End. Default: now."),
        click.option("--model", default="", metavar="TEXT", help="Only models whose id has this text."),
        click.option("--caller", default="", metavar="TEXT", help="List only callers whose name has this text."),
        click.option(
            "--by",
            metavar="|".join([*(each for each in Dimension if each is not Dimension.TAG), "tag:KEY"]),
            help="Property of calls by which usage is listed. Default: caller.",
        ),
    )
    return _add(command, options)


def scenario_options(command: Command) -> Command:
    """Add the options of a what-if."""
    options = (
        click.option(
            "--growth",
            type=click.FloatRange(min=0, max=MAX_GROWTH, min_open=True),
            default=1.0,
            metavar="FACTOR",
            help="Also project this many times as many calls.",
        ),
        click.option(
            "--max-tokens",
            multiple=True,
            metavar="CALLER=N",
            help="Also project N as this caller's max_tokens. Repeatable.",
        ),
        click.option(
            "--quota",
            multiple=True,
            metavar="POOL=N",
            help="Also project N TPM as its quota. POOL is a model id, or a model id/endpoint type. Repeatable.",
        ),
    )
    return _add(command, options)


def output_options(command: Command) -> Command:
    """Add the options that select the form of the output."""
    options = (
        click.option("--json", "form", flag_value="json", help="Print JSON. docs/answers.md has its schema."),
        click.option("--markdown", "form", flag_value="markdown", help="Print Markdown."),
        click.option("--csv", "form", flag_value="csv", help="Print CSV, one row per pool and caller."),
        click.option(
            "--csv-totals",
            "form",
            flag_value="csv-totals",
            help="Print CSV, one row per caller or --by over all pools.",
        ),
        click.option(
            "--table", "form", flag_value="terminal", default=True, help="Print text and tables. The default."
        ),
        click.option("--usage", "shows_usage", is_flag=True, help="Also list all tokens by caller. --by implies it."),
        click.option("--dollars", is_flag=True, help="Also list prices. Needs the extra `prices`. Implies --usage."),
        click.option(
            "--chargeback",
            type=ChargebackFile(),
            metavar="FILE",
            help="TOML file with your own prices, and tags of callers that send none. docs/answers.md has an example.",
        ),
        click.option(
            "--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page that opens offline."
        ),
        click.option(
            "--fail-over",
            type=click.FloatRange(min=0),
            metavar="PERCENT",
            help="Exit with 1 if a pool used this share of its quota or more, or was throttled.",
        ),
    )
    return _add(command, options)


def _add(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def require_finite(given: Mapping[str, Any], *names: str) -> None:
    """Raise `click.UsageError` for a number that is not finite. click takes `nan` for one in any range."""
    for name in names:
        if given[name] is not None and not math.isfinite(given[name]):
            raise click.UsageError(f"--{name.replace('_', '-')} takes a number, not {given[name]}.")


def make_output(given: Mapping[str, Any]) -> Output:
    """Return the output that options select. Raises `click.ClickException` if prices are wanted and not installed."""
    chargeback = given["chargeback"] or NO_CHARGEBACK
    check_use(chargeback, given["by"], dollars=given["dollars"])
    if given["dollars"] and not chargeback.prices:
        prices.require_prices()
    if given["html"] is not None and not given["html"].parent.is_dir():
        raise click.UsageError(f"There is no folder {given['html'].parent} for the HTML page.")
    require_finite(given, "fail_over")
    shows_usage = given["shows_usage"] or given["dollars"] or given["by"] is not None
    is_summary = given.get("summary", False)  # of commands that read several places
    return Output(
        given["form"], given["html"], given["fail_over"], shows_usage, given["dollars"], is_summary, chargeback
    )


def make_scope(given: Mapping[str, Any], now: datetime, *, all_time: bool = False) -> Scope:
    """Return the scope that options select. With `all_time` there is no window unless an option sets one.

    Raises `click.UsageError`.
    """
    dimension, tag = _parse_dimension(given["by"] or "caller")
    tags = (given.get("chargeback") or NO_CHARGEBACK).tags.get(tag, {})
    return Scope(_make_window(given, now, all_time=all_time), given["model"], given["caller"], dimension, tag, tags)


def make_scenario(given: Mapping[str, Any]) -> Scenario:
    """Return the scenario that options describe. Raises `click.UsageError`."""
    require_finite(given, "growth")
    quotas: dict[QuotaPool, float] = {}
    for text in given["quota"]:
        name, tokens = _parse_pair(text, "--quota", "POOL")
        quotas |= dict.fromkeys(parse_pools(name), float(tokens))
    limits = dict(_parse_pair(text, "--max-tokens", "CALLER") for text in given["max_tokens"])
    return Scenario(given["growth"], limits, quotas)


def parse_pools(name: str) -> tuple[QuotaPool, ...]:
    """Return the pools that a name stands for: `model`, `model/endpoint type`, or `model (endpoint type)`.

    Raises `click.UsageError` for an endpoint type that does not exist.
    """
    model, _, endpoint = name.strip().removesuffix(")").replace(" (", "/").partition("/")
    if not endpoint:
        return tuple(QuotaPool(model, each) for each in EndpointType)
    try:
        return (QuotaPool(model, EndpointType(endpoint.strip())),)
    except ValueError:
        known = ", ".join(EndpointType)
        raise click.UsageError(f"{endpoint.strip()!r} is no endpoint type. Known: {known}.") from None


def _parse_pair(text: str, option: str, what: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    digits = number.replace(",", "").replace("_", "")
    if not name or _COUNT.fullmatch(digits) is None or int(digits) > MAX_TOKENS:
        raise click.UsageError(f"{option} takes {what}=N with a whole number N, such as {what}=1024, not {text!r}.")
    return name, int(digits)


def _parse_dimension(text: str) -> tuple[Dimension, str]:
    name, _, key = text.partition(":")
    is_key = not key or (key.isprintable() and "`" not in key and len(key) <= MAX_KEY)
    if name in set(Dimension) and (name == Dimension.TAG) == bool(key) and is_key:
        return Dimension(name), key
    raise click.UsageError(f"--by takes caller, session, profile, operation, project or tag:KEY, not {text!r}.")


def _make_window(given: Mapping[str, Any], now: datetime, *, all_time: bool) -> Window:
    require_finite(given, "hours", "days")
    named = [name for name in ("hours", "days", "start") if given[name] is not None]
    if len(named) > 1:
        raise click.UsageError("Use one of --hours, --days and --from.")
    end = now if given["end"] is None else parse_time(given["end"])
    if not named and all_time:
        return ALL_TIME if given["end"] is None else make_window(ALL_TIME.starts_at, end)
    if given["start"] is not None:
        start = parse_time(given["start"])
    else:
        hours = given["days"] * 24 if given["days"] is not None else given["hours"] or DEFAULT_HOURS
        try:
            start = end - timedelta(hours=hours)
        except OverflowError:
            raise click.UsageError("The window begins before any calendar.") from None
    if start >= end:
        raise click.UsageError("The window ends before it begins.")
    return make_window(start, end)


def parse_time(text: str) -> datetime:
    """Return a moment in ISO 8601, in UTC unless it has an offset. Raises `click.UsageError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if not _FIRST_YEAR < moment.year < datetime.max.year:
        raise click.UsageError(f"{text!r} is no time. Write it like 2026-11-28T14:00 or 2026-11-28T14:00+01:00.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
