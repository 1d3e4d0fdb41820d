"""The errors of this product. All derive from `QuotaMonitorError`."""


class QuotaMonitorError(Exception):
    """Base class of all errors that this product raises on purpose."""


class DeliveryError(QuotaMonitorError):
    """The event cannot be read at all: it is not a delivery, is damaged, or is larger than the bound."""


class ConcurrentDuplicateError(QuotaMonitorError):
    """Another invocation is processing the same delivery. Lambda tries this one again."""


class RecordError(QuotaMonitorError):
    """One record cannot be used. `reason` is a fixed word that is counted. It never contains the record's text."""

    def __init__(self, reason: str, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.request_id = request_id


class BodyError(QuotaMonitorError):
    """A request body in S3 cannot be used. `reason` is a fixed word. It never contains the body's text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LogSourceError(QuotaMonitorError):
    """Invocation logs could not be read. The message says which, and what to do."""


class RegistryError(QuotaMonitorError):
    """A registry file, an override or the compiled registry is wrong. The message names file, table and reason."""


class QuotaFetchError(QuotaMonitorError):
    """A part of a fetch failed. The other parts are published and stored."""


class OutdatedError(QuotaMonitorError):
    """The stored version changed in the meantime, so it cannot be replaced."""


class SettingsError(QuotaMonitorError):
    """An environment variable of a function is missing or out of its range."""
