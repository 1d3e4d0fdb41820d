"""Answers as data: JSON with a versioned schema, and CSV. docs/answers.md describes both."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from bedrock_quota.analysis.advice import Advice, Change
from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.remedy import Remedy
from bedrock_quota.analysis.usage import CallerUsage, PoolMinute, PoolUsage
from bedrock_quota.pools import QuotaPool
from quota_monitor.answers.document import Document
from quota_monitor.answers.numbers import real, timestamp
from quota_monitor.answers.prices import Prices
from quota_monitor.answers.tokens import GroupTotal, total_all_groups, total_groups
from quota_monitor.answers.words import write_paragraphs
from quota_monitor.json_output import format_json


def to_json(documents: Sequence[Document]) -> bytes:
    """Return the answers as indented JSON in UTF-8."""
    return (format_json(to_data(documents)) + "\n").encode()


def to_data(documents: Sequence[Document]) -> dict[str, Any]:
    """Return the answers as a document without the version of its schema."""
    found: dict[str, Any] = {"accounts": [_document(each) for each in documents]}
    return found | to_totals(documents) if len(documents) > 1 else found


def to_totals(documents: Sequence[Document]) -> dict[str, Any]:
    """Return the totals over several accounts and Regions."""
    return {"totals_by": [_total(each) for each in total_all_groups(documents)]}


def to_csv(documents: Sequence[Document]) -> str:
    """Return one row per account, pool and caller."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for document in documents:
        for usage in document.listed:
            for row in _caller_rows(document, usage, {} if document.listing else _advice_of(document, usage.pool)):
                price = (document.prices or {}).get((usage.pool, str(row[2])))
                named = (*row[:2], document.name_group(str(row[2])), *row[3:], price)
                writer.writerow([document.account, document.region, *map(_plain, named)])
    return text.getvalue()


def to_csv_totals(documents: Sequence[Document]) -> str:
    """Return one row per account and caller, or what else is listed, over all pools."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_plain(_name_groups(documents) if name == "caller" else name) for name in _CSV_TOTAL_COLUMNS)
    for document in documents:
        for total in total_groups(document):
            cells = {**_total(total), "caller": document.name_group(total.name)}
            row = [cells[name] for name in _CSV_TOTAL_COLUMNS[4:]]
            window = (timestamp(document.window.start), timestamp(document.window.end))
            writer.writerow([document.account, document.region, *window, *map(_plain, row)])
    return text.getvalue()


def _name_groups(documents: Sequence[Document]) -> str:
    """Return the name of the column of what is listed: `caller`, `profile`, or the key of a tag.

    A key that is the name of another column keeps `tag:` at its beginning.
    """
    by = documents[0].by if documents else "caller"
    key = by.removeprefix("tag:")
    return by if key in _CSV_TOTAL_COLUMNS else key


def _plain(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula. Numbers stay numbers."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return "" if value is None else value


_CSV_COLUMNS = (
    "account",
    "region",
    "model_id",
    "endpoint_type",
    "caller",
    "requests",
    "throttled",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reserved_tokens",
    "consumed_tokens",
    "output_p50",
    "output_p95",
    "output_p99",
    "output_largest",
    "cut_answers",
    "max_tokens",
    "max_tokens_source",
    "action",
    "proposed_max_tokens",
    "freed_tokens_at_peak",
    "price_usd",
)


_CSV_TOTAL_COLUMNS = (
    "account",
    "region",
    "from",
    "to",
    "caller",
    "requests",
    "throttled",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "price_usd",
    "has_unknown_prices",
)


def _advice_of(document: Document, pool: QuotaPool) -> dict[str, Advice]:
    return {each.caller: each for answer in document.pools if answer.usage.pool == pool for each in answer.advice}


def _caller_rows(document: Document, usage: PoolUsage, advice: Mapping[str, Advice]) -> Iterable[tuple[object, ...]]:
    for caller in usage.callers:
        found = advice.get(caller.caller)
        limit, sizes = caller.largest_limit, caller.sizes
        yield (
            usage.pool.model_id,
            str(usage.pool.endpoint_type),
            caller.caller,
            caller.requests,
            document.count_throttled(caller),
            caller.input_tokens,
            caller.output_tokens,
            caller.cache_read_tokens,
            caller.cache_write_tokens,
            caller.reserved_tokens,
            caller.consumed_tokens,
            sizes.p50,
            sizes.p95,
            sizes.p99,
            sizes.largest,
            caller.cut_answers,
            None if limit is None else limit.max_tokens,
            None if limit is None else limit.source,
            None if found is None else str(found.action),
            None if found is None else found.max_tokens,
            None if found is None else found.freed_tokens,
        )


def _document(document: Document) -> dict[str, Any]:
    scenario = document.scenario
    return {
        "account": document.account or None,
        "region": document.region or None,
        "source": document.source,
        "from": timestamp(document.window.start),
        "to": timestamp(document.window.end),
        "by": document.by,
        "only_callers": document.only_callers or None,
        "records_received": document.received,
        "records_not_counted": dict(document.counts),
        "notes": list(document.all_notes),
        "account_tokens_per_day_quota": real(document.account_tokens_per_day),
        "scenario": {
            "growth": real(scenario.growth),
            "max_tokens": dict(scenario.max_tokens),
            "token_quotas": {str(pool): real(quota) for pool, quota in scenario.token_quotas.items()},
        },
        "findings": [str(paragraph) for paragraph in write_paragraphs(document)],
        "pools": [_pool(answer, document.caller_prices) for answer in document.pools],
        "usage_by": [
            {
                "model_id": usage.pool.model_id,
                "endpoint_type": str(usage.pool.endpoint_type),
                "callers": [
                    {**each, "throttled": document.count_throttled(caller)}
                    for each, caller in zip(
                        _callers(usage.pool, usage.callers, (), document.prices), usage.callers, strict=True
                    )
                ],
            }
            for usage in document.listing
        ],
        "totals_by": [_total(total) for total in total_groups(document)],
    }


def _total(total: GroupTotal) -> dict[str, Any]:
    return {
        "caller": total.name,
        "requests": total.requests,
        "throttled": total.throttled,
        "input_tokens": total.input_tokens,
        "cache_read_tokens": total.cache_read_tokens,
        "cache_write_tokens": total.cache_write_tokens,
        "output_tokens": total.output_tokens,
        "price_usd": real(total.price),
        "has_unknown_prices": total.has_unknown_prices,
    }


def _pool(answer: PoolAnswer, prices: Prices | None) -> dict[str, Any]:
    usage = answer.usage
    projection = answer.projection
    return {
        "model_id": usage.pool.model_id,
        "endpoint_type": str(usage.pool.endpoint_type),
        "state": str(answer.verdict.state),
        "token_quota": real(usage.token_quota),
        "request_quota": real(usage.request_quota),
        "requests": usage.requests,
        "throttled": usage.throttled,
        "throttled_by_cause": {str(cause): number for cause, number in answer.verdict.count_throttled().items()},
        "errors": dict(usage.errors),
        "coverage": real(usage.coverage),
        "peak_reserved_tokens": real(usage.peak_reserved),
        "peak_consumed_tokens": real(usage.peak_consumed),
        "peak_requests": usage.peak_requests,
        "peak_percent": real(usage.peak_percent),
        "calls_with_unknown_end": usage.unknown_ends,
        "changes": [_change(change) for change in answer.changes],
        "levers": [
            {
                "lever": str(lever.lever),
                "unit": str(lever.unit),
                "amount": real(lever.amount),
                "most": real(lever.most),
                "pool": None if lever.pool is None else str(lever.pool),
                "caller": lever.caller or None,
            }
            for lever in answer.levers
        ],
        "projection": None
        if projection is None
        else {
            "outcome": str(projection.outcome),
            "peak_tokens": real(projection.usage.peak_used),
            "peak_tokens_with_throttled": real(projection.peak_with_throttled),
            "peak_requests": real(projection.usage.peak_requests),
            "peak_requests_with_throttled": real(projection.requests_with_throttled),
            "growth_to_quota": real(projection.growth_to_quota),
            "is_changed": projection.is_changed,
            "callers_with_cut_answers": list(projection.cut_callers),
            "remedy": _remedy(answer.remedy),
        },
        "callers": _callers(usage.pool, answer.callers, answer.advice, prices),
        "minutes": [_minute(minute) for minute in usage.minutes],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "caller": change.caller.caller,
        "max_tokens": change.max_tokens,
        "peak_tokens": real(change.peak),
        "peak_tokens_with_throttled": real(change.peak_with_throttled),
    }


def _remedy(remedy: Remedy | None) -> dict[str, Any] | None:
    if remedy is None:
        return None
    return {
        "changes": [_change(change) for change in remedy.changes],
        "is_enough": remedy.is_enough,
        "token_quota": real(remedy.token_quota),
        "request_quota": real(remedy.request_quota),
    }


def _callers(
    pool: QuotaPool, callers: Iterable[CallerUsage], advice: Iterable[Advice], prices: Prices | None
) -> list[dict[str, Any]]:
    found = {each.caller: each for each in advice}
    return [_caller(caller, found.get(caller.caller), (prices or {}).get((pool, caller.caller))) for caller in callers]


def _caller(caller: CallerUsage, advice: Advice | None, price: float | None) -> dict[str, Any]:
    return {
        "caller": caller.caller,
        "requests": caller.requests,
        "throttled": caller.throttled,
        "input_tokens": caller.input_tokens,
        "cache_read_tokens": caller.cache_read_tokens,
        "cache_write_tokens": caller.cache_write_tokens,
        "output_tokens": caller.output_tokens,
        "reserved_tokens": caller.reserved_tokens,
        "consumed_tokens": real(caller.consumed_tokens),
        "output_sizes": msgspec.to_builtins(caller.sizes),
        "cut_answers": caller.cut_answers,
        "largest_cut": caller.largest_cut or None,
        "price_usd": real(price),
        "limits": msgspec.to_builtins(caller.limits),
        "advice": None
        if advice is None
        else {
            "action": str(advice.action),
            "reason": str(advice.reason),
            "max_tokens": advice.max_tokens,
            "rests_on_answers": advice.calls,
            "freed_tokens_at_peak": real(advice.freed_tokens),
            "freed_percent_at_peak": real(advice.freed_percent),
        },
    }


def _minute(minute: PoolMinute) -> dict[str, Any]:
    return {
        "minute": timestamp(minute.minute),
        "reserved_tokens": real(minute.reserved_tokens),
        "consumed_tokens": real(minute.consumed_tokens),
        "requests": minute.requests,
        "requests_with_known_max_tokens": minute.known_requests,
        "throttled": minute.throttled,
        "in_use_tokens": real(minute.in_use),
    }
