"""Names that a user may have misspelt, and the nearest ones with calls."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import click

from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.pools import EndpointType, QuotaPool
from quota_monitor.answers.document import Document

MOST_NAMES = 10
"""Names that are listed. Others are counted."""

NEAR = 0.6
"""Similarity from 0 to 1 from which a name is taken for a misspelt one."""


def sort_by_similarity(name: str, known: Iterable[str]) -> list[str]:
    """Return the names, those that resemble one most first. Capital letters do not matter."""
    return sorted(known, key=lambda each: (-_compare(name, each), each))


def list_names(names: Sequence[str]) -> str:
    """Return the first names, and the number of those that are not listed."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f", and {more:,} more" if more > 0 else "")


def check_selection(model: str, caller: str, documents: Sequence[Document]) -> None:
    """Raise `click.UsageError` if no model or no caller with calls has the text that selects it, in any of them.

    Without any call there is nothing to compare with.
    """
    if any(document.pools for document in documents):
        return
    models = {name for document in documents for name in document.other_models}
    callers = {name for document in documents for name in document.callers}
    if any(document.called for document in documents):
        if caller and callers:
            raise click.UsageError(f"No caller with {caller} in its name in this window.{_suggest(caller, callers)}")
    elif model and models:
        nearest = list_names(sort_by_similarity(model, models))
        raise click.UsageError(f"No call to a model with {model} in its id in this window. With calls: {nearest}.")


def check_scenario(scenario: Scenario, documents: Sequence[Document]) -> None:
    """Raise `click.UsageError` for a caller or pool of a what-if without calls in any account and Region.

    Without any call there is nothing to compare with.
    """
    callers = {caller for document in documents for caller in document.callers}
    pools = {pool for document in documents for pool in document.called}
    for name in scenario.max_tokens if pools else ():
        if name not in callers:
            raise click.UsageError(f"No caller {name} in this window.{_suggest(name, callers)}")
    for model in dict.fromkeys(pool.model_id for pool in scenario.token_quotas) if pools else ():
        wanted = [pool for pool in scenario.token_quotas if pool.model_id == model]
        if pools.isdisjoint(wanted):
            name = model if len(wanted) == len(EndpointType) else _write_pool(wanted[0])
            known = {pool.model_id for pool in pools} if name == model else {_write_pool(pool) for pool in pools}
            raise click.UsageError(f"No call to {name} in this window.{_suggest(name, known)}")


def _suggest(name: str, known: Iterable[str]) -> str:
    nearest = sort_by_similarity(name, known)
    if nearest and _compare(name, nearest[0]) >= NEAR:
        return f" Did you mean {nearest[0]}?"
    return f" With calls: {list_names(nearest)}." if nearest else ""


def _write_pool(pool: QuotaPool) -> str:
    return f"{pool.model_id}/{pool.endpoint_type}"


def _compare(name: str, other: str) -> float:
    """Return how similar two names are. A part of the other, as of a model id, counts by its nearest piece."""
    name, other = name.lower(), other.lower()
    matcher = difflib.SequenceMatcher(None, name, other)
    best = matcher.find_longest_match()
    piece = other[max(0, best.b - best.a) : max(0, best.b - best.a) + len(name) + 1]
    return max(matcher.ratio(), 0.9 * difflib.SequenceMatcher(None, name, piece).ratio())
