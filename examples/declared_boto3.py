"""Declare the output limit of every Converse call of a session in `requestMetadata`. Prompts need not be logged.

Copy `declare_max_tokens` into your application and register it before you create clients, as `main` does. Run it
with `python examples/declared_boto3.py` and your own credentials: it calls Amazon Nova 2 Lite twice.
"""

import sys
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import NoCredentialsError, NoRegionError
from botocore.model import OperationModel

KEY = "max_tokens"
"""The key of `requestMetadata` that Bedrock Quota Monitor reads."""

MAX_ENTRIES = 16
"""Bedrock rejects a call with more entries. Source: `RequestMetadata` in botocore 1.43.106, read on 2026-11-28."""


def declare_max_tokens(params: dict[str, Any], model: OperationModel, **_event: object) -> None:
    """Add the limit of a Converse call to its `requestMetadata`. A call without a limit declares nothing.

    Existing entries stay as they are, and so does a limit that you declared yourself. `params` belong to this one call.
    """
    metadata, limit = params.get("requestMetadata", {}), find_limit(params)
    if model.name not in {"Converse", "ConverseStream"} or limit is None or not isinstance(metadata, Mapping):
        return
    if KEY not in metadata and len(metadata) < MAX_ENTRIES:
        params["requestMetadata"] = {**metadata, KEY: str(limit)}


def find_limit(params: Mapping[str, Any]) -> int | None:
    """Return the limit that applies to a Converse call, in tokens, or None if it has none."""
    for fields, name in (("inferenceConfig", "maxTokens"), ("additionalModelRequestFields", "max_tokens")):
        values = params.get(fields)
        limit = values.get(name) if isinstance(values, Mapping) else None
        if isinstance(limit, int):
            return limit
    return None


def main() -> None:
    """Call a model with and without streaming, and print the tokens that each call used."""
    session = boto3.Session()
    session.events.register("provide-client-params.bedrock-runtime", declare_max_tokens)  # this line

    bedrock = session.client("bedrock-runtime")
    model = "global.amazon.nova-2-lite-v1:0"
    answer = bedrock.converse(
        modelId=model,
        messages=[{"role": "user", "content": [{"text": "Name three rivers."}]}],
        inferenceConfig={"maxTokens": 200},
    )
    print(answer["usage"])
    streamed = bedrock.converse_stream(
        modelId=model,
        messages=[{"role": "user", "content": [{"text": "Name three lakes."}]}],
        inferenceConfig={"maxTokens": 300},
    )
    print(next(event["metadata"]["usage"] for event in streamed["stream"] if "metadata" in event))


if __name__ == "__main__":
    try:
        main()
    except (NoCredentialsError, NoRegionError):
        print("Configure AWS credentials and a Region first, for example with `aws configure`.", file=sys.stderr)
        sys.exit(2)
