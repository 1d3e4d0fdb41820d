"""The errors of this product, a small tree: catch `QuotaMonitorError` for all of them."""


class QuotaMonitorError(Exception):
    """Anything this product raises on purpose."""


class DeliveryError(QuotaMonitorError):
    """The event as a whole cannot be read: not a delivery, damaged, or larger than the bound."""


class ConcurrentDuplicateError(QuotaMonitorError):
    """Another invocation is processing the same delivery of a stream. Lambda tries this one again."""


class RecordError(QuotaMonitorError):
    """One record cannot be used. `reason` is a fixed word that is counted; it never holds the record's text."""

    def __init__(self, reason: str, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.request_id = request_id


class BodyError(QuotaMonitorError):
    """A request body in S3 cannot be used. `reason` is a fixed word; it never holds the body's text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RegistryError(QuotaMonitorError):
    """A registry file, an override or the compiled registry is wrong; the message names file, table and reason."""


class QuotaFetchError(QuotaMonitorError):
    """Something of a fetch could not be done. What could be is published and stored."""


class OutdatedError(QuotaMonitorError):
    """What was to be replaced is not what is stored any more."""


class SettingsError(QuotaMonitorError):
    """An environment variable of a function is missing or out of its range."""
