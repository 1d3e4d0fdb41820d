"""Adding up single calls to the usage of quota pools, in memory that does not grow with the number of calls."""

from collections import Counter
from collections.abc import Mapping

from bedrock_quota.analysis.in_use import MAX_POOL_HOURS, InUse
from bedrock_quota.analysis.usage import (
    THROTTLED,
    CallerMinute,
    CallerUsage,
    Limit,
    PoolMinute,
    PoolUsage,
    SingleCall,
    Sizes,
)
from bedrock_quota.pools import NO_QUOTA, PoolQuota, QuotaPool

OTHER = "other"

NO_OUTPUT = "none"
"""The source of calls without output tokens: embeddings, and calls that a guardrail blocked."""

MAX_CALLERS_PER_POOL = 500
"""Callers of a pool that stay apart. All further ones share the caller `other`."""

MAX_CALLER_MINUTES = 200_000
"""Minutes of callers that are kept, about 450 bytes each. Later ones count in their pool's minute and their caller's
sums, but no what-if knows their limits."""

MAX_POOL_MINUTES = 200_000
"""Minutes of pools that are kept. Calls of later ones count in their caller's sums alone."""

MAX_LIMITS = 200
"""Different limits that are kept of a caller's minute, and of a caller by source. A further one counts as the next
smaller power of two, so that no saving is overstated."""

MAX_SIZES = 2_000
"""Different output sizes that are kept exactly per caller. A further one counts as the next power of two above it, and
the largest is always exact."""

_Limits = dict[int, int]


class _Sizes:
    """Output tokens of single answers, counted by size."""

    __slots__ = ("_counts", "_largest")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._largest = 0

    def add(self, tokens: int) -> None:
        """Count one answer."""
        counts = self._counts
        self._largest = max(self._largest, tokens)
        known = counts.get(tokens)
        if known is not None:
            counts[tokens] = known + 1
            return
        if len(counts) >= MAX_SIZES:
            tokens = 1 << (tokens - 1).bit_length() if tokens else 0
        counts[tokens] = counts.get(tokens, 0) + 1

    def measure(self) -> Sizes:
        """Return quantiles by the nearest rank."""
        total = sum(self._counts.values())
        if not total:
            return Sizes()
        ranks = [-(-total * percent // 100) for percent in (50, 95, 99)]
        found: list[int] = []
        passed = 0
        for tokens in sorted(self._counts):
            passed += self._counts[tokens]
            while len(found) < len(ranks) and passed >= ranks[len(found)]:
                found.append(min(tokens, self._largest))
        p50, p95, p99 = found
        return Sizes(p50, p95, p99, self._largest)


class _CallerMinute:
    """The sums of one caller's minute."""

    __slots__ = ("consumed", "known", "limits", "requests", "reserved", "throttled")

    def __init__(self) -> None:
        self.requests = self.known = self.reserved = self.throttled = 0
        self.consumed = 0.0
        self.limits: _Limits = {}

    def freeze(self, minute: int) -> CallerMinute:
        """Return the frozen value."""
        return CallerMinute(
            minute=minute,
            requests=self.requests,
            known_requests=self.known,
            reserved_tokens=self.reserved,
            consumed_tokens=self.consumed,
            limits=tuple(sorted(self.limits.items())),
            throttled=self.throttled,
        )


class _PoolSizes:
    """The sizes of all calls of a pool."""

    __slots__ = ("input", "output")

    def __init__(self) -> None:
        self.input, self.output = _Sizes(), _Sizes()


class _PoolMinute:
    """The sums of one minute of a pool."""

    __slots__ = ("consumed", "known", "requests", "reserved", "throttled")

    def __init__(self) -> None:
        self.requests = self.known = self.reserved = self.throttled = 0
        self.consumed = 0.0


class _Caller:
    """The sums of one caller in a pool."""

    __slots__ = (
        "answers",
        "cache_read",
        "cache_write",
        "consumed",
        "cut",
        "input",
        "largest_base",
        "largest_consumption",
        "largest_cut",
        "largest_limit",
        "largest_reserved",
        "limits",
        "minutes",
        "name",
        "output",
        "requests",
        "reserved",
        "sizes",
        "throttled",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers = self.requests = self.input = self.cache_read = self.cache_write = self.output = self.reserved = 0
        self.consumed = 0.0
        self.throttled = self.cut = self.largest_cut = self.largest_base = self.largest_reserved = 0
        self.largest_limit: tuple[int, bool, str] | None = None
        """The largest max_tokens, if it is the caller's own, and its source."""
        self.largest_consumption = 0.0
        self.sizes = _Sizes()
        self.limits: dict[str, _Limits] = {}
        self.minutes: dict[int, _CallerMinute] = {}

    def freeze(self) -> CallerUsage:
        """Return the frozen value."""
        limits = [
            Limit(max_tokens, source, calls)
            for source, counts in self.limits.items()
            for max_tokens, calls in counts.items()
        ]
        return CallerUsage(
            caller=self.name,
            requests=self.requests,
            answers=self.answers,
            input_tokens=self.input,
            cache_read_tokens=self.cache_read,
            cache_write_tokens=self.cache_write,
            output_tokens=self.output,
            reserved_tokens=self.reserved,
            consumed_tokens=self.consumed,
            throttled=self.throttled,
            sizes=self.sizes.measure(),
            limits=tuple(sorted(limits, key=lambda limit: (-limit.calls, limit.max_tokens, limit.source))),
            largest_limit=self._freeze_largest_limit(),
            cut_answers=self.cut,
            largest_cut=self.largest_cut,
            largest_base=self.largest_base,
            largest_reservation=self.largest_reserved,
            largest_consumption=self.largest_consumption,
            minutes=tuple(self.minutes[minute].freeze(minute) for minute in sorted(self.minutes)),
        )

    def _freeze_largest_limit(self) -> Limit | None:
        if self.largest_limit is None:
            return None
        max_tokens, _, source = self.largest_limit
        return Limit(max_tokens, source, self.limits[source].get(max_tokens, 1))


class CallTally:
    """Adds up calls of one pool, minute, caller and source. Made by `UsageTally.open_calls`."""

    __slots__ = (
        "_by_source",
        "_caller",
        "_caller_minute",
        "_has_output",
        "_in_use",
        "_minutes",
        "_owner",
        "_pool_sizes",
        "_source",
    )

    def __init__(
        self,
        owner: "UsageTally",
        caller: _Caller,
        caller_minute: _CallerMinute,
        pool_minute: _PoolMinute | None,
        *,
        source: str,
        in_use: InUse | None,
        pool_sizes: _PoolSizes,
    ) -> None:
        self._owner, self._caller, self._caller_minute = owner, caller, caller_minute
        self._minutes = (caller_minute,) if pool_minute is None else (caller_minute, pool_minute)
        self._source, self._has_output = source, source != NO_OUTPUT
        self._by_source = caller.limits.setdefault(source, {})
        self._in_use, self._pool_sizes = in_use, pool_sizes

    def add(self, call: SingleCall) -> None:
        """Add one call."""
        caller, max_tokens, output = self._caller, call.max_tokens, call.output_tokens
        consumed, base = call.consumed_tokens, call.input_tokens + call.cache_write_tokens
        caller.requests += 1
        caller.input += call.input_tokens
        caller.cache_read += call.cache_read_tokens
        caller.cache_write += call.cache_write_tokens
        caller.output += output
        caller.consumed += consumed
        self._pool_sizes.input.add(base)
        if self._has_output:
            caller.answers += 1
            caller.sizes.add(output)
            self._pool_sizes.output.add(output)
        caller.largest_base = max(caller.largest_base, base)
        caller.largest_consumption = max(caller.largest_consumption, consumed)
        if call.truncated:
            caller.cut += 1
            caller.largest_cut = max(caller.largest_cut, output if max_tokens is None else max_tokens)
        reserved = base if max_tokens is None else base + max_tokens
        caller.largest_reserved = max(caller.largest_reserved, reserved)
        for sums in self._minutes:
            sums.requests += 1
            sums.consumed += consumed
            if max_tokens is not None:
                sums.known += 1
                sums.reserved += reserved
        if max_tokens is not None:
            caller.reserved += reserved
            known = (max_tokens, self._source != "default", self._source)
            if caller.largest_limit is None or known > caller.largest_limit:
                caller.largest_limit = known
            exact = _count_limit(self._by_source, max_tokens)
            if not (_count_limit(self._caller_minute.limits, max_tokens) and exact):
                self._owner.is_complete = False

    def add_time(self, call: SingleCall, started: int, latency_ms: int | None) -> None:
        """Add the start of a call (seconds) and its latency, so that `in_use` is known.

        A call with an unknown max_tokens holds its input and cache write while it runs, which is the least possible.
        """
        if self._in_use is not None:
            held = call.input_tokens + call.cache_write_tokens + (call.max_tokens or 0)
            self._in_use.add(started, latency_ms, held, call.consumed_tokens)


def _count_limit(limits: _Limits, max_tokens: int) -> bool:
    """Count a limit, and return False if it had to be rounded down."""
    known = limits.get(max_tokens)
    if known is None and len(limits) >= MAX_LIMITS and max_tokens:
        rounded = 1 << (max_tokens.bit_length() - 1)
        limits[rounded] = limits.get(rounded, 0) + 1
        return rounded == max_tokens
    limits[max_tokens] = (known or 0) + 1
    return True


class UsageTally:
    """Adds up the calls of all pools in a window. With `single_calls` it models the tokens in use at once."""

    def __init__(self, *, single_calls: bool = False) -> None:
        self._single_calls = single_calls
        self._pool_minutes: dict[QuotaPool, dict[int, _PoolMinute]] = {}
        self._callers: dict[QuotaPool, dict[str, _Caller]] = {}
        self._pool_sizes: dict[QuotaPool, _PoolSizes] = {}
        self._in_use: dict[QuotaPool, InUse] = {}
        self._errors: dict[QuotaPool, Counter[str]] = {}
        self._hours_left = [MAX_POOL_HOURS]
        self._minutes_left, self._pool_minutes_left = MAX_CALLER_MINUTES, MAX_POOL_MINUTES
        self.is_complete = True
        """False if minutes were left out, or limits were rounded, because there are too many."""
        self.models_all_seconds = True
        """False if hours of `in_use` were left out because there are too many."""

    def open_calls(self, pool: QuotaPool, minute: int, caller: str, source: str) -> CallTally:
        """Return the tally of calls that have all four in common. Keep it for further calls of the same kind."""
        found = self._find_caller(pool, caller)
        in_use = None
        if self._single_calls:
            in_use = self._in_use.get(pool) or self._in_use.setdefault(pool, InUse(self._hours_left))
        return CallTally(
            self,
            found,
            self._find_caller_minute(found, minute),
            self._find_pool_minute(pool, minute),
            source=source,
            in_use=in_use,
            pool_sizes=self._pool_sizes.setdefault(pool, _PoolSizes()),
        )

    def add_failed(self, pool: QuotaPool, minute: int, caller: str, error_code: str, count: int = 1) -> None:
        """Add failed calls. Only throttled ones are counted by minute and caller."""
        if error_code != THROTTLED:
            codes = self._errors.setdefault(pool, Counter())
            codes[error_code if error_code in codes or len(codes) < MAX_LIMITS else OTHER] += count
            self._pool_minutes.setdefault(pool, {})
            return
        found = self._find_caller(pool, caller)
        found.throttled += count
        sums = self._find_pool_minute(pool, minute)
        if sums is not None:
            sums.throttled += count
        self._find_caller_minute(found, minute).throttled += count

    def measure(self, quotas: Mapping[QuotaPool, PoolQuota]) -> tuple[PoolUsage, ...]:
        """Return the usage of every pool with a call, in the order of the pools."""
        self.models_all_seconds = all(each.complete for each in self._in_use.values())
        return tuple(self._measure(pool, quotas.get(pool, NO_QUOTA)) for pool in sorted(self._pool_minutes))

    def _measure(self, pool: QuotaPool, quota: PoolQuota) -> PoolUsage:
        in_use = self._in_use.get(pool)
        peaks = in_use.peaks() if in_use is not None else {}
        sums = self._pool_minutes[pool]
        minutes = tuple(
            _freeze_minute(minute, sums.get(minute) or _PoolMinute(), peaks.get(minute) if in_use else None)
            for minute in sorted(sums.keys() | peaks.keys())
        )
        sizes = self._pool_sizes.get(pool) or _PoolSizes()
        callers = [caller.freeze() for caller in self._callers.get(pool, {}).values()]
        return PoolUsage(
            pool=pool,
            token_quota=quota.tokens_per_minute,
            request_quota=quota.requests_per_minute,
            minutes=minutes,
            callers=tuple(sorted(callers, key=lambda use: (-use.reserved_tokens, -use.consumed_tokens, use.caller))),
            errors=tuple(self._errors.get(pool, Counter()).most_common()),
            unknown_ends=in_use.unknown_ends if in_use else 0,
            input_sizes=sizes.input.measure(),
            output_sizes=sizes.output.measure(),
        )

    def _find_caller(self, pool: QuotaPool, name: str) -> _Caller:
        callers = self._callers.setdefault(pool, {})
        if name not in callers and len(callers) >= MAX_CALLERS_PER_POOL:
            name = OTHER
        found = callers.get(name)
        if found is None:
            found = callers[name] = _Caller(name)
        return found

    def _find_pool_minute(self, pool: QuotaPool, minute: int) -> _PoolMinute | None:
        """Return the sums of a minute, or None if there are too many."""
        minutes = self._pool_minutes.setdefault(pool, {})
        found = minutes.get(minute)
        if found is None:
            if self._pool_minutes_left <= 0:
                self.is_complete = False
                return None
            self._pool_minutes_left -= 1
            found = minutes[minute] = _PoolMinute()
        return found

    def _find_caller_minute(self, caller: _Caller, minute: int) -> _CallerMinute:
        found = caller.minutes.get(minute)
        if found is not None:
            return found
        found = _CallerMinute()
        if self._minutes_left > 0:
            self._minutes_left -= 1
            caller.minutes[minute] = found
        else:
            self.is_complete = False
        return found


def _freeze_minute(minute: int, sums: _PoolMinute, peak: tuple[float, int] | None) -> PoolMinute:
    in_use, requests = peak if peak is not None else (None, None)
    return PoolMinute(
        minute=minute,
        reserved_tokens=sums.reserved,
        consumed_tokens=sums.consumed,
        requests=sums.requests,
        known_requests=sums.known,
        throttled=sums.throttled,
        in_use=in_use,
        requests_in_60_seconds=requests,
    )
