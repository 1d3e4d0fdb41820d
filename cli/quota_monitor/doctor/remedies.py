"""Remedies: what to do about a finding, with commands that can be pasted."""

import re
import shlex
from typing import Any

import click
import msgspec

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.observed import Key
from quota_monitor.program import describe_program, own_command

SETTINGS = "in the Bedrock console, under Settings, Model invocation logging"

DECLARE_LIMITS = "declare the limits: see docs/invocation-logging.md#accounts-that-may-not-log-prompts"

DENIED_ABOVE = "If that does not help, a policy of your organization denies it."


def command(*words: str) -> str:
    """Return a command line with every word quoted for the shell."""
    return shlex.join(words)


def own(stack: Stack, *words: str) -> str:
    """Return a command line of this program for a stack, such as `quota-monitor failed replay`."""
    option = "--regions" if words[0] == "deploy" else "--region"
    return own_command(*words, option, stack.region, "--stack-name", stack.name)


def read_logging_again(stack: Stack) -> str:
    """Return the deployment that makes the stack read the account's invocation logging again, and keeps its tags."""
    deploy = own(stack, "deploy")
    return advise(
        "Deploy again with a new value of CheckLoggingAgain, so that the stack checks the invocation logging again",
        f"{deploy} --parameter CheckLoggingAgain=$(date +%s)",
    )


def aim(advice: str, stack: Stack) -> str:
    """Return advice whose AWS commands name the stack's Region, and the profile if the user gave one."""
    return _AWS_COMMAND.sub(lambda found: _add_options(found[0], stack), advice)


_AWS_COMMAND = re.compile(r"^  aws .*$", re.MULTILINE)


def _add_options(found: str, stack: Stack) -> str:
    context = click.get_current_context(silent=True)
    profile = None if context is None else context.params.get("profile")
    given = {"--region": stack.region, "--profile": profile}
    added = [word for name, value in given.items() if value and f" {name} " not in found for word in (name, value)]
    return " ".join((found, command(*added))) if added else found


def list_commands(advice: str) -> list[str]:
    """Return the commands in advice: each on a line of its own, indented."""
    programs = ("aws ", f"{describe_program()} ")
    return [line.strip() for line in advice.splitlines() if line.startswith("  ") and line.strip().startswith(programs)]


def advise(sentence: str, *commands: str) -> str:
    """Return an instruction with its commands below it, one per line."""
    return "\n".join((f"{sentence}:", *(f"  {each}" for each in commands)))


def restore_resources(stack: Stack) -> str:
    """Return how CloudFormation creates deleted resources again, and reverts changes made outside of it.

    A normal update fails at a deleted resource. A drift-aware change set compares with what exists, and creates it.
    CloudFormation User Guide, Using drift-aware change sets (read 2026-11-24). AWS's DevOps blog, 2025-11-19, scenario
    3 (read 2026-11-24).
    """
    named = ("--stack-name", stack.name, "--change-set-name", "bring-back")
    parameters = [f"ParameterKey={key},UsePreviousValue=true" for key in stack.parameters]
    create = command(
        *("aws", "cloudformation", "create-change-set", *named, "--use-previous-template"),
        *("--deployment-mode", "REVERT_DRIFT", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *(["--parameters", *parameters] if parameters else []),
    )
    changes = "Changes[].ResourceChange.[Action,LogicalResourceId]"
    describe = command("aws", "cloudformation", "describe-change-set", *named, "--query", changes)
    return "\n".join(
        (
            advise("Create a change set that restores the stack", create),
            advise("Check what it changes", describe),
            advise("Apply it", command("aws", "cloudformation", "execute-change-set", *named)),
        )
    )


def create_log_group(name: str) -> tuple[str, str]:
    """Return the commands that create a log group with a retention time."""
    return (
        command("aws", "logs", "create-log-group", "--log-group-name", name),
        command("aws", "logs", "put-retention-policy", "--log-group-name", name, "--retention-in-days", "30"),
    )


def enable_key(key: Key) -> str:
    """Return how to enable a KMS key again, or nothing if that is impossible.

    A key whose deletion is cancelled is disabled (KMS Developer Guide, Cancel key deletion, read 2026-11-24).
    """
    if key.state not in {"Disabled", "PendingDeletion"}:
        return ""
    cancel = command("aws", "kms", "cancel-key-deletion", "--key-id", key.arn)
    enable = command("aws", "kms", "enable-key", "--key-id", key.arn)
    return advise("Enable it", *((cancel,) if key.state == "PendingDeletion" else ()), enable)


def add_statement(policy: str, statement: dict[str, Any]) -> str:
    """Return the instruction to add a statement to a policy."""
    return advise(f"Add this statement to the policy of {policy}", msgspec.json.encode(statement).decode())


def policy_document(statement: dict[str, Any]) -> str:
    """Return a policy that consists of one statement, as JSON."""
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()


def for_this_account(stack: Stack) -> dict[str, Any]:
    """Return the condition that Bedrock acts for the stack's account and Region."""
    return {
        "StringEquals": {"aws:SourceAccount": stack.account},
        "ArnLike": {"aws:SourceArn": f"{stack.bedrock_arn_prefix}:*"},
    }
