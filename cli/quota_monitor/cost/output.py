"""Estimates as text and as JSON. docs/costs.md describes the JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from quota_monitor.answers.numbers import timestamp
from quota_monitor.cost import bill
from quota_monitor.cost.bill import HOURS_SHOWN, MAX_PER_SECOND
from quota_monitor.cost.estimate import Estimate
from quota_monitor.cost.prices import Prices, read_price_list
from quota_monitor.json_output import format_json
from quota_monitor.terminal import make_console


def write(estimate: Estimate, price: Prices) -> None:
    """Print an estimate: what was measured and assumed, a table, and sentences below it."""
    for line in _head(estimate):
        click.echo(line)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Item")
    table.add_column("Basis", overflow="fold")
    table.add_column("US$ per month", justify="right")
    for item in estimate.items:
        table.add_row(item.what, item.basis, f"{item.dollars:,.2f}")
    table.add_row("[bold]Total[/]", "", f"[bold]{estimate.dollars:,.2f}[/]")
    make_console().print(table)
    for sentence in _write_sentences(estimate, price):
        click.echo(sentence)


def _head(estimate: Estimate) -> list[str]:
    found = estimate.account_use
    if found is None:
        return []
    lines = [f"Account {found.account}, {found.region}, {found.window}", ""]
    for name, sentences in (("Measured", found.measured), ("Assumed", estimate.assumed)):
        lines += [f"{name}:", *(f"  {each}" for each in sentences), ""] if sentences else []
    return lines


def _write_sentences(estimate: Estimate, price: Prices) -> list[str]:
    use = estimate.use
    found = [
        f"Opening the dashboard 1,000 times costs ${1_000 * estimate.view_dollars:,.2f}. "
        f"Each time runs {bill.count_log_queries()} queries over {HOURS_SHOWN} hours of metric lines.",
        _describe_log(estimate, price),
    ]
    if estimate.account_use is not None:
        found.append(describe_another(price))
    found.append(
        f"With {use.calls_per_delivery:g} calls per delivery and "
        f"duplicate detection {'on' if use.duplicate_detection else 'off'}, "
        + (
            f"a stream (Ingestion=kinesis) is cheaper from {estimate.break_even:,.0f} deliveries per second."
            if estimate.break_even is not None
            else f"a stream (Ingestion=kinesis) is not cheaper, up to {MAX_PER_SECOND:,} deliveries per second."
        )
    )
    return found


def _describe_log(estimate: Estimate, price: Prices) -> str:
    log = estimate.log
    storage = f"Storage costs ${price.log_gigabyte_month:.2f} per GB and month, compressed."
    if log is None:
        return (
            "Not included: Bedrock's invocation log, if it is switched on for the monitor "
            f"(${price.log_gigabyte:.2f} per GB of prompts and answers), and log storage "
            f"(${price.log_gigabyte_month:.2f} per GB and month, compressed)."
        )
    size = f"{log.gigabytes:,.1f} GB per month, ${log.dollars:,.2f}"
    if log.log_group is not None:
        return f"The invocation log exists: {size}. You pay for it already, unless the stack switched it on. {storage}"
    total = estimate.dollars + log.dollars
    return (
        f"If invocation logging is off today, its log adds {size}. Then the total is ${total:,.2f} per month. {storage}"
    )


def describe_another(price: Prices) -> str:
    """Return a sentence on what another Region or account adds."""
    return (
        f"Another Region or account adds ${bill.monitor_dollars(price):,.2f} for the monitor and "
        f"${bill.pool_dollars(price):,.2f} per quota pool in use there, plus its calls."
    )


def to_json(estimates: Sequence[Estimate], price: Prices) -> str:
    """Return estimates as indented JSON."""
    listed = read_price_list()
    content = {
        "currency": "USD",
        "price_region": listed.region,
        "prices_read": listed.read.isoformat(),
        "another_region": {
            "monitor_usd_per_month": _round(bill.monitor_dollars(price)),
            "quota_pool_usd_per_month": _round(bill.pool_dollars(price)),
        },
        "estimates": [_estimate(each) for each in estimates],
    }
    return format_json(content)


def _estimate(estimate: Estimate) -> dict[str, Any]:
    use, found, log = estimate.use, estimate.account_use, estimate.log
    return {
        "account": found.account if found else None,
        "region": found.region if found else None,
        "from": timestamp(found.window.start) if found else None,
        "to": timestamp(found.window.end) if found else None,
        "measured": list(found.measured) if found else [],
        "assumed": list(estimate.assumed),
        "quota_pools": use.pools,
        "calls_per_month": use.calls,
        "calls_per_delivery": use.calls_per_delivery,
        "ingestion": "kinesis" if use.through_stream else "direct",
        "items": [
            {"item": item.what, "basis": item.basis, "usd_per_month": _round(item.dollars)} for item in estimate.items
        ],
        "usd_per_month": _round(estimate.dollars),
        "invocation_log": None
        if log is None
        else {
            "log_group": log.log_group,
            "gigabytes_per_month": round(log.gigabytes, 3),
            "usd_per_month": _round(log.dollars),
        },
        "usd_per_dashboard_view": estimate.view_dollars,
        "stream_cheaper_from_deliveries_per_second": estimate.break_even,
    }


def _round(dollars: float) -> float:
    return round(dollars, 4)
