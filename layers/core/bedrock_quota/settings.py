"""The settings of a function: its environment variables, read once at a cold start into a frozen value."""

from collections.abc import Mapping

import msgspec

from bedrock_quota.errors import SettingsError
from bedrock_quota.pools import EndpointType, QuotaPool

DEFAULT_NAMESPACE = "Bedrock/Quotas"

LATE_BODIES_DELAY = 60
"""Seconds until a body that was not there is read again. Nearly all are there by then: see `processor.late_bodies`."""

LATE_BODIES_SECONDS = 300
"""Seconds after which a body is no longer waited for. The alarms on quotas look back over 15 minutes."""

MAX_DELAY = 900
"""Longest delay of a message in seconds (Amazon SQS message quotas, read 2026-11-28)."""


class Settings(msgspec.Struct, frozen=True):
    """The settings that the template gives to the functions. Without a state table, quotas are unknown."""

    namespace: str = DEFAULT_NAMESPACE
    state_table: str | None = None
    metadata_keys: tuple[str, ...] = ()
    overrides_parameter: str | None = None
    topic_arn: str | None = None
    always_published: tuple[QuotaPool, ...] = ()
    detect_duplicates: bool = False
    large_bodies_bucket: str | None = None
    with_sessions: bool = False
    """True if metric lines name the session of a caller's role, not only the role."""
    late_bodies_queue: str | None = None
    late_bodies_delay: int = LATE_BODIES_DELAY
    late_bodies_seconds: int = LATE_BODIES_SECONDS
    invoked_by_sam: bool = False
    """True if `sam local invoke` runs the function, on recorded events."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read a function's environment variables.

    - `METRICS_NAMESPACE`, `STATE_TABLE`, `LARGE_BODIES_BUCKET`, `TOPIC_ARN`
    - `LATE_BODIES_QUEUE`: the URL of the queue of calls whose body is late
    - `LATE_BODIES_DELAY`: seconds until such a body is read again, 0 to 900
    - `LATE_BODIES_SECONDS`: seconds after which it is no longer waited for, 0 to 900
    - `REQUEST_METADATA_KEYS`: comma separated, at most 16
    - `CALLER_DETAIL`: `role` or `session`
    - `DUPLICATE_DETECTION`: `on` or `off`
    - `REGISTRY_OVERRIDES`: the name of an SSM parameter
    - `QUOTA_POOLS`: comma separated `model id/endpoint type`
    - `AWS_SAM_LOCAL`: SAM CLI sets it to `true`

    Raises `SettingsError` for a value out of its range.
    """
    namespace = environment.get("METRICS_NAMESPACE", DEFAULT_NAMESPACE)
    if not 0 < len(namespace) <= 255 or namespace.startswith("AWS/"):
        raise SettingsError(f"METRICS_NAMESPACE is not a custom namespace: {namespace!r}")
    keys = _split_items(environment, "REQUEST_METADATA_KEYS")
    if len(keys) > 16:  # Converse takes at most 16 entries of requestMetadata
        raise SettingsError("REQUEST_METADATA_KEYS names more than 16 keys")
    detail = environment.get("CALLER_DETAIL", "role")
    if detail not in {"role", "session"}:
        raise SettingsError(f"CALLER_DETAIL is neither role nor session: {detail!r}")
    detection = environment.get("DUPLICATE_DETECTION", "off")
    if detection not in {"on", "off"}:
        raise SettingsError(f"DUPLICATE_DETECTION is neither on nor off: {detection!r}")
    return Settings(
        namespace=namespace,
        state_table=environment.get("STATE_TABLE") or None,
        metadata_keys=keys,
        with_sessions=detail == "session",
        overrides_parameter=environment.get("REGISTRY_OVERRIDES") or None,
        topic_arn=environment.get("TOPIC_ARN") or None,
        always_published=tuple(_parse_pool(item) for item in _split_items(environment, "QUOTA_POOLS")),
        detect_duplicates=detection == "on",
        large_bodies_bucket=environment.get("LARGE_BODIES_BUCKET") or None,
        late_bodies_queue=environment.get("LATE_BODIES_QUEUE") or None,
        late_bodies_delay=_read_seconds(environment, "LATE_BODIES_DELAY", LATE_BODIES_DELAY),
        late_bodies_seconds=_read_seconds(environment, "LATE_BODIES_SECONDS", LATE_BODIES_SECONDS),
        invoked_by_sam=environment.get("AWS_SAM_LOCAL") == "true",
    )


def _read_seconds(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or len(text) > 3 or int(text) > MAX_DELAY:
        raise SettingsError(f"{name} is not a number of seconds from 0 to {MAX_DELAY}: {text!r}")
    return int(text)


def _split_items(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(stripped for item in environment.get(name, "").split(",") if (stripped := item.strip()))


def _parse_pool(item: str) -> QuotaPool:
    model_id, _, endpoint_type = item.rpartition("/")
    if not model_id or endpoint_type not in frozenset(EndpointType):
        raise SettingsError(f"QUOTA_POOLS: {item!r} is not a model id, a slash and an endpoint type")
    return QuotaPool(model_id, EndpointType(endpoint_type))
