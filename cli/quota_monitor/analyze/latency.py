"""The latency of a call, which tells when it ended. The processor does not need it, so only `analyze` reads it.

Converse writes `metrics.latencyMs` into the answer. The last chunk of a streamed InvokeModel has
`amazon-bedrock-invocationMetrics.invocationLatency`. InvokeModel without streaming logs none (records read 2026-11-28).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

MAX_CHUNKS = 3
"""Chunks at the end of a streamed answer that are read."""

_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=10**9)]


class _Metrics(msgspec.Struct, frozen=True, gc=False):
    latency_ms: _Milliseconds | None = msgspec.field(default=None, name="latencyMs")


class _InvocationMetrics(msgspec.Struct, frozen=True, gc=False):
    latency_ms: _Milliseconds | None = msgspec.field(default=None, name="invocationLatency")


class _Event(msgspec.Struct, frozen=True, gc=False):
    metrics: _Metrics | None = None


class _Answer(msgspec.Struct, frozen=True, gc=False):
    metrics: _Metrics | None = None
    metadata: _Event | None = None
    invocation_metrics: _InvocationMetrics | None = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")


class _Output(msgspec.Struct, frozen=True, gc=False):
    answer: _Answer | list[msgspec.Raw] | None = msgspec.field(default=None, name="outputBodyJson")


class _Record(msgspec.Struct, frozen=True, gc=False):
    output: _Output | None = None


_decode = msgspec.json.Decoder(_Record).decode
_decode_chunk = msgspec.json.Decoder(_Answer).decode


def read_latency(message: bytes | str) -> int | None:
    """Return the latency in a record in milliseconds, or None if it has none that can be read for sure."""
    try:
        record = _decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    answer = record.output.answer if record.output is not None else None
    if isinstance(answer, list):
        return next(
            (found for chunk in answer[: -MAX_CHUNKS - 1 : -1] if (found := _read_chunk(chunk)) is not None), None
        )
    return None if answer is None else _find_latency(answer)


def _read_chunk(chunk: msgspec.Raw) -> int | None:
    try:
        return _find_latency(_decode_chunk(chunk))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _find_latency(answer: _Answer) -> int | None:
    event = answer.metadata.metrics if answer.metadata is not None else None
    for metrics in (answer.metrics, event, answer.invocation_metrics):
        if metrics is not None and metrics.latency_ms is not None:
            return round(metrics.latency_ms)
    return None
