"""AWS's refusals, as it words them: which may pass, and the sentence for each that does not."""

import pytest
from botocore.exceptions import ClientError

from bedrock_quota.access_denied import (
    AccessRefusedError,
    is_propagation_delay,
    make_waits,
    may_concern_large_bodies,
    retry_while_denied,
    translate_access_errors,
)

# As in the IAM User Guide, Troubleshoot access denied error messages (read 2026-11-24)
WHO = "User: arn:aws:sts::111122223333:assumed-role/r/f is not authorized to perform: bedrock:PutX"
BY_SCP = f"{WHO} with an explicit deny in a service control policy"
NO_SCP = f"{WHO} because no service control policy allows the bedrock:PutX action"
BOUNDARY = f"{WHO} because no permissions boundary allows the bedrock:PutX action"
EXPLICIT = f"{WHO} with an explicit deny in an identity-based policy"
NOT_YET = f"{WHO} because no identity-based policy allows the bedrock:PutX action"
VALIDATION = "Failed to validate permissions for log group: /x"


def error(message: str, code: str = "AccessDeniedException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "PutX")


@pytest.mark.parametrize(
    ("raised", "may_pass"),
    [
        pytest.param(error(NOT_YET), True, id="not yet allowed"),
        pytest.param(error(VALIDATION, "ValidationException"), True, id="role not yet usable"),
        pytest.param(error("no such group", "ValidationException"), False, id="no such group"),
        pytest.param(error("Rate exceeded", "ThrottlingException"), False, id="throttled"),
        pytest.param(error(BY_SCP), False, id="service control policy"),
        pytest.param(error(NO_SCP), False, id="no service control policy allows it"),
        pytest.param(error(BOUNDARY), False, id="permissions boundary"),
        pytest.param(error(EXPLICIT), False, id="explicit deny"),
    ],
)
def test_waiting_is_for_what_may_pass(raised: ClientError, may_pass: bool) -> None:
    assert is_propagation_delay(raised) is may_pass


@pytest.mark.parametrize(
    ("raised", "concerns"),
    [
        pytest.param(error(VALIDATION, "ValidationException"), True, id="trial write of some kind"),
        pytest.param(error("bucket x cannot be used", "ValidationException"), True, id="trial write to the bucket"),
        pytest.param(error("no such group", "ValidationException"), False, id="no such group"),
        pytest.param(error(WHO.replace("bedrock:PutX", "s3:GetBucketPolicy")), True, id="right on S3"),
        pytest.param(error(WHO.replace("bedrock:PutX", "kms:GenerateDataKey")), True, id="right on a key"),
        pytest.param(error(NOT_YET), False, id="right on Bedrock"),
        pytest.param(error("s3:PutObject"), False, id="no action named"),
        pytest.param(error("permission", "ThrottlingException"), False, id="throttled"),
    ],
)
def test_refusals_that_the_bucket_may_have_caused(raised: ClientError, concerns: bool) -> None:
    assert may_concern_large_bodies(raised) is concerns


def test_calls_that_share_their_waits_share_the_time() -> None:
    slept: list[float] = []
    waits = make_waits()

    def deny() -> None:
        raise error(NOT_YET)

    for _ in range(2):
        with pytest.raises(ClientError):
            retry_while_denied(deny, slept.append, waits)
    assert sum(slept) == 90
    assert retry_while_denied(lambda: "answer", slept.append, waits) == "answer"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        pytest.param(
            error(BY_SCP),
            "bedrock:PutX is forbidden by a service control policy. Ask the owner of",
            id="service control policy",
        ),
        pytest.param(
            error(NO_SCP),
            "bedrock:PutX is forbidden by a service control policy",
            id="no service control policy allows it",
        ),
        pytest.param(error(BOUNDARY), "bedrock:PutX is forbidden by a permissions boundary", id="permissions boundary"),
        pytest.param(error(EXPLICIT), "bedrock:PutX is forbidden by an explicit deny", id="explicit deny"),
        pytest.param(
            error(NOT_YET), "the stack's LoggingSetupRole is not allowed to call bedrock:PutX", id="not yet allowed"
        ),
        pytest.param(
            error("no", "AccessDenied"),
            "the stack's LoggingSetupRole is not allowed to call PutX",
            id="AccessDenied of S3",
        ),
        pytest.param(
            error(VALIDATION, "ValidationException"),
            "Bedrock is not allowed to write its invocation logs",
            id="role that may not write",
        ),
    ],
)
def test_refusal_says_what_to_do_and_what_aws_said(raised: ClientError, said: str) -> None:
    with pytest.raises(AccessRefusedError) as caught, translate_access_errors():
        raise raised

    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(f"AWS returned: {raised.response['Error']['Message']}")
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    "raised",
    [
        pytest.param(error("Rate exceeded", "ThrottlingException"), id="throttled"),
        pytest.param(ValueError("another"), id="another exception"),
    ],
)
def test_what_is_no_refusal_is_left_as_it_is(raised: Exception) -> None:
    with pytest.raises(type(raised)) as caught, translate_access_errors():
        raise raised
    assert caught.value is raised


def test_patience_ends_after_a_minute_and_a_half() -> None:
    slept: list[float] = []

    def refuse() -> None:
        raise error(NOT_YET)

    with pytest.raises(ClientError):
        retry_while_denied(refuse, slept.append)
    assert slept == [5] * 18


def test_patience_is_for_refusals_alone() -> None:
    slept: list[float] = []

    def fail() -> None:
        raise error(BY_SCP)

    with pytest.raises(ClientError):
        retry_while_denied(fail, slept.append)
    assert slept == []
