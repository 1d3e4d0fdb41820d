"""The stack without macros, as an organisation's stack set gets it: what CloudFormation itself reads."""

import copy
from pathlib import Path
from typing import Any

from quota_monitor.deployment import package
from quota_monitor.deployment.plain_template import expand_macros
from quota_monitor.template import read_template

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


def plain_template() -> dict[str, Any]:
    """This checkout's template, as if its code had been put into a bucket."""
    given = read_template(TEMPLATE)
    for resource in given["Resources"].values():
        for key in set(package.CODE) & resource.get("Properties", {}).keys():
            resource["Properties"][key] = "s3://code-us-east-1/key"
    return expand_macros(package.use_regional_buckets(copy.deepcopy(given), "code"))
