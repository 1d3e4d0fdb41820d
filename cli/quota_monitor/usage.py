"""Usage of every quota pool in a window of time, read from CloudWatch."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.fetcher.aws_sources import list_pools_called
from bedrock_quota.fetcher.metric_data import MAX_QUERIES, make_metric_query
from bedrock_quota.pools import EndpointType, QuotaPool

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef
    from mypy_boto3_logs import CloudWatchLogsClient

QUOTA_PUBLISHED_WITHIN = timedelta(hours=3)
"""The fetcher runs every 174 minutes, so each quota has a value within three hours."""

THROTTLED = "ThrottlingException"

OUTCOMES = ("RecordsProcessed", "RecordsRejected", "RecordsOutOfScope", "RequestsFailed")
"""Each record counts in exactly one of these metrics, unless it is ignored or waits for its body."""


class Window(msgspec.Struct, frozen=True):
    """From `start` to just before `end`, both whole minutes."""

    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


class MinuteUse(msgspec.Struct, frozen=True):
    """One minute of a quota pool. `known_requests` are the requests whose max_tokens is known."""

    minute: datetime
    reserved_tokens: float
    consumed_tokens: float
    requests: int
    known_requests: int

    @property
    def used_tokens(self) -> float:
        """Return the larger of reserved and consumed tokens.

        AWS's example reserves 5,250 tokens and consumes 9,000 ("How tokens are counted", read 2026-11-23).
        """
        return max(self.reserved_tokens, self.consumed_tokens)


class CallerMinute(msgspec.Struct, frozen=True):
    """One minute of one caller in a quota pool, of calls whose max_tokens is known. `max_tokens` has that of each."""

    minute: datetime
    reserved_tokens: float
    max_tokens: tuple[int, ...]


class CallerUse(msgspec.Struct, frozen=True):
    """Usage of a quota pool by one caller. The largest max_tokens and output are those of single calls.

    `largest_is_default` is true if the largest max_tokens is a model's default, not the caller's. `cut_answers` ended
    at their output limit, and `largest_cut` is the largest of these limits, 0 without such answers.
    """

    caller: str
    requests: int
    output_tokens: int
    largest_output: int
    largest_max_tokens: int
    minutes: tuple[CallerMinute, ...]
    largest_is_default: bool = False
    cut_answers: int = 0
    largest_cut: int = 0

    @property
    def reserved_tokens(self) -> float:
        """Return the tokens that it reserved in the window."""
        return sum(minute.reserved_tokens for minute in self.minutes)

    @property
    def mean_output(self) -> float:
        """Return the output tokens per call, on average."""
        return self.output_tokens / self.requests


class PoolUse(msgspec.Struct, frozen=True):
    """Usage of one quota pool. A quota is None if it is unknown. `callers` begins with the one that reserves most."""

    pool: QuotaPool
    token_quota: float | None
    request_quota: float | None
    minutes: tuple[MinuteUse, ...]
    callers: tuple[CallerUse, ...]
    throttled_requests: int

    @property
    def requests(self) -> int:
        """Return the requests that a model or a guardrail answered."""
        return sum(minute.requests for minute in self.minutes)

    @property
    def coverage(self) -> float:
        """Return the share of these requests whose max_tokens is known, from 0 to 1."""
        return sum(minute.known_requests for minute in self.minutes) / self.requests if self.requests else 1.0

    @property
    def peak_reserved(self) -> float | None:
        """Return the most tokens reserved in one minute, or None if no max_tokens is known."""
        return max((minute.reserved_tokens for minute in self.minutes if minute.known_requests), default=None)

    @property
    def peak_consumed(self) -> float:
        """Return the most tokens consumed in one minute."""
        return max((minute.consumed_tokens for minute in self.minutes), default=0.0)

    @property
    def peak_used(self) -> float:
        """Return the most tokens reserved or consumed in one minute, whichever is larger."""
        return max((minute.used_tokens for minute in self.minutes), default=0.0)

    @property
    def peak_requests(self) -> int:
        """Return the most requests in one minute."""
        return max((minute.requests for minute in self.minutes), default=0)


def collect(
    session: boto3.Session, *, namespace: str, log_group: str, window: Window, since: datetime
) -> list[PoolUse]:
    """Return the usage of every quota pool with calls in the window, even if all of them were throttled.

    Sums come from CloudWatch metrics. Callers come from the metric lines in the processor's `log_group`, written after
    `since`. Propagates botocore errors.
    """
    cloudwatch = session.client("cloudwatch")
    metric_lines = list(_metric_lines(session.client("logs"), log_group, window, since))
    callers, throttled = _callers(metric_lines), _throttled(metric_lines)
    pools = sorted(list_pools_called(cloudwatch, namespace) | throttled.keys())
    minutes = _minutes(cloudwatch, namespace, pools, window)
    quotas = _quotas(cloudwatch, namespace, pools)
    return [
        PoolUse(
            pool=pool,
            token_quota=quotas.get((pool, "TokenQuota")),
            request_quota=quotas.get((pool, "RequestQuota")),
            minutes=minutes[pool],
            callers=callers.get(pool, ()),
            throttled_requests=throttled.get(pool, 0),
        )
        for pool in pools
        if minutes[pool] or pool in throttled
    ]


def sums(cloudwatch: CloudWatchClient, namespace: str, names: Iterable[str], window: Window) -> dict[str, float]:
    """Return the sum of each metric over the window. These metrics have no dimensions."""
    series = {Series(name, "Sum"): name for name in names}
    found = read(cloudwatch, namespace, series, window)
    return {name: sum(found[each].values()) for each, name in series.items()}


def has_calls(cloudwatch: CloudWatchClient, namespace: str, window: Window) -> bool:
    """Return True if any quota pool had a call in the window."""
    series = [Series("ConsumedTokens", "SampleCount", each) for each in list_pools_called(cloudwatch, namespace)]
    return any(read(cloudwatch, namespace, series, window).values())


class Series(msgspec.Struct, frozen=True):
    """A metric and its statistic per minute. `pool` is None for a metric without dimensions."""

    metric: str
    statistic: str
    pool: QuotaPool | None = None


def read(
    cloudwatch: CloudWatchClient, namespace: str, series: Iterable[Series], window: Window
) -> dict[Series, dict[datetime, float]]:
    """Return the values of each series by minute. A series without values is empty."""
    wanted = list(series)
    found: dict[Series, dict[datetime, float]] = {each: {} for each in wanted}
    for first in range(0, len(wanted), MAX_QUERIES):
        part = wanted[first : first + MAX_QUERIES]
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[_query(f"q{index}", namespace, each) for index, each in enumerate(part)],
            StartTime=window.start,
            EndTime=window.end,
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                values = found[part[int(result["Id"][1:])]]
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                    values[moment.astimezone(UTC)] = value
    return found


def _query(query_id: str, namespace: str, series: Series) -> MetricDataQueryTypeDef:
    pool = series.pool
    dimensions = {"ModelId": pool.model_id, "EndpointType": str(pool.endpoint_type)} if pool else {}
    return make_metric_query(query_id, namespace, series.metric, dimensions, statistic=series.statistic)


def _minutes(
    cloudwatch: CloudWatchClient, namespace: str, pools: Iterable[QuotaPool], window: Window
) -> dict[QuotaPool, tuple[MinuteUse, ...]]:
    series_of = {
        pool: tuple(
            Series(metric, statistic, pool)
            for metric, statistic in (
                ("ReservedTokens", "Sum"),
                ("ConsumedTokens", "Sum"),
                ("ConsumedTokens", "SampleCount"),
                ("ReservedTokens", "SampleCount"),
            )
        )
        for pool in pools
    }
    values = read(cloudwatch, namespace, [each for series in series_of.values() for each in series], window)
    minutes = {}
    for pool, (reserved, consumed, requests, known) in series_of.items():
        minutes[pool] = tuple(
            MinuteUse(
                minute=minute,
                reserved_tokens=values[reserved].get(minute, 0.0),
                consumed_tokens=values[consumed].get(minute, 0.0),
                requests=round(count),
                known_requests=round(values[known].get(minute, 0.0)),
            )
            for minute, count in sorted(values[requests].items())
        )
    return minutes


def _quotas(
    cloudwatch: CloudWatchClient, namespace: str, pools: Iterable[QuotaPool]
) -> dict[tuple[QuotaPool, str], float]:
    """Return the newest published value of each quota."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    series = {Series(name, "Maximum", pool): (pool, name) for pool in pools for name in ("TokenQuota", "RequestQuota")}
    values = read(cloudwatch, namespace, series, Window(now - QUOTA_PUBLISHED_WITHIN, now + timedelta(minutes=1)))
    return {key: values[each][max(values[each])] for each, key in series.items() if values[each]}


# ---------------------------------------------------------------- callers, from metric lines


class MetricLine(msgspec.Struct, frozen=True):
    """One metric line of the processor: calls to a quota pool in a minute, with all fields of the line."""

    minute: datetime
    pool: QuotaPool
    said: Mapping[str, Any]


def _metric_lines(logs: CloudWatchLogsClient, log_group: str, window: Window, since: datetime) -> Iterator[MetricLine]:
    """Yield the lines about calls in the window."""
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=log_group,
        startTime=int(since.timestamp() * 1000),
        filterPattern="{ $.caller = * }",
    )
    for page in pages:
        for event in page["events"]:
            if not event["message"].startswith("{"):
                continue  # MiniStack ignores the pattern, so Lambda's own lines arrive, too
            said = json.loads(event["message"])
            if "caller" not in said or not said.get("EndpointType"):
                continue
            milliseconds = said["_aws"]["Timestamp"] if "_aws" in said else said["minute"]
            minute = datetime.fromtimestamp(milliseconds / 1000, UTC)
            if minute in window:
                yield MetricLine(minute, QuotaPool(said["ModelId"], EndpointType(said["EndpointType"])), said)


def _callers(metric_lines: Iterable[MetricLine]) -> dict[QuotaPool, tuple[CallerUse, ...]]:
    by_caller: defaultdict[QuotaPool, defaultdict[str, list[MetricLine]]] = defaultdict(lambda: defaultdict(list))
    for line in metric_lines:
        if "consumed_tokens" in line.said:
            by_caller[line.pool][line.said["caller"]].append(line)
    return {
        pool: tuple(
            sorted(
                (_caller(name, lines) for name, lines in callers.items()),
                key=lambda use: (-use.reserved_tokens, use.caller),
            )
        )
        for pool, callers in by_caller.items()
    }


def _caller(name: str, lines: list[MetricLine]) -> CallerUse:
    by_minute: defaultdict[datetime, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        if "reserved_tokens" in line.said:
            by_minute[line.minute].append(line.said)
    limits = [(value, line.said["max_tokens_source"]) for line in lines for value in line.said.get("MaxTokens", ())]
    largest_max_tokens = max((value for value, _ in limits), default=0)
    cut = [limit for line in lines for limit in _cut_limits(line.said)]
    return CallerUse(
        caller=name,
        requests=sum(line.said["requests"] for line in lines),
        output_tokens=sum(line.said["output_tokens"] for line in lines),
        largest_output=max((value for line in lines for value in line.said.get("OutputTokens", ())), default=0),
        largest_max_tokens=largest_max_tokens,
        minutes=tuple(
            CallerMinute(
                minute=minute,
                reserved_tokens=sum(said["reserved_tokens"] for said in by_minute[minute]),
                max_tokens=tuple(value for said in by_minute[minute] for value in said.get("MaxTokens", ())),
            )
            for minute in sorted(by_minute)
        ),
        largest_is_default=all(source == "default" for value, source in limits if value == largest_max_tokens),
        cut_answers=len(cut),
        largest_cut=max(cut, default=0),
    )


def _cut_limits(said: Mapping[str, Any]) -> list[int]:
    """Return the output limit of each cut answer of a line, or its output if the limit is unknown.

    A line has only the number of cut answers. They are taken to be those that came closest to their limit, and the
    longest ones of several that came equally close.
    """
    output = said.get("OutputTokens", ())
    calls = [(made / (limit or 1), limit) for made, limit in zip(output, said.get("MaxTokens", output), strict=True)]
    return [limit for _, limit in sorted(calls)[len(calls) - said.get("truncated", 0) :]]


def _throttled(metric_lines: Iterable[MetricLine]) -> dict[QuotaPool, int]:
    counts: Counter[QuotaPool] = Counter()
    for line in metric_lines:
        if line.said.get("error_code") == THROTTLED:
            counts[line.pool] += line.said["requests_failed"]
    return counts
