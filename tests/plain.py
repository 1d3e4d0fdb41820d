"""The stack without macros, as an organisation's stack set gets it: what CloudFormation itself reads."""

import copy
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from quota_monitor import package
from quota_monitor.plain_template import plain

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


def plain_template() -> dict[str, Any]:
    """This checkout's template, as if its code had been put into a bucket."""
    given = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    for resource in given["Resources"].values():
        for key in set(package.CODE) & resource.get("Properties", {}).keys():
            resource["Properties"][key] = "s3://code-us-east-1/key"
    return plain(package.regional(copy.deepcopy(given), "code"))
