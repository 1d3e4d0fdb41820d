"""What a dashboard asks that cannot be drawn; the message is shown in its place."""


class PreviewError(Exception):
    """Something in the dashboard is wrong, or not supported here."""


class SyntaxProblem(PreviewError):  # noqa: N818 - Python has a SyntaxError of its own
    """An expression that does not follow its documented grammar."""


class NotSupportedError(PreviewError):
    """CloudWatch may know it; this preview does not."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not supported by this preview: {what}")
