"""A count of tokens, however it is written."""

import re

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.records import MAX_COUNT

_WRITTEN_COUNT = re.compile(r"-?[0-9]{1,31}")


def read_count(value: object) -> int | None:
    """Return a count of tokens. `5.0` and `"5"` are 5.

    Raises `RecordError` with the reason `wrong_type`, `negative_count` or `absurd_count`.
    """
    if value is None:
        return None
    if isinstance(value, str) and _WRITTEN_COUNT.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecordError("wrong_type")
    if value < 0:
        raise RecordError("negative_count")
    if value > MAX_COUNT:
        raise RecordError("absurd_count")
    return value
