"""A caller's name from its ARN, and texts made safe for a metric line."""

import pytest
from records import ACCOUNT, ROLE_ARN

from bedrock_quota.processor.callers import parse_caller, safe_label


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (ROLE_ARN, "ReportWriter"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Dev_0a1b/jane@example.com", "AWSReservedSSO_Dev_0a1b"),
        (f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/Batch/i-0abc", "Batch"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/OnlyRole", "OnlyRole"),
        (f"arn:aws:iam::{ACCOUNT}:user/jane", "jane"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/data/jane", "jane"),
        (f"arn:aws:iam::{ACCOUNT}:role/service/Batch", "Batch"),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/jane", "jane"),
        (f"arn:aws:iam::{ACCOUNT}:root", "root"),
        (f"arn:aws:iam::{ACCOUNT}:user/", "unknown"),
        (f"arn:aws:iam::{ACCOUNT}:user", "unknown"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/", "unknown"),
        (f"arn:aws:iam::{ACCOUNT}:role/service/", "unknown"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/", "unknown"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role//session", "unknown"),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/", "unknown"),
        (f"arn:aws:iam::{ACCOUNT}:group/jane", "unknown"),
        ("not an arn", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_name(arn: str | None, name: str) -> None:
    assert parse_caller(arn) == name


def test_session_name_never_shows() -> None:
    assert "somebody" not in parse_caller(ROLE_ARN)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("plain text-1", "plain text-1"),
        ("", ""),
        ("zwölf", "zw?lf"),
        ("two\nlines\x00", "two?lines?"),
        ("\ud800", "?"),
        ("x" * 256, "x" * 256),
        ("x" * 257, "x" * 253 + "..."),
    ],
)
def test_label(text: str, label: str) -> None:
    assert safe_label(text) == label
