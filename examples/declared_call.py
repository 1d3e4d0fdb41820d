"""Declare the output limit of single calls, without a hook: `requestMetadata` of `converse` and of `invoke_model`.

`converse` takes a dictionary of strings, `invoke_model` the same as JSON, from boto3 1.43.12 on. Run it with
`python examples/declared_call.py` and your own credentials: it calls Amazon Nova 2 Lite twice.
"""

import json
import sys

import boto3
from botocore.exceptions import NoCredentialsError, NoRegionError

MODEL = "global.amazon.nova-2-lite-v1:0"
MAX_TOKENS = 200


def main() -> None:
    """Call a model through both APIs, and print the tokens that each call used."""
    bedrock = boto3.client("bedrock-runtime")
    answer = bedrock.converse(
        modelId=MODEL,
        messages=[{"role": "user", "content": [{"text": "Name three rivers."}]}],
        inferenceConfig={"maxTokens": MAX_TOKENS},
        requestMetadata={"max_tokens": str(MAX_TOKENS)},  # this line
    )
    print(answer["usage"])
    body = {
        "messages": [{"role": "user", "content": [{"text": "Name three lakes."}]}],
        "inferenceConfig": {"maxTokens": MAX_TOKENS},
    }
    invoked = bedrock.invoke_model(
        modelId=MODEL,
        body=json.dumps(body),
        requestMetadata=json.dumps({"max_tokens": str(MAX_TOKENS)}),  # this line
    )
    print(json.load(invoked["body"])["usage"])


if __name__ == "__main__":
    try:
        main()
    except (NoCredentialsError, NoRegionError):
        print("Configure AWS credentials and a Region first, for example with `aws configure`.", file=sys.stderr)
        sys.exit(2)
