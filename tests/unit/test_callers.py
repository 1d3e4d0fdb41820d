"""A caller's name from its ARN, and texts made safe for a metric line."""

import pytest
from executed_lines import count_lines
from records import ACCOUNT, ROLE_ARN

from bedrock_quota.processor.callers import parse_caller, parse_project, parse_session, safe_label


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        pytest.param(ROLE_ARN, "ReportWriter", id="assumed role"),
        pytest.param(
            f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Dev_0a1b/jane@example.com",
            "AWSReservedSSO_Dev_0a1b",
            id="role of IAM Identity Center",
        ),
        pytest.param(f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/Batch/i-0abc", "Batch", id="role in GovCloud"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/OnlyRole", "OnlyRole", id="assumed role without a session"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:user/jane", "jane", id="user"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:user/team/data/jane", "jane", id="user with a path"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/service/Batch", "Batch", id="role with a path"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:federated-user/jane", "jane", id="federated user"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:root", "root", id="root"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:user/", "unknown", id="user without a name"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:user", "unknown", id="user without a slash"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:user/team/", "unknown", id="user path without a name"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/service/", "unknown", id="role path without a name"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/", "unknown", id="assumed role without a name"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role//session", "unknown", id="session of no role"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:federated-user/", "unknown", id="federated user without a name"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:group/jane", "unknown", id="group"),
        pytest.param("not an arn", "unknown", id="no ARN"),
        pytest.param("", "unknown", id="empty"),
        pytest.param(None, "unknown", id="absent"),
    ],
)
def test_name(arn: str | None, name: str) -> None:
    assert parse_caller(arn) == name


def test_session_name_never_shows_in_the_callers() -> None:
    assert "somebody" not in parse_caller(ROLE_ARN)


@pytest.mark.parametrize(
    ("arn", "session"),
    [
        pytest.param(ROLE_ARN, "session-of-somebody", id="assumed role"),
        pytest.param(
            f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Dev_0a1b/jane@example.com",
            "jane@example.com",
            id="person of IAM Identity Center",
        ),
        pytest.param(f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/Batch/i-0abc", "i-0abc", id="instance in GovCloud"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/Role/a/b", "a/b", id="slash"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/Role/a:b", "a:b", id="colon"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/Role/zwölf", "zw?lf", id="umlaut"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/Role/{'x' * 257}", "x" * 253 + "...", id="257 characters"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/Role/", "", id="role without a session"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/Role", "", id="role without a slash"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:user/team/jane", "", id="user with a path"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/service/Batch", "", id="role with a path"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:federated-user/jane", "", id="federated user"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:root", "", id="root"),
        pytest.param("assumed-role", "", id="no ARN"),
        pytest.param("", "", id="empty"),
        pytest.param(None, "", id="absent"),
    ],
)
def test_session(arn: str | None, session: str) -> None:
    assert parse_session(arn) == session


@pytest.mark.parametrize(
    ("identifier", "project"),
    [
        pytest.param("proj_0a1b", "proj_0a1b", id="ID"),
        pytest.param(f"arn:aws:bedrock:us-east-1:{ACCOUNT}:project/proj_0a1b", "proj_0a1b", id="ARN"),
        pytest.param(f"arn:aws-us-gov:bedrock:us-gov-west-1:{ACCOUNT}:project/p-1", "p-1", id="ARN in GovCloud"),
        pytest.param("default", "default", id="default project"),
        pytest.param("", "", id="empty"),
        pytest.param("x" * 64, "x" * 64, id="64 characters"),
        pytest.param("x" * 65, "other", id="65 characters"),
        pytest.param("zwölf\n", "other", id="not printable"),
        pytest.param("words of a prompt", "other", id="words"),
    ],
)
def test_project(identifier: str, project: str) -> None:
    assert parse_project(identifier) == project


@pytest.mark.parametrize(
    ("text", "label"),
    [
        pytest.param("plain text-1", "plain text-1", id="plain"),
        pytest.param("", "", id="empty"),
        pytest.param("zwölf", "zw?lf", id="umlaut"),
        pytest.param("two\nlines\x00", "two?lines?", id="control characters"),
        pytest.param("\ud800", "?", id="lone surrogate"),
        pytest.param("two\tw\xf6rter\x7f", "two?w?rter?", id="control characters beside an umlaut"),
        pytest.param("\U0001f600 ok~", "? ok~", id="emoji"),
        pytest.param("x" * 256, "x" * 256, id="256 characters"),
        pytest.param("x" * 257, "x" * 253 + "...", id="257 characters"),
    ],
)
def test_label(text: str, label: str) -> None:
    assert safe_label(text) == label


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\xe9", id="Latin"),
        pytest.param("\u65e5", id="Chinese"),
        pytest.param("\U0001f600", id="emoji"),
        pytest.param("\x00", id="control character"),
    ],
)
def test_label_in_another_script_takes_no_work_per_character(character: str) -> None:
    assert safe_label(character * 10_000) == "?" * 253 + "..."
    # four lines ran per character
    assert count_lines(lambda: safe_label(character * 10_000)) <= 8
