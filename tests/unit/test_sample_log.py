"""The sample log in examples/: no text of a prompt, and the answer that a new user sees."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from quota_monitor.main import main

SAMPLE = Path(__file__).parents[2] / "examples" / "invocation-log.jsonl.gz"
QUOTA = "anthropic.claude-sonnet-4-6/cross-region=600000"

pytestmark = pytest.mark.usefixtures("no_aws")


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(SAMPLE.read_bytes()).splitlines()]


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "text":
                yield value
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def test_it_has_no_text_and_is_of_an_account_of_the_documentation() -> None:
    found = records()

    assert {text for each in found for text in texts(each)} == {"..."}
    assert {each["accountId"] for each in found} == {"111122223333"}
    assert SAMPLE.stat().st_size < 20_000


def test_analyze_names_the_caller_and_what_to_set() -> None:
    served = [each for each in records() if "errorCode" not in each]
    refused = [each for each in records() if each.get("errorCode") == "ThrottlingException"]

    ran = CliRunner().invoke(main, ["analyze", "--files", str(SAMPLE), "--quota", QUOTA], env={"COLUMNS": "130"})

    assert ran.exit_code == 0, ran.output
    text = " ".join(ran.output.split())
    assert text.startswith(f"{len(served)} requests to 1 quota pool, 2026-11-27 14:21 to 14:29 UTC")
    assert f"is throttled by reservation. Bedrock throttled {len(refused)} calls" in text
    outputs = [each["output"]["outputTokenCount"] for each in served if "/MonthEndReport/" in each["identity"]["arn"]]
    assert f"MonthEndReport sets max_tokens to 64,000, but its largest output has {max(outputs)} tokens" in text
    assert "With max_tokens set to 1,024" in text


def test_explain_shows_the_minute_with_most_throttled_calls() -> None:
    minutes = [each["timestamp"][:16] for each in records() if each.get("errorCode") == "ThrottlingException"]
    worst = max(sorted(set(minutes)), key=minutes.count)
    (at,) = re.findall(
        r"explain --files \S+ --at (\S+)", (SAMPLE.parents[1] / "docs" / "analyze.md").read_text(encoding="utf-8")
    )

    ran = CliRunner().invoke(main, ["explain", "--files", str(SAMPLE), "--at", at], env={"COLUMNS": "130"})

    assert (at, minutes.count(worst)) == (worst, 17)
    assert ran.exit_code == 0, ran.output
    assert "MonthEndReport" in ran.output
