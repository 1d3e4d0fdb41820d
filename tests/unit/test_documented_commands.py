"""Every block of code in the docs: tried by a test, or marked as needing an AWS account and then still well formed."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner
from commands import check, lines_of, words_of

from quota_monitor.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {page for pattern in ("*.md", "docs/*.md", "examples/*.md", ".github/**/*.md") for page in ROOT.glob(pattern)},
)
ACCOUNT = "# needs an AWS account"
"""First line of a block whose commands cannot be tried without."""

TRIED_BY = {
    "make demo": (".ci/run", "make demo"),
    "make test": (".ci/run", "make test\n"),
    "make test-fast": (".ci/run", "make test-fast"),
    "sam build": ("localaws/deployment.py", '"build"'),  # every end-to-end test runs on what it has built
    "uvx --from": ("tests/integration/test_wheel.py", '"--from", f"git+file://'),
    "sam local invoke": ("tests/e2e/test_sam_local.py", '"local", "invoke"'),
}
"""What tries a command that is too large to be run here, and where that says so; by the command's beginning."""


class Block(msgspec.Struct, frozen=True):
    page: str
    language: str
    text: str

    def __str__(self) -> str:
        lines = [line for line in self.text.strip().splitlines() if line != ACCOUNT]
        return f"{self.page}: {lines[0][:60] if lines else ''}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^ *```(\w*)\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL):
            yield Block(str(page.relative_to(ROOT)), found[1], found[2])


def collect_blocks(*languages: str) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in blocks() if block.language in languages]


@pytest.mark.parametrize("block", collect_blocks("sh"))
def test_every_command_names_what_is_there(block: Block) -> None:
    for command in lines_of(block.text):
        for part in re.split(r"\s&&\s|\s\|\s", command):
            check(part)


@pytest.mark.parametrize(
    "block", [each for each in collect_blocks("sh") if not each.values[0].text.startswith(ACCOUNT)]
)
def test_every_command_that_needs_no_account_is_tried(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for command in lines_of(block.text):
        for part in command.split(" && "):
            words = words_of(part)
            tried = [by for start, by in TRIED_BY.items() if words[: len(start.split())] == start.split()]
            for file, says in tried:
                assert says in (ROOT / file).read_text(encoding="utf-8")
            if not tried:
                assert words[0] == "quota-monitor", f"nothing tries: {part}"
                result = CliRunner().invoke(main, words[1:])
                assert result.exit_code == 0, result.output


@pytest.mark.parametrize("block", collect_blocks("toml", "json", "yaml"))
def test_data_is_well_formed(block: Block) -> None:
    read = {"toml": tomllib.loads, "json": json.loads, "yaml": yaml.safe_load}[block.language]

    assert read(block.text)


def commands_of(page: str, beginning: str) -> list[str]:
    found = [command for block in blocks() if block.page == page for command in lines_of(block.text)]
    return [each for each in found if each.startswith(beginning)]


def test_the_stack_set_starts_to_store_no_prompts() -> None:
    (command,) = commands_of("docs/operations.md", "aws cloudformation create-stack-set ")

    assert "--parameters ParameterKey=InvocationLogging,ParameterValue=adopt-only " in command


def test_events_of_a_failed_deployment_are_asked_for_by_the_arn_that_a_deleted_stack_needs() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    asking = [
        command for page in PAGES for command in commands_of(str(page.relative_to(ROOT)), "aws cloudformation desc")
    ]
    of_events = [each for each in asking if "describe-stack-events" in each]

    assert config["default"]["deploy"]["parameters"]["on_failure"] == "DELETE"
    assert [each.partition(" --stack-name ")[2] for each in of_events] == ["ARN"]


PROVIDER = {
    "": "resource",
    "resource": "logging_config",
    "logging_config": "cloudwatch_config embedding_data_delivery_enabled image_data_delivery_enabled s3_config "
    "text_data_delivery_enabled video_data_delivery_enabled",
    "cloudwatch_config": "large_data_delivery_s3_config log_group_name role_arn",
    "large_data_delivery_s3_config": "bucket_name key_prefix",
}
"""Arguments of Terraform's aws_bedrock_model_invocation_logging_configuration by block, as its documentation has them
(hashicorp/terraform-provider-aws, website/docs/r, read 2026-11-28)."""


def test_the_terraform_example_has_blocks_and_arguments_that_the_provider_takes() -> None:
    (block,) = [each for each in blocks() if each.language == "hcl"]
    inside = [""]
    for line in block.text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "}":
            inside.pop()
        elif name != "#":
            assert name in PROVIDER[inside[-1]].split()
            inside += [name] if rest.endswith("{") else []
    assert inside == [""]


def test_every_language_is_known_and_no_command_hides_in_a_block_without_one() -> None:
    assert {block.language for block in blocks()} <= {"sh", "toml", "json", "yaml", "hcl", "diff", ""}
    for block in blocks():
        if not block.language:
            first = [shlex.split(line, comments=True)[:1] for line in block.text.splitlines()[:1]]
            assert first[0] not in ([["aws"]], [["sam"]], [["make"]], ["$"]), str(block)


def test_a_wrong_command_is_noticed() -> None:
    for wrong in (
        "aws logs put-filter --log-group-name x",
        "aws logs put-subscription-filter --log-group x",
        "aws sns subscribe --topic-arn x",
        "aws lambda get-policy --function-name a name of words",
        "aws lambda get-policy --function-name",
        "aws iam put-role-policy --role-name x --policy-name y --policy-document '{Version}'",
        "quota-monitor doktor",
        "quota-monitor doctor --stack x",
        "sam deploy --regions us-east-1",
    ):
        with pytest.raises((AssertionError, ValueError)):
            check(wrong)
