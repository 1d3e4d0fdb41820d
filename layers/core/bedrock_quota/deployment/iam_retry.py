"""Retries while an IAM change propagates. Until then, AWS denies calls that it will allow.

"Changes that I make are not always immediately visible" (IAM User Guide, Troubleshoot IAM, read 2026-11-24).
"""

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

from bedrock_quota.deployment.access_denied import is_propagation_delay

Answer = TypeVar("Answer")
Sleep = Callable[[float], None]

PROPAGATION_SECONDS = 90
"""Longest time that a new role or policy may need to propagate."""

RETRY_SECONDS = 5


def retry_while_denied(call: Callable[[], Answer], sleep: Sleep = time.sleep) -> Answer:
    """Retry a call while a permission is missing, for at most `PROPAGATION_SECONDS`.

    Propagates botocore errors: the last denial, a denial that is permanent, or any other error.
    """
    for _ in range(PROPAGATION_SECONDS // RETRY_SECONDS):
        try:
            return call()
        except ClientError as error:
            if not is_propagation_delay(error):
                raise
        sleep(RETRY_SECONDS)
    return call()
