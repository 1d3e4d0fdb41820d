"""Tokens in use at once, second by second: a model of what Bedrock holds at a moment.

Bedrock releases the unused part of a reservation when the call ends ("How tokens are counted", read 2026-11-23), so the
reservations of a minute add up to more than was held at any moment. In the model, at a given second, a call that runs
holds its reserved tokens. A call that has ended holds its consumed tokens until 60 seconds after its start. AWS
publishes neither its window nor its clock.
"""

from array import array
from collections.abc import Iterator

from bedrock_quota.analysis.usage import SECONDS_PER_MINUTE

WINDOW_SECONDS = 60

SECONDS_PER_HOUR = 3_600

MAX_POOL_HOURS = 4_000
"""Hours of all pools together that are modelled, 22 KB each: seven days of 23 pools. Later ones have no value."""

MAX_STARTS = 65_535
"""Most calls that one second counts."""

MAX_CALL_SECONDS = 3_600
"""A longer latency is not believed: its call counts as one whose end is unknown."""


class InUse:
    """Collects the calls of one pool. `hours_left` is shared by all pools."""

    def __init__(self, hours_left: list[int]) -> None:
        self._hours_left = hours_left
        self._tokens: dict[int, array[float]] = {}
        self._starts: dict[int, array[int]] = {}
        self.unknown_ends = 0
        """Calls whose end is not in the log. They count as ended one second after their start."""
        self.complete = True
        """False if hours were left out because of `MAX_POOL_HOURS`."""

    def add(self, started: int, latency_ms: int | None, reserved: float, consumed: float) -> None:
        """Add one call by its start in seconds, and its latency in milliseconds if the log has it."""
        if latency_ms is None or not 0 <= latency_ms <= MAX_CALL_SECONDS * 1000:
            self.unknown_ends += 1
            ended = started + 1
        else:
            ended = started + max(1, -(-latency_ms // 1000))
        released = max(ended, started + WINDOW_SECONDS)
        hour = started // SECONDS_PER_HOUR
        tokens = self._tokens.get(hour)
        if tokens is None:
            tokens = self._open_hour(hour)
            if tokens is None:
                return
        starts, second = self._starts[hour], started % SECONDS_PER_HOUR
        if starts[second] < MAX_STARTS:
            starts[second] += 1
        tokens[started % SECONDS_PER_HOUR] += reserved
        self._change(ended, consumed - reserved)
        self._change(released, -consumed)

    def _change(self, second: int, tokens: float) -> None:
        hour = self._tokens.get(second // SECONDS_PER_HOUR)
        if hour is None:
            hour = self._open_hour(second // SECONDS_PER_HOUR)
        if hour is not None:
            hour[second % SECONDS_PER_HOUR] += tokens

    def _open_hour(self, hour: int) -> "array[float] | None":
        if self._hours_left[0] <= 0:
            self.complete = False
            return None
        self._hours_left[0] -= 1
        self._starts[hour] = array("H", bytes(2 * SECONDS_PER_HOUR))
        self._tokens[hour] = array("f", bytes(4 * SECONDS_PER_HOUR))  # exact up to 16 million tokens
        return self._tokens[hour]

    def seconds(self) -> Iterator[tuple[int, float, int]]:
        """Yield each second of the hours with calls: tokens in use, and requests begun in the 60 seconds up to it."""
        held, recent, last = 0.0, 0, None
        for hour in sorted(self._tokens):
            if last is None or hour != last + 1:
                held, recent = 0.0, 0
            tokens, starts = self._tokens[hour], self._starts[hour]
            before = self._starts.get(hour - 1)
            for second in range(SECONDS_PER_HOUR):
                held += tokens[second]
                recent += starts[second]
                if second >= WINDOW_SECONDS:
                    recent -= starts[second - WINDOW_SECONDS]
                elif before is not None:
                    recent -= before[second - WINDOW_SECONDS]
                yield hour * SECONDS_PER_HOUR + second, held, recent
            last = hour

    def peaks(self) -> dict[int, tuple[float, int]]:
        """Return, for each minute, the most tokens in use at once and the most requests begun within 60 seconds."""
        peaks: dict[int, tuple[float, int]] = {}
        for second, tokens, requests in self.seconds():
            if not requests and tokens < 0.5:  # sums of fractions may miss 0 by a little
                continue
            minute = second - second % SECONDS_PER_MINUTE
            most, most_requests = peaks.get(minute, (0.0, 0))
            if tokens > most or requests > most_requests:
                peaks[minute] = (max(most, tokens), max(most_requests, requests))
        return peaks
