"""Pools of models that are not in the registry: a bounded number of them has metrics of its own.

Each pool is several paid metrics, and a model id is what a log says. The first `MAX_UNLISTED_POOLS` that
any container meets are kept in the state table. All others share the pool `unlisted` of their endpoint type.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bedrock_quota import clients
from bedrock_quota.pools import QuotaPool
from bedrock_quota.processor.application_profiles import CircuitBreaker
from bedrock_quota.state import table

if TYPE_CHECKING:
    from collections.abc import Set

_logger = logging.getLogger(__name__)

MAX_UNLISTED_POOLS = 100
"""Pools of unlisted models with metrics of their own, per stack. With the pools `unlisted`, one per endpoint type."""

MAX_SECONDS = 3.0
"""Time that answers of the state table may take together. Then no new pool is admitted for a minute."""

UNLISTED = "unlisted"
"""The `ModelId` of the pool that all other unlisted models share."""


class UnlistedPools:
    """The pools of unlisted models that have metrics of their own, in the state table or, without one, in memory."""

    def __init__(self, table_name: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._table, self._clock = table_name, clock
        self._admitted: Set[QuotaPool] = frozenset()
        self._is_full = False
        self._state, self._seconds = CircuitBreaker(clock), 0.0

    def admit(self, pool: QuotaPool) -> QuotaPool:
        """Return the pool if it may have metrics of its own, or else the pool `unlisted`. Never raises.

        Without an answer of the state table no new pool is admitted, because nobody knows how many there are.
        """
        if pool not in self._admitted and not self._is_full:
            self._ask(pool)
        return pool if pool in self._admitted else QuotaPool(UNLISTED, pool.endpoint_type)

    def _ask(self, pool: QuotaPool) -> None:
        if self._table is None:
            self._admitted = {*self._admitted, pool}
        elif self._state:
            asked = self._clock()
            try:
                self._admitted = table.admit_pool(self._table, clients.state(), pool, MAX_UNLISTED_POOLS)
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
        self._is_full = len(self._admitted) >= MAX_UNLISTED_POOLS
