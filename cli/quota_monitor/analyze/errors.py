"""The error of a source of invocation logs that cannot be read."""


class SourceError(Exception):
    """Logs could not be read. The message says which, and what to do."""
