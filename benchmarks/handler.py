"""Measure the whole handler's CPU per delivery, without and with duplicate detection, against a local endpoint."""

from collections.abc import Mapping

import msgspec

from bedrock_quota import clients
from benchmarks import endpoint, mixes
from benchmarks.processor import Processor, snapshot
from benchmarks.timing import Measured, interleaved, summary
from localaws import traffic

RECORDS = (1, 10, 100, 1_000)
MOST_DELIVERIES = 10
"""The most deliveries of one timing. With duplicate detection each takes milliseconds."""


class Cost(msgspec.Struct, frozen=True):
    """CPU seconds per delivery, without and with duplicate detection."""

    off: Measured
    on: Measured


def measure(seconds: float) -> dict[int, Cost]:
    """Measure deliveries of chat records, by the number of records per delivery."""
    deliveries = {count: mixes.mix(traffic.chat, count).events[:MOST_DELIVERIES] for count in RECORDS}
    with endpoint.answering(snapshot()) as environment, endpoint.environment(environment):
        clients.state.cache_clear()
        ways = {"off": Processor(), "on": Processor(detect_duplicates=True)}

        def before() -> None:
            for each in ways.values():
                each.remember_others()

        runs = {
            f"{count} {way}": lambda events=events, container=container: [container.write(each) for each in events]
            for count, events in deliveries.items()
            for way, container in ways.items()
        }
        taken = interleaved(runs, seconds=seconds, before=before)
        clients.state.cache_clear()

    def per_delivery(name: str, deliveries: int) -> Measured:
        return summary([each / deliveries for each in taken[name]])

    return {
        count: Cost(off=per_delivery(f"{count} off", len(each)), on=per_delivery(f"{count} on", len(each)))
        for count, each in deliveries.items()
    }


class Parts(msgspec.Struct, frozen=True):
    """CPU seconds of a delivery itself, of duplicate detection, and of each call."""

    delivery: float
    detection: float
    call: float


def parts(costs: Mapping[int, tuple[float, float]]) -> Parts:
    """Split the cost of deliveries by their number of records, without and with detection, into its parts."""
    fewest, most = min(costs), max(costs)
    call = (costs[most][0] - costs[fewest][0]) / (most - fewest)
    return Parts(costs[fewest][0] - fewest * call, costs[fewest][1] - costs[fewest][0], call)
