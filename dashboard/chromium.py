"""Chromium, which draws the dashboard for the README's pictures and for the tests of its page."""

import os
import shutil

FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),  # Chromium has none for root
)
"""Chromium asks no other host for anything, and draws with the processor alone."""


def find_chromium() -> str | None:
    """Return the path of Chromium, or None if it is not installed. CHROMIUM names another one."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")
