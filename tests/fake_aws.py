"""AWS within the process: each call of a client is answered by a function, and is noted.

botocore checks the parameters of a call against its service model, and no connection is opened.
"""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody
from records import MINUTE, with_id

from localaws import log_queries

Answer = Mapping[str, Any] | Exception
Handler = Callable[[Mapping[str, Any]], Answer]

HTTP_OK, HTTP_BAD_REQUEST = 200, 400


class AwsError(Exception):
    """An answer of AWS that is an error, with its code and message."""

    def __init__(self, code: str, said: str = "no") -> None:
        super().__init__(code)
        self.code, self.said = code, said


EXPIRED = AwsError("ExpiredTokenException", "The security token included in the request is expired")


def denied(action: str) -> AwsError:
    """Return the error of a missing right."""
    return AwsError("AccessDeniedException", f"User is not authorized to perform: {action}")


class FakeAws:
    """Answers the calls of a session's clients. An operation without an answer fails the test.

    `answers` has a mapping, an `AwsError`, another exception or a function of the parameters for each operation.
    """

    def __init__(self, answers: Mapping[str, Answer | Handler], region: str = "us-east-1") -> None:
        self.answers = dict(answers)
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.session = boto3.Session(region_name=region)
        self.session.events.register("before-parameter-build.*.*", self._note)
        self.session.events.register("before-call.*.*", self._answer)

    def operations(self) -> list[str]:
        """Return the names of all operations that were called, in order: `logs:StartQuery`."""
        return [name for name, _ in self.calls]

    def parameters(self, operation: str) -> list[Mapping[str, Any]]:
        """Return the parameters of each call of an operation."""
        return [given for name, given in self.calls if name == operation]

    def _note(self, params: Mapping[str, Any], model: Any, context: dict[str, Any], **_more: Any) -> None:
        context["fake"] = dict(params)
        self.calls.append((f"{model.service_model.endpoint_prefix}:{model.name}", dict(params)))

    def _answer(self, model: Any, context: dict[str, Any], **_more: Any) -> tuple[AWSResponse, dict[str, Any]]:
        found = self.answers.get(model.name)
        if found is None:
            raise AssertionError(f"no answer for {model.name}")
        answer = found(context["fake"]) if callable(found) else found
        if isinstance(answer, AwsError):
            error = {"Error": {"Code": answer.code, "Message": answer.said}, "ResponseMetadata": {}}
            return AWSResponse("", HTTP_BAD_REQUEST, {}, io.BytesIO()), error
        if isinstance(answer, Exception):
            raise answer
        return AWSResponse("", HTTP_OK, {}, io.BytesIO()), {"ResponseMetadata": {}, **answer}


def s3_object(content: bytes) -> dict[str, Any]:
    """Return an answer of GetObject."""
    return {"Body": StreamingBody(io.BytesIO(content), len(content)), "ContentLength": len(content)}


def s3_bucket(objects: Mapping[str, bytes]) -> dict[str, Handler]:
    """Return the answers of a bucket with these objects."""

    def get(given: Mapping[str, Any]) -> Answer:
        content = objects.get(given["Key"])
        return AwsError("NoSuchKey") if content is None else s3_object(content)

    def list_objects(given: Mapping[str, Any]) -> Answer:
        prefix, delimiter = given.get("Prefix", ""), given.get("Delimiter", "")
        contents, folders = [], dict[str, None]()
        for key in sorted(objects):
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                folders[prefix + rest.split(delimiter)[0] + delimiter] = None
            else:
                contents.append({"Key": key, "Size": len(objects[key])})
        return {"Contents": contents, "CommonPrefixes": [{"Prefix": each} for each in folders], "IsTruncated": False}

    return {"GetObject": get, "ListObjectsV2": list_objects}


GROUP = "/aws/bedrock/modelinvocations"

SONNET_QUOTA = {
    "ServiceCode": "bedrock",
    "QuotaCode": "L-1",
    "QuotaName": "On-demand model inference tokens per minute for Anthropic Claude Sonnet 4 V1",
    "Value": 1_000.0,
}

ACCOUNT: Mapping[str, Answer | Handler] = {
    "GetCallerIdentity": {"Account": "111122223333", "Arn": "arn:aws:iam::111122223333:user/jane", "UserId": "A"},
    "ListServiceQuotas": {"Quotas": []},
    "ListAWSDefaultServiceQuotas": {"Quotas": [SONNET_QUOTA]},
    "ListInferenceProfiles": {"inferenceProfileSummaries": []},
}
"""Answers of an account with one quota, and no application profiles."""


def insights(*entries: Any) -> dict[str, Any]:
    """Return the answers of an account whose log group has these records."""
    queries: list[Mapping[str, Any]] = []
    messages = [
        each if isinstance(each, str) else json.dumps(with_id(each, number)) for number, each in enumerate(entries)
    ]

    def start(given: Mapping[str, Any]) -> Answer:
        queries.append(given)
        return {"queryId": str(len(queries) - 1)}

    def results(given: Mapping[str, Any]) -> Answer:
        query = queries[int(given["queryId"])]
        events = [{"timestamp": MINUTE * 1000, "message": each} for each in messages]
        found = log_queries.run_query(
            events if query["startTime"] <= MINUTE <= query["endTime"] else [], query["queryString"], query["limit"]
        )
        return {"status": "Complete", "results": found.results, "statistics": found.statistics}

    configuration = {"cloudWatchConfig": {"logGroupName": GROUP, "roleArn": "arn:aws:iam::111122223333:role/r"}}
    return {
        **ACCOUNT,
        "GetModelInvocationLoggingConfiguration": {"loggingConfig": configuration},
        "GetMetricStatistics": {"Datapoints": [{"Sum": 12.3e9, "Unit": "Bytes"}]},
        "DescribeLogStreams": {"logStreams": []},
        "StartQuery": start,
        "GetQueryResults": results,
        "StopQuery": {"success": True},
        "FilterLogEvents": {"events": [{"timestamp": MINUTE * 1000, "message": each} for each in messages]},
    }
