"""Pack metric data into PutMetricData requests: merge equal metrics of one moment, and split at the API's limits.

Source of the limits: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from localaws.emf import Datum

MAX_DATA = 1000
MAX_VALUES = 150
MAX_BYTES = 1024 * 1024


class MetricRequest(msgspec.Struct, frozen=True):
    """One request: the data of one namespace."""

    namespace: str
    data: list[Datum]


def requests(data: Iterable[tuple[str, Datum]]) -> Iterator[MetricRequest]:
    """Yield as few requests as the limits allow for all `data`."""
    merged: defaultdict[str, dict[str, tuple[Datum, Counter[float]]]] = defaultdict(dict)
    for namespace, datum in data:
        identity = {name: value for name, value in datum.items() if name not in {"Values", "Counts"}}
        key = json.dumps(identity, sort_keys=True, default=str)
        _, counts = merged[namespace].setdefault(key, (identity, Counter()))
        for value, count in zip(datum["Values"], datum["Counts"], strict=True):
            counts[value] += count
    for namespace, by_key in merged.items():
        yield from _cut(namespace, (part for identity, counts in by_key.values() for part in _parts(identity, counts)))


def _parts(identity: Datum, counts: Counter[float]) -> Iterator[Datum]:
    values = list(counts)
    for first in range(0, len(values), MAX_VALUES):
        part = values[first : first + MAX_VALUES]
        yield {**identity, "Values": part, "Counts": [counts[value] for value in part]}


def _cut(namespace: str, data: Iterable[Datum]) -> Iterator[MetricRequest]:
    request: list[Datum] = []
    size = 0
    for datum in data:
        datum_bytes = len(json.dumps(datum, default=str))  # an estimate: 1,000 common data are far below the limit
        if request and (len(request) == MAX_DATA or size + datum_bytes > MAX_BYTES):
            yield MetricRequest(namespace, request)
            request, size = [], 0
        request.append(datum)
        size += datum_bytes
    if request:
        yield MetricRequest(namespace, request)
