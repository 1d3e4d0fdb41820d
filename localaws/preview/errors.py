"""Errors in a dashboard. The page shows the message in place of the widget."""


class PreviewError(Exception):
    """A part of the dashboard is invalid, or this preview does not support it."""


class SyntaxProblem(PreviewError):  # noqa: N818 - Python has a SyntaxError of its own
    """An expression does not follow its documented grammar."""


class NotSupportedError(PreviewError):
    """This preview does not support it, although CloudWatch may."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not supported by this preview: {what}")
