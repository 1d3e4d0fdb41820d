"""Answers as one HTML page that opens offline."""

from __future__ import annotations

from collections.abc import Sequence

from quota_monitor.answers.document import Document


def to_html(documents: Sequence[Document]) -> str:
    """Return the page."""
    raise NotImplementedError(len(documents))
