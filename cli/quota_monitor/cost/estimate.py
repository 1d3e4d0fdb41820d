"""The estimate of a month: the use it is for, its items, and the invocation log."""

from __future__ import annotations

import msgspec

from quota_monitor.cost import bill
from quota_monitor.cost.account import AccountUse
from quota_monitor.cost.bill import GIGABYTE, Item, Use
from quota_monitor.cost.prices import Prices

BYTES_PER_TOKEN = 4
"""Assumed bytes of text per token: a common rule of thumb for English. Code and other languages differ."""

RECORD_BYTES = 1_000
"""Assumed bytes of a record of the invocation log besides its prompt and its answer."""


class Defaults(msgspec.Struct, frozen=True):
    """Assumed values of numbers that are neither given nor measured."""

    pools: int = 5
    calls: int = 1_000_000
    calls_per_delivery: float = 10.0


DEFAULTS = Defaults()


class Given(msgspec.Struct, frozen=True):
    """Values that the user has set. None: not set."""

    pools: int | None = None
    calls: int | None = None
    calls_per_delivery: float | None = None
    duplicate_detection: bool | None = None
    through_stream: bool | None = None
    with_sessions: bool | None = None
    late_calls: int = 0
    kilobytes_per_call: float | None = None


class LogCost(msgspec.Struct, frozen=True):
    """The invocation log of a month. `log_group` is the one that Bedrock logs to, or None if there is none yet."""

    gigabytes: float
    dollars: float
    log_group: str | None


class Estimate(msgspec.Struct, frozen=True):
    """A month's bill. `account_use` is None if nothing was read from an account."""

    use: Use
    items: tuple[Item, ...]
    log: LogCost | None
    view_dollars: float
    """The price of opening the dashboard once."""
    break_even: float | None
    """Deliveries per second from which a stream is cheaper, or None if it never is."""
    account_use: AccountUse | None = None
    assumed: tuple[str, ...] = ()

    @property
    def dollars(self) -> float:
        """Return the sum of the items, without the invocation log."""
        return sum(item.dollars for item in self.items)


def make_estimate(given: Given, price: Prices, found: AccountUse | None = None) -> Estimate:
    """Return the estimate for what is given, else for what was found in an account, else for what is assumed."""
    assumed = list(found.assumed) if found is not None else []
    use = _choose_use(given, found, assumed)
    written, batch = bill.measure(use)
    items = bill.itemize(use, price, bill.count_alarm_metrics(through_stream=use.through_stream), written, batch)
    return Estimate(
        use=use,
        items=tuple(items),
        log=_price_log(given, found, use, price, assumed),
        view_dollars=bill.dashboard_view(use, price, written, bill.count_log_queries()),
        break_even=bill.break_even(use, price),
        account_use=found,
        assumed=tuple(assumed),
    )


def _choose_use(given: Given, found: AccountUse | None, assumed: list[str]) -> Use:
    if found is None:
        pools, calls, per_delivery = given.pools, given.calls, given.calls_per_delivery
        parameters = {}
    else:
        pools = found.pools if given.pools is None else given.pools
        calls = found.calls if given.calls is None else given.calls
        per_delivery = found.calls_per_delivery if given.calls_per_delivery is None else given.calls_per_delivery
        parameters = dict(found.parameters)
        if pools is None:
            assumed.append(f"{DEFAULTS.pools} quota pools. --pools sets another number.")
        if calls is None:
            assumed.append(f"{DEFAULTS.calls:,} calls per month. --calls sets another number.")
        if per_delivery is None:
            assumed.append(
                f"{DEFAULTS.calls_per_delivery:g} calls per delivery. A deployed stack shows the real number, and "
                "--calls-per-delivery sets another one."
            )
    return Use(
        DEFAULTS.pools if pools is None else pools,
        DEFAULTS.calls if calls is None else calls,
        DEFAULTS.calls_per_delivery if per_delivery is None else per_delivery,
        _choose(given.duplicate_detection, parameters.get("DuplicateDetection", "on") == "on"),
        through_stream=_choose(given.through_stream, parameters.get("Ingestion") == "kinesis"),
        with_sessions=_choose(given.with_sessions, parameters.get("CallerDetail") == "session"),
        late_calls=given.late_calls,
    )


def _choose(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


def _price_log(given: Given, found: AccountUse | None, use: Use, price: Prices, assumed: list[str]) -> LogCost | None:
    """Return the cost of the invocation log, or None if its size is not known."""
    group = found.log_group if found is not None else None
    if given.kilobytes_per_call is not None:
        gigabytes = use.calls * given.kilobytes_per_call * 1_000 / GIGABYTE
        if found is not None:
            assumed.append(f"{given.kilobytes_per_call:g} KB per call in the invocation log, as --kb-per-call says.")
    elif found is not None and found.log_gigabytes is not None:
        gigabytes = found.log_gigabytes
    elif found is not None and found.tokens is not None:
        gigabytes = (found.tokens * BYTES_PER_TOKEN + use.calls * RECORD_BYTES) / GIGABYTE
        assumed.append(
            f"A record of the invocation log has {BYTES_PER_TOKEN} bytes per token and {RECORD_BYTES:,} more. "
            "--kb-per-call sets another size."
        )
    else:
        return None
    return LogCost(gigabytes, gigabytes * price.log_gigabyte, group)
