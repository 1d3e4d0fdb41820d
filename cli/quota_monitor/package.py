"""`quota-monitor package`: this checkout as one self-contained template, for stack sets of an organisation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

from localaws.template import Template
from quota_monitor import checkout, deploy, regions
from quota_monitor.parameters import option as parameters_option
from quota_monitor.plain_template import MacroLeftError, plain

MOST_BYTES = 1_000_000
"""Of a template in S3 (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html, read
2026-11-24: 1 MB)."""

CODE = ("CodeUri", "ContentUri")
PUBLISHING = "AWS::ServerlessRepo::Application"
"""Metadata with addresses of one Region's bucket, of no use in a stack."""

_S3_URI = re.compile(r"s3://[^/]+/(.+)")

console = Console(highlight=False)


@click.command()
@click.option("--regions", "names", required=True, callback=regions.of_option, help="Regions, comma separated.")
@click.option("--bucket-prefix", required=True, help="The bucket PREFIX-REGION, in each Region, gets the code.")
@click.option("--profile", help="AWS profile.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="stack-set.json",
    show_default=True,
    help="File to write the template to.",
)
@parameters_option
def package(
    names: tuple[str, ...], bucket_prefix: str, profile: str | None, output: Path, parameters: Mapping[str, str]
) -> None:
    """Build once, put the code into a bucket of each Region, and write a template for stack sets.

    Lambda takes code from its own Region only, and stack sets with service-managed permissions take no macros: the
    template is plain CloudFormation, whose code is in the bucket of the Region that it is deployed in.
    """
    deploy.build(parameters)
    with console.status("Putting the code into each Region's bucket"), ThreadPoolExecutor(len(names)) as side_by_side:
        packaged = list(side_by_side.map(lambda name: _packaged(name, f"{bucket_prefix}-{name}", profile), names))
    in_every_region = [regional(each, bucket_prefix) for each in packaged]
    if any(each != in_every_region[0] for each in in_every_region):
        raise click.ClickException("the code's keys differ between Regions; was anything built in the meantime?")
    try:
        text = json.dumps(plain(in_every_region[0]), ensure_ascii=False)
    except MacroLeftError as error:
        raise click.ClickException(str(error)) from error
    if len(text.encode()) > MOST_BYTES:
        raise click.ClickException(
            f"the template has {len(text.encode()):,} bytes; CloudFormation takes {MOST_BYTES:,}"
        )
    output.write_text(text, encoding="utf-8")
    console.print(f"{output}: {len(text.encode()):,} bytes, for {', '.join(names)}", soft_wrap=True)


def regional(packaged: Template, bucket_prefix: str) -> Template:
    """Return a template packaged for one Region as one whose code is in the bucket of whichever it is deployed in."""
    resources: dict[str, Any] = {}
    for name, resource in packaged["Resources"].items():
        changed = dict(resource.get("Properties", {}))
        for key in CODE:
            if isinstance(changed.get(key), str) and (found := _S3_URI.fullmatch(changed[key])):
                changed[key] = {"Bucket": {"Fn::Sub": bucket_prefix + "-${AWS::Region}"}, "Key": found[1]}
        resources[name] = {**resource, "Properties": changed} if changed else resource
    metadata = {name: part for name, part in packaged.get("Metadata", {}).items() if name != PUBLISHING}
    return {**packaged, "Metadata": metadata, "Resources": resources}


def _packaged(region: str, bucket: str, profile: str | None) -> Template:
    output = checkout.ROOT / ".aws-sam" / f"packaged-{region}.yaml"
    options = ["--s3-bucket", bucket, "--region", region, "--output-template-file", str(output)]
    checkout.run_sam("package", *options, profile=profile)
    parsed: Template = yaml_parse(output.read_text(encoding="utf-8"))
    return json.loads(json.dumps(parsed, default=str))  # type: ignore[no-any-return]
