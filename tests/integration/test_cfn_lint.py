"""cfn-lint, in a process of its own, on the templates that CloudFormation gets."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from plain import plain_template
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]


def test_cfn_lint_finds_nothing_without_macros_in_any_partition(tmp_path: Path) -> None:
    file = tmp_path / "plain.json"
    file.write_text(json.dumps(plain_template()), encoding="utf-8")
    regions = ["us-east-1", "us-gov-west-1", "us-gov-east-1", "cn-north-1", "cn-northwest-1"]
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--regions", *regions, "--template", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_destination_for_other_accounts_is_well_formed_and_opens_to_that_account_alone(tmp_path: Path) -> None:
    # given the template that docs/operations.md tells
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "# destination.yaml" in each]
    told = tmp_path / "destination.yaml"
    told.write_text(textwrap.dedent(block), encoding="utf-8")
    # when
    linted = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--regions", "us-east-1", "--template", str(told)],
        capture_output=True,
        text=True,
        check=False,
    )
    # then
    assert linted.returncode == 0, linted.stdout
    destination = yaml_parse(told.read_text(encoding="utf-8"))["Resources"]["LogsOfOtherAccounts"]["Properties"]
    (statement,) = json.loads(destination["DestinationPolicy"])["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"AWS": "222222222222"},
        "Action": "logs:PutSubscriptionFilter",
        "Resource": f"arn:aws:logs:us-east-1:111111111111:destination:{destination['DestinationName']}",
    }
