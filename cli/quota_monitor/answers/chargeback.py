"""The file of `--chargeback`: prices of your own, and tags of callers that send none. docs/answers.md shows one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from bedrock_quota.analysis.usage import CallerUsage
from bedrock_quota.pools import EndpointType, QuotaPool

PER = 1_000_000
"""Tokens that a price is for."""


class OwnPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars per million tokens. A price that is None is unknown."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file. `prices` are by model id, or by model id and endpoint type with a slash between them.

    `tags` has for each key of `requestMetadata` the value of callers whose calls send none.
    """

    prices: Mapping[str, OwnPrice] = {}
    tags: Mapping[str, Mapping[str, str]] = {}


class Chargeback(_Content, frozen=True):
    """The content of a file, and the name of the file as its `source`. It is "" without a file."""

    source: str = ""

    def find_price(self, pool: QuotaPool) -> OwnPrice | None:
        """Return the price of a pool: of its endpoint type, or else of its model. None: the file has none."""
        return self.prices.get(f"{pool.model_id}/{pool.endpoint_type}") or self.prices.get(pool.model_id)


NO_CHARGEBACK = Chargeback()


def compute_price(price: OwnPrice, caller: CallerUsage) -> float | None:
    """Return the price of a caller's calls. None: it has tokens without a price."""
    parts = (
        (caller.input_tokens, price.input),
        (caller.output_tokens, price.output),
        (caller.cache_read_tokens, price.cache_read),
        (caller.cache_write_tokens, price.cache_write),
    )
    dollars = 0.0
    for tokens, dollars_per_million in parts:
        if not tokens:
            continue
        if dollars_per_million is None:
            return None
        dollars += tokens * dollars_per_million
    return dollars / PER


def read_chargeback(path: Path) -> Chargeback:
    """Return what a file says. Raises `click.UsageError` if it cannot be read, or has something else in it."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_Content)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from None
    for name, price in found.prices.items():
        _, slash, endpoint = name.partition("/")
        if slash and endpoint not in set(EndpointType):
            raise click.UsageError(f"{path}: {endpoint!r} is no endpoint type. Known: {', '.join(EndpointType)}.")
        for kind, dollars in msgspec.structs.asdict(price).items():
            if dollars is not None and not 0 <= dollars < math.inf:
                raise click.UsageError(f"{path}: the price {kind} of {name} is {dollars}, which is no price.")
    return Chargeback(found.prices, found.tags, path.name)


class ChargebackFile(click.ParamType):
    """The type of an option that names such a file."""

    name = "file"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Chargeback:
        """Return what the file says."""
        if isinstance(value, Chargeback):
            return value
        try:
            return read_chargeback(Path(str(value)))
        except click.UsageError as error:
            self.fail(error.message, param, ctx)


def check_use(chargeback: Chargeback, by: str | None, *, dollars: bool) -> None:
    """Raise `click.UsageError` for a file of which the other options use nothing."""
    kind, _, key = (by or "").partition(":")
    has_tags = kind == "tag" and key in chargeback.tags
    if not chargeback.source or has_tags or (dollars and chargeback.prices):
        return
    raise click.UsageError(
        f"Nothing in {chargeback.source} is used. Its prices are for --dollars, and its tables [tags.KEY] for --by "
        "tag:KEY."
    )
