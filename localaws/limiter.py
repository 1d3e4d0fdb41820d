"""Bedrock's limiter, as AWS documents it: it sets tokens aside when a call starts, and settles when the call ends.

At the start, the call needs its input + cache write + max_tokens. If that does not fit into what is left of the quota,
or if the quota of requests is used up, the call is throttled. At the end, the unused part is given back, and the call
has used its input + cache write + output × burndown rate ("How tokens are counted", Bedrock User Guide, read
2026-11-23). AWS does not say if its minutes slide with each call or begin on the clock, so both can be chosen.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

WINDOW_SECONDS = 60.0


class Minutes(StrEnum):
    """The minutes that a quota counts by."""

    SLIDING = "sliding"
    """A call counts for 60 seconds from its start, and while it runs."""
    FIXED = "fixed"
    """A call counts in the clock's minute of its start. A new minute begins with what the running calls hold."""


class Attempt(msgspec.Struct, frozen=True):
    """One attempt to call: its start and duration in seconds, and the tokens it needs and will have used."""

    started: float
    seconds: float
    reserved: float
    consumed: float

    @property
    def ended(self) -> float:
        """Return its end."""
        return self.started + self.seconds


class Limiter:
    """The quotas of one pool. None is no quota. Attempts must come in order of their start."""

    def __init__(
        self, tokens_per_minute: float | None, requests_per_minute: float | None, minutes: Minutes = Minutes.SLIDING
    ) -> None:
        self._tokens, self._requests, self._minutes = tokens_per_minute, requests_per_minute, minutes
        self._running: list[tuple[float, int, Attempt]] = []
        self._numbers = itertools.count()
        self._settled: list[tuple[float, float]] = []
        """Heap of the end of counting, and the tokens, of calls that have ended."""
        self._used = 0.0
        self._starts: deque[float] = deque()
        self._minute = -1.0

    def admit(self, attempt: Attempt) -> bool:
        """Return True if a call is served, False if it is throttled."""
        now = attempt.started
        self._advance(now)
        if self._requests is not None and len(self._starts) + 1 > self._requests:
            return False
        if self._tokens is not None and self._used + attempt.reserved > self._tokens:
            return False
        heapq.heappush(self._running, (attempt.ended, next(self._numbers), attempt))
        self._used += attempt.reserved
        self._starts.append(now)
        return True

    @property
    def used(self) -> float:
        """Return the tokens in use after the last attempt."""
        return self._used

    def _advance(self, now: float) -> None:
        """Settle all calls that have ended, and forget what no longer counts."""
        while self._running and self._running[0][0] <= now:
            ended, _, call = heapq.heappop(self._running)
            self._begin_minute(ended)
            self._settle(call, ended)
        self._begin_minute(now)
        if self._minutes is Minutes.SLIDING:
            while self._settled and self._settled[0][0] <= now:
                self._used -= heapq.heappop(self._settled)[1]
            while self._starts and self._starts[0] <= now - WINDOW_SECONDS:
                self._starts.popleft()
        if not self._running and not self._settled and self._minutes is Minutes.SLIDING:
            self._used = 0.0  # sums of fractions may miss 0 by a little

    def _settle(self, call: Attempt, ended: float) -> None:
        self._used -= call.reserved
        if self._minutes is Minutes.SLIDING:
            if call.started + WINDOW_SECONDS > ended:
                self._used += call.consumed
                heapq.heappush(self._settled, (call.started + WINDOW_SECONDS, call.consumed))
        elif _minute(call.started) == self._minute:
            self._used += call.consumed

    def _begin_minute(self, now: float) -> None:
        if self._minutes is Minutes.FIXED and _minute(now) != self._minute:
            self._minute = _minute(now)
            self._used = sum(call.reserved for _, _, call in self._running)
            self._starts.clear()


def _minute(moment: float) -> float:
    return moment // WINDOW_SECONDS


def run(attempts: Iterable[Attempt], limiter: Limiter) -> Iterator[bool]:
    """Yield for each attempt if it is served."""
    return (limiter.admit(attempt) for attempt in attempts)
