"""The usage of quota pools in a window of time: the input of every finding. All values are frozen.

A minute is its start in seconds since the epoch, as on the metrics.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from bedrock_quota.pools import QuotaPool

SECONDS_PER_MINUTE = 60

ENOUGH_COVERAGE = 0.5
"""Share of calls with a known max_tokens from which a pool can be called fine."""

THROTTLED = "ThrottlingException"
"""The error code of a call that Bedrock refused because of a quota or for lack of capacity."""


class SingleCall(Protocol):
    """The tokens of one call, as the processor prices it. `max_tokens` is None if it is unknown.

    `truncated` is true if the answer was cut at its output limit.
    """

    @property
    def input_tokens(self) -> int: ...  # noqa: D102 - see the class
    @property
    def cache_read_tokens(self) -> int: ...  # noqa: D102
    @property
    def cache_write_tokens(self) -> int: ...  # noqa: D102
    @property
    def output_tokens(self) -> int: ...  # noqa: D102
    @property
    def max_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def consumed_tokens(self) -> float: ...  # noqa: D102
    @property
    def truncated(self) -> bool: ...  # noqa: D102


class Sizes(msgspec.Struct, frozen=True):
    """The tokens of single calls: quantiles by the nearest rank, and the largest.

    Quantiles are None if single calls were not seen. `largest` is then 0, or the largest that is known.
    """

    p50: int | None = None
    p95: int | None = None
    p99: int | None = None
    largest: int = 0


class Limit(msgspec.Struct, frozen=True):
    """A max_tokens that calls had, its source, and their number."""

    max_tokens: int
    source: str
    calls: int


class CallerMinute(msgspec.Struct, frozen=True):
    """One minute of a caller in a quota pool.

    `known_requests` are the requests whose max_tokens is known. `limits` are pairs of a max_tokens and the number of
    calls that had it. `throttled` calls are not among the requests.
    """

    minute: int
    requests: int = 0
    known_requests: int = 0
    reserved_tokens: int = 0
    consumed_tokens: float = 0.0
    limits: tuple[tuple[int, int], ...] = ()
    throttled: int = 0


class CallerUsage(msgspec.Struct, frozen=True):
    """Usage of a quota pool by one caller.

    `answers` are the requests whose answer has output tokens of its own: neither embeddings nor blocked calls. `sizes`
    are those of answers. `limits` begin with the one that most calls had, and `largest_limit` is exact. `cut_answers`
    ended at their output limit, and `largest_cut` is the largest of these limits, 0 without such answers.
    `largest_base` is the most input and cache-write tokens of a single call, `largest_reservation` the most that one
    reserved as far as is known, and `largest_consumption` the most that one consumed. `minutes` are in order of time.
    """

    caller: str
    requests: int
    answers: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reserved_tokens: int
    consumed_tokens: float
    throttled: int
    sizes: Sizes
    limits: tuple[Limit, ...]
    largest_limit: Limit | None
    cut_answers: int
    largest_cut: int
    largest_base: int
    largest_reservation: int
    largest_consumption: float
    minutes: tuple[CallerMinute, ...]

    @property
    def known_requests(self) -> int:
        """Return the requests whose max_tokens is known."""
        return sum(limit.calls for limit in self.limits)

    @property
    def knows_all_limits(self) -> bool:
        """Return True if the max_tokens of each request is known."""
        return self.known_requests >= self.requests


class PoolMinute(msgspec.Struct, frozen=True):
    """One minute of a quota pool.

    `in_use` is the most that was in use at once in this minute, and `requests_in_60_seconds` the most requests that
    began in any 60 seconds that end in it. Both are None if single calls were not seen.
    """

    minute: int
    reserved_tokens: float = 0.0
    consumed_tokens: float = 0.0
    requests: int = 0
    known_requests: int = 0
    throttled: int = 0
    in_use: float | None = None
    requests_in_60_seconds: int | None = None

    @property
    def used_tokens(self) -> float:
        """Return the larger of reserved and consumed tokens.

        AWS's example reserves 5,250 tokens and consumes 9,000 ("How tokens are counted", read 2026-11-23).
        """
        return max(self.reserved_tokens, self.consumed_tokens)


class PoolUsage(msgspec.Struct, frozen=True):
    """Usage of one quota pool. A quota is None if it is unknown.

    `callers` begin with the one that reserves most. `errors` are the other error codes of failed calls, with their
    number. `unknown_ends` are the calls whose end is not in the log, so `in_use` counts them as ended at once.
    `input_sizes` are the input and cache-write tokens of single calls, `output_sizes` their output.
    """

    pool: QuotaPool
    token_quota: float | None
    request_quota: float | None
    minutes: tuple[PoolMinute, ...]
    callers: tuple[CallerUsage, ...]
    errors: tuple[tuple[str, int], ...] = ()
    unknown_ends: int = 0
    input_sizes: Sizes = Sizes()
    output_sizes: Sizes = Sizes()

    @property
    def requests(self) -> int:
        """Return the requests that a model or a guardrail answered."""
        return sum(minute.requests for minute in self.minutes)

    @property
    def throttled(self) -> int:
        """Return the requests that Bedrock throttled."""
        return sum(minute.throttled for minute in self.minutes)

    @property
    def coverage(self) -> float:
        """Return the share of requests whose max_tokens is known, from 0 to 1."""
        requests = self.requests
        return sum(minute.known_requests for minute in self.minutes) / requests if requests else 1.0

    @property
    def peak_reserved(self) -> float | None:
        """Return the most tokens reserved in one minute, or None if no max_tokens is known."""
        return max((minute.reserved_tokens for minute in self.minutes if minute.known_requests), default=None)

    @property
    def peak_consumed(self) -> float:
        """Return the most tokens consumed in one minute."""
        return max((minute.consumed_tokens for minute in self.minutes), default=0.0)

    @property
    def peak_requests(self) -> int:
        """Return the most requests in one minute."""
        return max((minute.requests for minute in self.minutes), default=0)

    @property
    def peak_used(self) -> float:
        """Return the most tokens reserved or consumed in one minute, whichever is larger."""
        return max((minute.used_tokens for minute in self.minutes), default=0.0)

    @property
    def peak_percent(self) -> float | None:
        """Return the highest use of the token or request quota in one minute, in percent. None without a quota."""
        shares = [
            100 * peak / quota
            for peak, quota in ((self.peak_used, self.token_quota), (self.peak_requests, self.request_quota))
            if quota
        ]
        return max(shares, default=None)


def find_peak_minute(minutes: Iterable[PoolMinute]) -> PoolMinute | None:
    """Return the minute with most used tokens, the first of equal ones. None without minutes."""
    return max(minutes, key=lambda minute: minute.used_tokens, default=None)
