"""Check command lines as people read them in the docs and in advice: what they name exists.

`aws` is checked against botocore's service models, from which the AWS CLI makes its commands and options
(AWS CLI User Guide, "Command structure", read 2026-11-24); `quota-monitor` and `sam` against the commands themselves.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import click
from botocore import xform_name
from samcli.cli.main import cli as sam
from samcli.yamlhelper import yaml_parse

from quota_monitor.main import main as quota_monitor

ROOT = Path(__file__).parents[1]

UNCHECKED = {
    "cd",
    "cdk",
    "cp",
    "done",
    "export",
    "for",
    "git",
    "npx",
    "pip",
    "pipx",
    "sha256sum",
    "source",
    "terraform",
    "unzip",
}
"""Programs and words of the shell of which nothing is known here."""

HELP = {"-h", "--help"}

GLOBAL_OPTIONS = {"region", "profile", "output", "query", "endpoint-url", "no-cli-pager", "cli-input-json"}
"""Of the AWS CLI's own, those that are used here."""

SERVICES = {"s3api": "s3"}
"""What the AWS CLI calls otherwise than botocore."""

RENAMED = {("sns", "Endpoint"): "notification-endpoint"}
"""Options the AWS CLI calls otherwise, since they would hide one of its own (awscli/customizations/argrename.py)."""


def lines_of(block: str) -> Iterator[str]:
    """The commands of a block for the shell, each whole: continued lines and open quotes joined, comments left out."""
    pending = ""
    for line in block.splitlines():
        pending += line.removesuffix("\\") if line.endswith("\\") else line + "\n"
        if line.endswith("\\"):
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quote is still open
            continue
        if words:
            yield pending.strip()
        pending = ""
    assert not pending.strip(), f"a quote is never closed: {pending}"


def in_advice(text: str) -> list[str]:
    """The commands in a piece of advice: each on a line of its own, indented."""
    return re.findall(r"^ +((?:aws|quota-monitor|sam) [a-z].*)$", text, re.MULTILINE)


def options_of(command: str) -> dict[str, list[str]]:
    """The values that the shell would give to each option of a command."""
    values: dict[str, list[str]] = {}
    option = ""
    for word in words_of(command):
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            values[option] = [value] if equals else []
        elif option:
            values[option].append(word)
    return values


def words_of(command: str) -> list[str]:
    """Words of one command without the variables set before it, the path of its program, and where its output goes."""
    words = shlex.split(re.sub(r"\$\([^()]*\)", "PRINTED", command), comments=True)
    while "=" in words[0]:
        words = words[1:]
    redirected = next((place for place, word in enumerate(words) if word in {">", ">>", "<"}), len(words))
    return [words[0].rpartition("/")[2], *words[1:redirected]]


def check(command: str) -> None:
    """Raise if a command names what does not exist, or if its program is an unknown one."""
    program, *arguments = words_of(command)
    if program == "aws":
        _check_aws(arguments)
    elif program in {"quota-monitor", "bedrock-quota-monitor"}:
        _check_ours(arguments)
    elif program == "sam":
        _check_click(sam, arguments)
    elif program == "make":
        _check_make(arguments)
    elif program in {"uvx", "pipx"} and "quota-monitor" in arguments:
        _check_ours(arguments[arguments.index("quota-monitor") + 1 :])
    elif program in {"python", "python3", "uv", "pytest", "bash"}:
        _check_files(arguments)
    else:
        assert program in UNCHECKED, f"nothing is known of {program}"


def _check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.MULTILINE))
    for word in arguments:
        name, equals, _ = word.partition("=")
        assert f"$({name})" in makefile if equals else name in targets, f"make has no {name}"


def _check_files(arguments: list[str]) -> None:
    for word in arguments:
        path = word.partition("::")[0]
        if path.endswith((".py", ".txt")) or path.startswith("tests/"):
            assert (ROOT / path).exists(), f"there is no {path}"


DEPLOY_OPTIONS = {"template-file", "stack-name", "capabilities", "parameter-overrides"}
"""Options of `aws cloudformation deploy`, those that are used here. It is the AWS CLI's own command and no operation
(AWS CLI Command Reference, read 2026-11-29)."""


def _check_deploy(arguments: list[str]) -> None:
    """Check `aws cloudformation deploy`: its options, and the parameters that the template declares."""
    given = options_of(shlex.join(["aws", *arguments]))
    unknown = {name[2:] for name in given} - DEPLOY_OPTIONS - GLOBAL_OPTIONS
    assert not unknown, f"aws cloudformation deploy has no --{', --'.join(sorted(unknown))}"
    (file,) = given["--template-file"]
    parameters = yaml_parse((ROOT / file).read_text(encoding="utf-8"))["Parameters"]
    values = dict(each.split("=", 1) for each in given.get("--parameter-overrides", []))
    assert values.keys() <= parameters.keys(), f"{file} has no {sorted(values.keys() - parameters.keys())}"
    missing = {name for name, each in parameters.items() if "Default" not in each} - values.keys()
    assert not missing, f"{file} needs {sorted(missing)}"
    for name, value in values.items():
        assert re.fullmatch(parameters[name].get("AllowedPattern", ".+"), value), f"{name} cannot be {value}"


def _check_aws(arguments: list[str]) -> None:
    if arguments[:2] == ["cloudformation", "deploy"]:
        _check_deploy(arguments)
        return
    service, operation, *rest = arguments
    service = SERVICES.get(service, service)
    session = botocore.session.get_session()
    model = session.get_service_model(service)
    if operation == "wait":
        waiters = session.get_waiter_model(service)
        found = {xform_name(name, "-"): waiters.get_waiter(name) for name in waiters.waiter_names}
        assert rest[0] in found, f"aws {service} waits for no {rest[0]}"
        operation, *rest = xform_name(found[rest[0]].operation, "-"), *rest[1:]
        arguments = [arguments[0], operation, *rest]
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in operations, f"aws {service} has no {operation}"
    shape = model.operation_model(operations[operation]).input_shape
    members = shape.members if shape else {}
    options = {RENAMED.get((service, name), xform_name(name, "-")): member for name, member in members.items()}
    switches = {f"no-{name}" for name, member in options.items() if member.type_name == "boolean"}
    given = {word[2:].partition("=")[0] for word in rest if word.startswith("--")}
    unknown = given - options.keys() - switches - GLOBAL_OPTIONS
    assert not unknown, f"aws {service} {operation} has no --{', --'.join(sorted(unknown))}"
    for name, values in options_of(shlex.join(["aws", *arguments])).items():
        _check_values(
            name,
            values,
            options.get(name[2:]),
            streams=bool(model.operation_model(operations[operation]).has_streaming_output),
        )
    required = {xform_name(name, "-") for name in shape.required_members} if shape else set()
    assert "cli-input-json" in given or required <= given | {name.removeprefix("no-") for name in given & switches}, (
        f"aws {service} {operation} needs {sorted(required - given)}"
    )


def _check_values(name: str, values: list[str], member: Any, *, streams: bool) -> None:
    """Raise if an option has more values than it takes, as an unquoted name with a space gives it."""
    kind = member.type_name if member is not None else "boolean" if name.startswith("--no-") else "string"
    if kind in {"string", "integer", "long", "structure", "map"}:
        assert 1 <= len(values) <= 1 + streams, f"{name} takes one value, and was given {values}"
    if kind == "boolean":
        assert not values, f"{name} takes no value, and was given {values}"
    for value in values:
        if value.startswith("{"):
            json.loads(value)


def _check_click(command: click.Command, arguments: list[str]) -> None:
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        with click.Context(command, obj=True) as context:  # samcli reads a command only where there is an object
            found = command.get_command(context, arguments[0])
        assert found is not None, f"{command.name} has no {arguments[0]}"
        command, arguments = found, arguments[1:]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word.partition("=")[0] for word in arguments if word.startswith("-")} - options - HELP
    assert not unknown, f"{command.name} has no {', '.join(sorted(unknown))}"


def _check_ours(arguments: list[str]) -> None:
    """Parse a command of ours with all its values, as click does before it runs it. Files need not exist."""
    _check_click(quota_monitor, arguments)
    command: click.Command = quota_monitor
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(click.Context(command), arguments[0])
        assert found is not None
        command, arguments = found, arguments[1:]
    try:
        command.make_context(command.name, list(arguments)).close()
    except click.exceptions.Exit:  # of --help and --version
        pass
    except click.UsageError as error:
        assert "does not exist" in error.message, error.message
