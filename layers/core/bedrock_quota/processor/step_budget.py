"""The work that one delivery may cause, counted in steps, so that a test can check it exactly on any machine.

A step is a value or a key of JSON that the tolerant reader parses, or a place where it looks for a count. An object or
a list is two. The fast reader takes no steps.
"""

from bedrock_quota.errors import RecordError

MAX_STEPS_PER_RECORD = 300_000
"""Request and answer have at most 100 KB each in the log. The densest JSON takes a step per byte."""

MAX_STEPS_PER_DELIVERY = 5_000_000
"""At most 2 s on one vCPU, and 14 s at 256 MB (`make cpu`). Streams of Titan that fill a delivery take 2.5 million."""


class StepBudget:
    """The steps that the records of one delivery have left, and those that its present record has left."""

    def __init__(self, steps: int = MAX_STEPS_PER_DELIVERY) -> None:
        self.left = steps
        self._record_left = MAX_STEPS_PER_RECORD

    def begin_record(self) -> None:
        """Begin another record."""
        self._record_left = MAX_STEPS_PER_RECORD

    def spend(self, steps: int) -> None:
        """Take steps before the work is done. Raises `RecordError` (`too_costly`) if they are too many."""
        if steps > self._record_left or steps > self.left:
            raise RecordError("too_costly")
        self._record_left -= steps
        self.left -= steps
