"""The examples for contributors: each is applied to a copy of this checkout, and its own commands are run there."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import checkouts
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing-examples.md").read_text(encoding="utf-8")
EXAMPLES = {
    heading: text
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    for heading, _, text in [section.partition("\n")]
}
FOLDERS = ("cli", "dashboard", "docs", "events", "layers", "localaws", "registry", "tests")
BIN = ".venv/bin/"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules"))
    for file in (*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "template.yaml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def run(checkout: Path, command: list[str], text: str | None = None) -> str:
    path = os.pathsep.join(str(checkout / each) for each in ("", "cli", "layers/core"))
    return checkouts.run(*command, cwd=checkout, given=text, PYTHONPATH=path)


def apply(checkout: Path, example: str) -> None:
    """Do what the example says: its patch, its row below another one, and its number."""
    (patch,) = re.findall(r"^```diff\n(.*?)^```$", example, re.MULTILINE | re.DOTALL)
    bottom = max(
        widget["y"] + widget["height"]
        for widget in yaml.safe_load((checkout / "dashboard" / "dashboard.yaml").read_text(encoding="utf-8"))[
            "dashboard"
        ]["widgets"]
    )
    run(checkout, ["git", "apply", "-"], patch.replace("y: BOTTOM", f"y: {bottom}"))
    row = re.search(r"below the row of `(\w+)` in `([\w./]+)`:\n\n```\n(.+\n)```$", example, re.MULTILINE)
    if row is not None:
        page = checkout / row[2]
        before, above, after = page.read_text(encoding="utf-8").partition(f"| `{row[1]}` |")
        assert above, f"{row[2]} has no row of {row[1]}"
        rest, end, more = after.partition("\n")
        page.write_text(f"{before}{above}{rest}{end}{row[3]}{more}", encoding="utf-8")


@pytest.mark.parametrize("name", [pytest.param(each, id=each) for each in EXAMPLES])
def test_an_example_works_as_it_is_written(checkout: Path, name: str) -> None:
    apply(checkout, EXAMPLES[name])
    commands = [shlex.split(each) for each in re.findall(rf"`{BIN}([^`]+)`", EXAMPLES[name])]

    assert commands
    for program, *arguments in commands:
        module = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        start = {"pytest": module, "python": [sys.executable]}.get(program)
        if start is not None:
            output = run(checkout, [*start, *arguments])
            assert program != "pytest" or re.search(r"^\d+ passed", output, re.MULTILINE), output


def test_without_its_change_an_examples_test_fails(checkout: Path) -> None:
    apply(checkout, EXAMPLES["Add a log field"])
    shutil.copy(
        ROOT / "layers/core/bedrock_quota/processor/metric_lines.py", checkout / "layers/core/bedrock_quota/processor"
    )

    with pytest.raises(AssertionError, match="KeyError: 'input_tokens_most'"):
        run(checkout, [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "tests/unit/test_largest_input.py"])


def test_the_page_has_the_four_examples() -> None:
    assert list(EXAMPLES) == ["Add a health metric", "Add a log field", "Add a doctor check", "Add a dashboard row"]
