"""Progress of work that takes long, as those who show it get it."""

from collections.abc import Callable

Progress = Callable[[float], None]
"""Gets the share that is done, from 0 to 1."""
