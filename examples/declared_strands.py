"""Declare the output limit of every call of a Strands agent, with the event hook of `declared_boto3.py`.

The agent's model takes the session that the hook is registered on. Run it with your own credentials and
`uv run --isolated --project examples examples/declared_strands.py`: it calls Amazon Nova 2 Lite once.
"""

import sys

import boto3
from botocore.exceptions import NoCredentialsError
from strands import Agent
from strands.models import BedrockModel

from declared_boto3 import declare_max_tokens


def main() -> None:
    """Ask an agent one question, and print the tokens that its calls used."""
    session = boto3.Session()
    session.events.register("provide-client-params.bedrock-runtime", declare_max_tokens)  # this line

    model = BedrockModel(boto_session=session, model_id="global.amazon.nova-2-lite-v1:0", max_tokens=200)
    agent = Agent(model=model, callback_handler=None)  # prints no answer
    print(agent("Name three rivers.").metrics.accumulated_usage)


if __name__ == "__main__":
    try:
        main()
    except NoCredentialsError:
        print("Configure AWS credentials first, for example with `aws configure`.", file=sys.stderr)
        sys.exit(2)
