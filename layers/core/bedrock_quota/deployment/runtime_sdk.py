"""The SDK of the Lambda runtime: its version, and what it knows of Bedrock's logging configuration.

The version depends on the runtime and the Region (Lambda Developer Guide, Building Lambda functions with Python, read
2026-11-28). `quota-monitor doctor --first-day` reads it from the set-up's log.
"""

from __future__ import annotations

from typing import Any

import botocore
import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.model import NoShapeFoundError


def describe_sdk() -> dict[str, Any]:
    """Return the version of botocore, and the members of `LoggingConfig` that it knows, none if it lacks Bedrock."""
    try:
        model = botocore.session.get_session().get_service_model("bedrock")
        members = sorted(model.shape_for("LoggingConfig").members)  # type: ignore[attr-defined]
    except (BotoCoreError, NoShapeFoundError):
        members = []
    return {"botocore": botocore.__version__, "logging_members": members}
