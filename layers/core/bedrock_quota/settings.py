"""The settings of a function: its environment variables, read once at a cold start into a frozen value."""

from collections.abc import Mapping

import msgspec

from bedrock_quota.errors import SettingsError

DEFAULT_NAMESPACE = "Bedrock/Quotas"


class Settings(msgspec.Struct, frozen=True):
    """What the template tells the functions."""

    namespace: str = DEFAULT_NAMESPACE
    state_table: str | None = None
    metadata_keys: tuple[str, ...] = ()


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read `METRICS_NAMESPACE`, `STATE_TABLE` and `REQUEST_METADATA_KEYS` (comma separated, at most 16).

    Raises `SettingsError` for a value out of its range. Without `STATE_TABLE` there are no quotas and no shared
    cache, as in a trial run on one machine.
    """
    namespace = environment.get("METRICS_NAMESPACE", DEFAULT_NAMESPACE)
    if not 0 < len(namespace) <= 255 or namespace.startswith("AWS/"):
        raise SettingsError(f"METRICS_NAMESPACE is not a custom namespace: {namespace!r}")
    keys = tuple(
        stripped for key in environment.get("REQUEST_METADATA_KEYS", "").split(",") if (stripped := key.strip())
    )
    if len(keys) > 16:  # Converse takes at most 16 entries of requestMetadata
        raise SettingsError("REQUEST_METADATA_KEYS names more than 16 keys")
    return Settings(namespace, environment.get("STATE_TABLE") or None, keys)
