"""What goes wrong with local AWS in a way that its user can do something about."""


class LocalAwsError(Exception):
    """Local AWS cannot do what was asked; the message says why, and where to read more."""
