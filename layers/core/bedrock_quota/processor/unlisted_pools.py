"""Pools of models that are not in the registry: a bounded number of them has metrics of its own.

Each pool is several paid metrics, and a model id is what a log says. The first `MAX_UNLISTED_POOLS` that
any container meets are kept in the state table, with the day on which each was last used. All others share the pool
`unlisted` of their endpoint type, until one of the first was not used for `UNLISTED_POOLS_DAYS`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bedrock_quota import clients
from bedrock_quota.pools import UNLISTED, QuotaPool
from bedrock_quota.processor.application_profiles import CircuitBreaker
from bedrock_quota.processor.records import SECONDS_PER_DAY
from bedrock_quota.state import table

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__name__)

MAX_UNLISTED_POOLS = 100
"""Pools of unlisted models with metrics of their own, per stack. With the pools `unlisted`, one per endpoint type."""

MAX_SECONDS = 3.0
"""Time that answers of the state table may take together. Then no new pool is admitted for a minute."""


class UnlistedPools:
    """The pools of unlisted models that have metrics of their own, in the state table or, without one, in memory."""

    def __init__(
        self,
        table_name: str | None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table, self._clock, self._now = table_name, clock, now
        self._last_used: Mapping[QuotaPool, int] = {}
        self._full_on = -1
        self._state, self._seconds = CircuitBreaker(clock), 0.0

    def admit(self, pool: QuotaPool) -> QuotaPool:
        """Return the pool if it may have metrics of its own, or else the pool `unlisted`. Never raises.

        Without an answer of the state table no new pool is admitted, because nobody knows how many there are. The
        table is asked about an admitted pool once per day, and once per day if there is room for another one.
        """
        today = int(self._now() // SECONDS_PER_DAY)
        if self._last_used.get(pool, -1) < today and (pool in self._last_used or self._full_on != today):
            self._ask(pool, today)
        return pool if pool in self._last_used else QuotaPool(UNLISTED, pool.endpoint_type)

    def _ask(self, pool: QuotaPool, today: int) -> None:
        if self._table is None:
            if pool in self._last_used or len(self._last_used) < MAX_UNLISTED_POOLS:
                self._last_used = {**self._last_used, pool: today}
        elif self._state:
            asked = self._clock()
            try:
                self._last_used = table.admit_pool(self._table, clients.state(), pool, MAX_UNLISTED_POOLS, today)
                self._state.answered()
            except Exception as error:  # noqa: BLE001 - metrics must flow; the call counts in the pool "unlisted"
                _logger.warning(
                    "could not ask the state table about the pool of an unlisted model",
                    extra={"error": f"{type(error).__name__}: {error}"},
                )
                if self._state.failed(error):  # a table that refuses one pool refuses the next, and there may be many
                    self._state.open()
            self._seconds += self._clock() - asked
            if self._seconds >= MAX_SECONDS:
                self._seconds = 0.0
                self._state.open()
        if len(self._last_used) >= MAX_UNLISTED_POOLS and table.select_unused(self._last_used, today) is None:
            self._full_on = today
