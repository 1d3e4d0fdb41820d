"""List prices, each with the page and the date on which it was read: `prices.toml`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date

import msgspec

from quota_monitor.data_files import PRICES


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list price in US dollars. `page` is where it was read, `check` is the page of AWS to compare it with,
    and `dated` the date that the page gives itself.
    """

    usd: float
    per: str
    check: str
    page: str
    read: date
    dated: str = ""


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes and seconds of an invocation, which were measured."""

    event_overhead_bytes: float
    platform_log_bytes: float
    delivery_seconds: float
    duplicate_detection_seconds: float
    call_seconds: float


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers that a bill is computed from: prices in US dollars, and the bytes and seconds of an invocation."""

    metric_month: float
    alarm_metric_month: float
    dashboard_month: float
    log_gigabyte: float
    log_gigabyte_month: float
    log_scanned_gigabyte: float
    lambda_million_requests: float
    lambda_gigabyte_second: float
    table_million_writes: float
    queue_million_requests: float
    stream_hour: float
    stream_gigabyte_in: float
    stream_gigabyte_out: float
    event_overhead_bytes: float
    platform_log_bytes: float
    delivery_seconds: float
    duplicate_detection_seconds: float
    call_seconds: float


class PriceList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    region: str
    price: Mapping[str, Price]
    measured: Measured

    @property
    def read(self) -> date:
        """Return the date on which the oldest of the prices was read."""
        return min(price.read for price in self.price.values())


@functools.cache
def read_price_list() -> PriceList:
    """Read `prices.toml`."""
    return msgspec.toml.decode(PRICES.read_bytes(), type=PriceList)


def read_prices() -> Prices:
    """Return the numbers of `prices.toml`."""
    listed = read_price_list()
    prices = {name: price.usd for name, price in listed.price.items()}
    return msgspec.convert(prices | msgspec.structs.asdict(listed.measured), Prices)
