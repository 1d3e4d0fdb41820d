"""The policy that `quota-monitor analyze --policy` prints, judged by an IAM evaluator for the calls that it makes."""

import gzip
import json
from typing import Any

import pytest
from click.testing import CliRunner
from fake_aws import GROUP, FakeAws, insights, s3_bucket
from iam.authorization import read_call
from iam.evaluator import ALLOWED, Request, evaluate
from records import converse, with_id

from localaws.account import ACCOUNT_ID
from localaws.fault_proxy import Call
from quota_monitor.analyze import log_group, sources
from quota_monitor.main import main

pytestmark = pytest.mark.usefixtures("no_aws")

ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/analyst"
BODY = "AWSLogs/111122223333/BedrockModelInvocationLogs/us-east-1/2026/11/23/12/data/1_input.json.gz"
LOG_KEY = "bedrock/AWSLogs/111122223333/BedrockModelInvocationLogs/us-east-1/2026/11/23/12/a.json.gz"
SERVICES = {"monitoring": "cloudwatch", "servicequotas": "service-quotas"}
"""Names of services in the SDK, by the prefixes of their endpoints."""

RECORDS = (
    converse(input={"inputTokenCount": 5, "inputBodyS3Path": f"s3://bodies/{BODY}"}),
    converse("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6"),
)


def request(policy: Any, action: str, resource: str, context: Any = ()) -> Request:
    return Request(
        principal=ROLE,
        account=ACCOUNT_ID,
        action=action,
        resource=resource,
        context=dict(context),
        policies={"analyze": policy},
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="log group of the account"),
        pytest.param(("--log-group", GROUP), id="log group that is named"),
        pytest.param(("--log-group", GROUP, "--whole-records"), id="whole records"),
        pytest.param(("--s3", "s3://logs/bedrock"), id="bucket and prefix"),
        pytest.param(("--s3", "s3://logs"), id="whole bucket"),
    ],
)
def test_the_policy_allows_every_call_and_nothing_beside_it(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(log_group, "POLL_SECONDS", 0.0)
    stored = gzip.compress("\n".join(json.dumps(with_id(each, number)) for number, each in enumerate(RECORDS)).encode())
    aws = FakeAws(
        insights(*RECORDS)
        | s3_bucket({LOG_KEY: stored, BODY: gzip.compress(b'{"max_tokens": 9}')})
        | {"GetInferenceProfile": {"models": []}}
    )
    monkeypatch.setattr(sources, "open_session", lambda _profile, _region: aws.session)
    window = ("--from", "2026-11-23T12:00", "--to", "2026-11-23T12:05")

    ran = CliRunner().invoke(main, ["analyze", *window, *options])
    policy = json.loads(CliRunner(mix_stderr=False).invoke(main, ["analyze", "--policy", *options]).stdout)

    assert ran.exit_code == 0, ran.output
    asked = []
    for name, parameters in aws.calls:
        service, _, operation = name.partition(":")
        # a query's results belong to the log group that was queried
        given = {**parameters, **({"logGroupName": GROUP} if "queryId" in parameters else {})}
        call = Call("f", SERVICES.get(service, service), operation, given, region="us-east-1", role=ROLE)
        prefix = {"s3:prefix": parameters["Prefix"]} if "Prefix" in parameters else {}
        asked += [
            request(policy, each.action, each.resource, {**dict(each.context), **prefix})
            for each in read_call(call, {})
        ]
    verdicts = evaluate(asked)
    refused = [
        (each.action, each.resource) for each, verdict in zip(asked, verdicts, strict=True) if verdict.result != ALLOWED
    ]
    assert not refused
    others = [
        request(policy, "s3:GetObject", "arn:aws:s3:::bodies/secret.txt"),
        request(policy, "s3:PutObject", f"arn:aws:s3:::logs/{LOG_KEY}"),
        request(policy, "logs:PutLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT_ID}:log-group:{GROUP}:log-stream:x"),
        request(policy, "bedrock:PutModelInvocationLoggingConfiguration", "*"),
        request(
            policy,
            "servicequotas:RequestServiceQuotaIncrease",
            f"arn:aws:servicequotas:us-east-1:{ACCOUNT_ID}:bedrock/L-1",
        ),
    ]
    if "--log-group" in options:
        others.append(
            request(policy, "logs:StartQuery", f"arn:aws:logs:us-east-1:{ACCOUNT_ID}:log-group:/other:log-stream:")
        )
    assert ALLOWED not in {verdict.result for verdict in evaluate(others)}
