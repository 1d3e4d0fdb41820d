"""What IAM is told takes a while to be known everywhere; until then AWS refuses what it will allow.

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
"""How long a new role or policy may take until it is known."""

RETRY_SECONDS = 5


def retry_while_denied(call: Callable[[], Answer], sleep: Sleep = time.sleep) -> Answer:
    """Call until it is not refused for a permission any more, for `PROPAGATION_SECONDS` at most.

    Raises what botocore raises: the last refusal, a refusal that no waiting will change, or any other error.
    """
    for _ in range(PROPAGATION_SECONDS // RETRY_SECONDS):
        try:
            return call()
        except ClientError as error:
            if not is_propagation_delay(error):
                raise
        sleep(RETRY_SECONDS)
    return call()
