"""Errors of local AWS that its user can fix."""


class LocalAwsError(Exception):
    """Local AWS cannot do the task. The message says why, and where to read more."""
