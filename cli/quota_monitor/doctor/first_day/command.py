"""Run the first-day check: collect, ask and report."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import msgspec

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.first_day.answers import Report, safe_name, safe_version
from quota_monitor.doctor.first_day.collect import attempt, collect, read_template_of
from quota_monitor.doctor.first_day.evidence import Unreadable
from quota_monitor.doctor.first_day.failure_test import run_failure_test
from quota_monitor.doctor.first_day.questions import ask_all

if TYPE_CHECKING:
    import boto3

_SETTING = re.compile(r"[a-z0-9_-]{1,20}")
"""Values of parameters that are fixed words of the template."""

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}")


def check_first_day(
    session: boto3.Session,
    stack: Stack,
    now: datetime,
    *,
    test_failure: bool = False,
    is_local: bool = False,
    progress: Callable[[str], None] = lambda _what: None,
) -> Report:
    """Return the report on a stack. `progress` gets a text before each long step.

    With `test_failure` it first runs the test of the failure destination. Without it this changes nothing. `is_local`
    is true for the account of an emulator on this machine.
    """
    kept: bool | Unreadable | None = None
    if test_failure:
        progress("Waiting for Lambda to keep the failed event, which takes some minutes")
        kept = attempt(lambda: run_failure_test(session, stack))
    progress("Collecting evidence")
    template = read_template_of(session, stack)
    evidence = msgspec.structs.replace(collect(session, stack, template, now), is_local=is_local)
    evidence = (
        msgspec.structs.replace(evidence, failure_path=kept)
        if isinstance(kept, Unreadable)
        else msgspec.structs.replace(evidence, kept_test=kept)
    )
    return Report(
        checked_at=now.strftime("%Y-%m-%d %H:%M UTC"),
        region=stack.region if _REGION.fullmatch(stack.region) else "unknown",
        command_version=_own_version(),
        stack_version=_stack_version(template),
        settings=_settings(stack, template),
        answers=ask_all(evidence),
        is_local=is_local,
    )


def _own_version() -> str:
    try:
        return safe_version(version("bedrock-quota-monitor"))
    except PackageNotFoundError:
        return "unknown"


def _stack_version(template: Mapping[str, Any] | Unreadable) -> str:
    if isinstance(template, Unreadable):
        return "unknown"
    application = template.get("Metadata", {}).get("AWS::ServerlessRepo::Application", {})
    return safe_version(application.get("SemanticVersion"))


def _settings(stack: Stack, template: Mapping[str, Any] | Unreadable) -> dict[str, str]:
    """Return the parameters for which the template lists the allowed values. Others may hold names or addresses."""
    if isinstance(template, Unreadable):
        return {}
    return {
        safe_name(name): value
        for name, value in sorted(stack.parameters.items())
        if value in template.get("Parameters", {}).get(name, {}).get("AllowedValues", ()) and _SETTING.fullmatch(value)
    }
