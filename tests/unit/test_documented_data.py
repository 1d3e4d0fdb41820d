"""Every other block of the docs: data that its reader accepts, code that runs, queries that parse, real output."""

import ast
import importlib
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from cfnlint.api import lint_all
from click.testing import CliRunner
from commands import lines_of, words_of
from demo_output import demo_lines
from documented import ACCOUNT, QUERY, ROOT, Block, blocks, blocks_of, inline_code, parameters
from samcli.yamlhelper import yaml_parse

from bedrock_quota.registry.models import Model
from localaws.preview import logs_insights
from quota_monitor.main import main

KINDS = {"sh", "toml", "json", "yaml", "python", "hcl", "diff", "row", "address", "query", "picture", "output"}
"""All kinds of blocks. Each has its test here, `sh` in test_documented_commands. A picture needs none."""

READERS: dict[str, Callable[[str], Any]] = {"toml": tomllib.loads, "json": json.loads, "yaml": yaml_parse}
"""CloudFormation's YAML has tags such as !Sub."""


def test_every_block_is_of_a_known_kind() -> None:
    assert {str(block): block.kind for block in blocks() if block.kind not in KINDS} == {}


def test_no_command_hides_in_a_block_without_a_language() -> None:
    for block in blocks("output", "picture"):
        first = block.text.split()[0]
        assert first not in {"aws", "sam", "make", "$", "quota-monitor", ".venv/bin/quota-monitor"}, str(block)


@pytest.mark.parametrize("block", parameters("toml", "json", "yaml"))
def test_data_is_well_formed(block: Block) -> None:
    read = READERS[block.kind](block.text)

    assert read
    if isinstance(read, dict) and "models" in read:
        assert msgspec.convert(read["models"], list[Model])


def problems_of(template: str) -> list[str]:
    return [f"{each.rule.id} {each.message}" for each in lint_all(template)]


def template_with(policy: dict[str, Any]) -> str:
    """A template that has the policy, or the statement of one."""
    whole = policy if "Statement" in policy else {"Version": "2012-10-17", "Statement": [policy]}
    properties = {"PolicyDocument": whole}
    return json.dumps({"Resources": {"Policy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}}})


def test_policies_are_of_actions_that_iam_knows() -> None:
    policies = {str(block): json.loads(block.text) for block in blocks("json")}
    policies = {where: policy for where, policy in policies.items() if {"Statement", "Effect"} & policy.keys()}

    assert policies
    assert {where: problems for where, each in policies.items() if (problems := problems_of(template_with(each)))} == {}


def test_templates_pass_cfn_lint() -> None:
    templates = [block for block in blocks("yaml", "json") if re.search(r'^"?Resources"?:', block.text, re.MULTILINE)]

    assert {str(block): problems for block in templates if (problems := problems_of(block.text))} == {}


def test_a_wrong_action_and_a_wrong_property_are_noticed() -> None:
    policy = template_with({"Effect": "Allow", "Action": "bedrock:Nonsense", "Resource": "*"})
    template = "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties:\n      Nonsense: a\n"

    assert [each.partition(" ")[0] for each in problems_of(policy)] == ["W3037"]
    assert [each.partition(" ")[0] for each in problems_of(template)] == ["E3002"]


# Links that create a stack


def unknown_in_link(address: str) -> set[str]:
    """The parameters of a quick-create link that CloudFormation or the template does not have."""
    where = urlsplit("".join(address.split()))
    assert where.hostname is not None
    assert where.hostname.endswith(".console.aws.amazon.com")
    page, _, query = where.fragment.partition("?")
    assert page in {"/stacks/create/review", "/stacks/quickcreate"}
    template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    known = {"templateURL", "stackName", *(f"param_{name}" for name in template["Parameters"])}
    return parse_qs(query, strict_parsing=True).keys() - known


def test_quick_create_links_have_parameters_of_the_template() -> None:
    assert {str(block): unknown for block in blocks("address") if (unknown := unknown_in_link(block.text))} == {}


def test_a_wrong_parameter_of_a_link_is_noticed() -> None:
    link = (
        "https://a.console.aws.amazon.com/cloudformation/home?region=a#/stacks/create/review?templateURL=b&param_{}=c"
    )

    assert unknown_in_link(link.format("AlarmEmail")) == set()
    assert unknown_in_link(link.format("AlarmMail")) == {"param_AlarmMail"}


# Python


def unknown_names(text: str) -> list[str]:
    """What a piece of Python imports and is not there. Modules of examples/ are tested by their own tests."""
    unknown = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and not (ROOT / "examples" / f"{node.module}.py").exists():
            module = importlib.import_module(node.module)
            unknown += [alias.name for alias in node.names if not hasattr(module, alias.name)]
    return unknown


def test_python_runs_or_imports_what_is_there() -> None:
    for block in blocks("python"):
        assert unknown_names(block.text) == [], str(block)
        if not block.needs_account:
            exec(compile(block.text, block.page, "exec"), {"__name__": "documented"})  # noqa: S102 - our own pages


def test_an_import_of_what_is_not_there_is_noticed() -> None:
    assert unknown_names("from json import dumps, dampf\nfrom declared_boto3 import declare_max_tokens") == ["dampf"]


# Changes to apply


def test_changes_to_this_repository_are_applied_by_a_test() -> None:
    tests = [file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "integration").glob("test_*.py")]

    for page in {block.page for block in blocks("diff", "row")}:
        assert any(f'"{Path(page).name}"' in test or f'"{page}"' in test for test in tests), page


# Terraform

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


def unknown_arguments(text: str) -> list[str]:
    inside, unknown = [""], []
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "}":
            inside.pop()
        elif name not in {"", "#"}:
            unknown += [] if name in PROVIDER[inside[-1]].split() else [name]
            inside += [name] if rest.endswith("{") else []
    return unknown + inside[1:]


def is_in_examples(text: str) -> bool:
    """Tell if a file of examples/ has the whole text. Tests of their own run these files."""
    files = [file for end in ("py", "tf") for file in (ROOT / "examples").rglob(f"*.{end}")]
    return any(text.strip() in file.read_text(encoding="utf-8") for file in files if ".venv" not in file.parts)


def test_terraform_has_arguments_that_the_provider_takes_or_is_part_of_an_example() -> None:
    for block in blocks("hcl"):
        if "aws_bedrock_model_invocation_logging_configuration" in block.text:
            assert unknown_arguments(block.text) == [], str(block)
        else:
            assert is_in_examples(block.text), f"no example has {block}"


def test_a_wrong_argument_is_noticed() -> None:
    text = 'resource "a" "b" {\n  logging_config {\n    # c\n    text_delivery = true\n  }\n'

    assert unknown_arguments(text) == ["text_delivery", "resource"]


# Queries


def queries() -> list[tuple[str, str]]:
    inline = [(page, code) for page, code in inline_code() if QUERY.match(code)]
    return [*inline, *((block.page, block.text) for block in blocks("query"))]


def test_queries_of_logs_insights_parse() -> None:
    assert queries()
    for page, query in queries():
        assert logs_insights.parse(query), page


# Output

PRINTED_ELSEWHERE = {
    "Account 111122223333, us-east-1": (
        "tests/unit/test_cost_account.py",
        "test_the_page_on_costs_shows_what_the_command_prints_for_an_account",
    ),
    " Place ": (
        "tests/unit/test_several_places.py",
        "test_the_page_on_accounts_shows_the_table_at_the_end",
    ),
}
"""The test that holds the output of a command that needs an account: file and name, by the output's beginning."""

OF_THE_DEMO = "MonthEndReport"
"""The caller that only the demo has: output with it is from its report."""


def lines_printed(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def is_printed(shown: list[str], printed: list[str]) -> bool:
    """Compare output in the docs with what a command prints. It may end early. A line of … stands for any lines."""
    if not shown:
        return True
    if shown[0].strip() == "…":
        return any(is_printed(shown[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and is_printed(shown[1:], printed[1:])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param(["a", "b", "c"], True, id="all"),
        pytest.param(["a", "b"], True, id="beginning"),
        pytest.param(["…", "c"], True, id="end"),
        pytest.param(["a", "…", "c"], True, id="without the middle"),
        pytest.param(["a", "c"], False, id="a line missing"),
        pytest.param(["a", "b", "c", "d"], False, id="a line more"),
        pytest.param(["a", "…", "d"], False, id="another end"),
    ],
)
def test_output_is_compared_line_by_line(shown: list[str], expected: bool) -> None:
    assert is_printed(shown, ["a", "b", "c"]) is expected


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def is_within(some: list[str], all_of: list[str]) -> bool:
    rest = iter(all_of)
    return all(each in rest for each in some)


def missing_in_demo(shown: list[str], printed: tuple[str, ...]) -> list[str]:
    """The sentences and the rows of a table that the demo does not print. Sentences and columns may be left out.

    A sentence may end early. Two spaces are between columns, and a sentence has none.
    """
    lines = [line for line in shown if line.strip(" ─…")]
    rows = [line for line in lines if "  " in line.strip()]
    text = " ".join(" ".join(line for line in lines if line not in rows).replace("▸", " ").split())
    report = " ".join(" ".join(printed).split())
    sentences = [each.rstrip(".") for each in re.split(r"(?<=[.:]) (?=[A-Z])", text) if each]
    missing = [each for each in sentences if each not in report]
    return missing + [row for row in rows if not any(is_within(cells(row), cells(line)) for line in printed)]


def test_output_of_the_demo_is_what_it_prints() -> None:
    shown = [block for block in blocks("output") if OF_THE_DEMO in block.text]

    assert shown
    for block in shown:
        assert missing_in_demo(lines_printed(block.text), demo_lines()) == [], block.page


def test_a_wrong_sentence_and_a_wrong_row_are_noticed() -> None:
    printed = (
        "▸ It is full. It had 4 calls, 3 of them at once.",
        "",
        " A      B      C",
        " ─────────────",
        " 1      22     3",
    )

    right = ["▸ It had 4", "  calls.", " A   C", " ───", " 1   3", " …"]
    assert missing_in_demo(right, printed) == []
    assert missing_in_demo(["It had 5 calls.", " 3   1"], printed) == ["It had 5 calls", " 3   1"]


def test_output_is_what_the_command_above_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ROOT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)

    for block in blocks("output"):
        elsewhere = [held for start, held in PRINTED_ELSEWHERE.items() if block.text.startswith(start)]
        for file, test in elsewhere:
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")
        if not elsewhere and OF_THE_DEMO not in block.text and not is_in_examples(block.text):
            assert block.before is not None, f"no command is above {block}"
            assert (block.before.kind, block.before.needs_account) == ("sh", False), str(block)
            program, *arguments = words_of(list(lines_of(block.before.text))[-1])
            assert program == "quota-monitor", str(block)
            printed = CliRunner().invoke(main, arguments).output
            assert is_printed(lines_printed(block.text), lines_printed(printed)), f"{block}\n{printed}"


# The blocks


def test_blocks_are_found_with_the_block_above_them() -> None:
    text = f"# A\n```sh\n{ACCOUNT}\nls\n```\nb\n\n```\nc\n```\n## D\n- e\n  ```\n  filter a\n  ```\n\n```\n─►\n```\n"

    found = list(blocks_of("p.md", text))

    assert [block.kind for block in found] == ["sh", "output", "query", "picture"]
    assert [block.before is not None for block in found] == [False, True, False, True]
    assert [block.needs_account for block in found] == [True, False, False, False]
    assert [block.kind for block in blocks_of("p.md", "a\n\n    b\n")] == ["indented"]
