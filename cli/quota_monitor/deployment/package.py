"""`quota-monitor package`: write one self-contained template, which stack sets, Terraform and the CDK can deploy."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError
from rich.console import Console

from localaws.template import Template
from quota_monitor.aws_session import aws_errors_as_messages, open_session
from quota_monitor.deployment import checkout, deploy
from quota_monitor.deployment.parameters import check_parameters, parameters_option
from quota_monitor.deployment.plain_template import MacroLeftError, expand_macros
from quota_monitor.places import parse_regions
from quota_monitor.template import read_template

if TYPE_CHECKING:
    import boto3

CODE = ("CodeUri", "ContentUri")
PUBLISHING = "AWS::ServerlessRepo::Application"
"""Metadata with addresses in the bucket of one Region, which a stack does not need."""

_S3_URI = re.compile(r"s3://[^/]+/(.+)")

console = Console(highlight=False)


@click.command()
@click.option("--regions", "names", required=True, callback=parse_regions, help="Regions, separated by commas.")
@click.option(
    "--bucket-prefix",
    required=True,
    help="Upload the code to the bucket PREFIX-REGION of each Region.",
)
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
    """Write one self-contained template for stack sets.

    The command builds once and uploads the code to a bucket in each Region, because Lambda only accepts code from its
    own Region. The template is plain CloudFormation, because stack sets with service-managed permissions accept no
    macros.
    """
    checkout.find_deployable()
    checkout.require_local_extra()
    check_parameters(parameters)
    with aws_errors_as_messages():
        for name in names:
            check_bucket(open_session(profile, name), f"{bucket_prefix}-{name}", name)
    deploy.build(parameters)
    with console.status("Uploading the code to the bucket of each Region"), ThreadPoolExecutor(len(names)) as parallel:
        packaged = list(parallel.map(lambda name: _package(name, f"{bucket_prefix}-{name}", profile), names))
    in_every_region = [use_regional_buckets(each, bucket_prefix) for each in packaged]
    if any(each != in_every_region[0] for each in in_every_region):
        raise click.ClickException("The code differs between Regions. Run the command again.")
    try:
        text = json.dumps(expand_macros(in_every_region[0]), ensure_ascii=False)
    except MacroLeftError as error:
        raise click.ClickException(str(error)) from error
    output.write_text(text, encoding="utf-8")
    console.print(f"{output}: {len(text.encode()):,} bytes, for {', '.join(names)}", soft_wrap=True)


def check_bucket(session: boto3.Session, bucket: str, region: str) -> None:
    """Raise `click.UsageError` if a bucket does not exist, or is in another Region. Propagates botocore errors.

    Credentials that may only write to it are refused the question. The upload then shows if it exists.
    """
    try:
        found = session.client("s3").head_bucket(Bucket=bucket)
    except ClientError as error:
        code = error.response["Error"].get("Code")
        if code == "404":
            place = (
                [] if region == _NO_CONSTRAINT else ["--create-bucket-configuration", f"LocationConstraint={region}"]
            )
            create = ["aws", "s3api", "create-bucket", "--bucket", bucket, "--region", region, *place]
            option = ["--profile", session.profile_name] if session.profile_name != "default" else []
            raise click.UsageError(
                f"There is no bucket {bucket}. Create it:\n  {shlex.join([*create, *option])}"
            ) from None
        if code != "403":
            raise
        return
    place_found = found["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
    if place_found != region:
        raise click.UsageError(
            f"The bucket {bucket} is in {place_found}. Lambda accepts code only from its own Region, {region}."
        )


_NO_CONSTRAINT = "us-east-1"
"""Region for which CreateBucket takes no LocationConstraint (S3 API reference, CreateBucket)."""


def use_regional_buckets(packaged: Template, bucket_prefix: str) -> Template:
    """Return a template, packaged for one Region, with its code in the bucket of the Region it is deployed to."""
    resources: dict[str, Any] = {}
    for name, resource in packaged["Resources"].items():
        changed = dict(resource.get("Properties", {}))
        for key in CODE:
            if isinstance(changed.get(key), str) and (found := _S3_URI.fullmatch(changed[key])):
                changed[key] = {"Bucket": {"Fn::Sub": bucket_prefix + "-${AWS::Region}"}, "Key": found[1]}
        resources[name] = {**resource, "Properties": changed} if changed else resource
    metadata = {name: part for name, part in packaged.get("Metadata", {}).items() if name != PUBLISHING}
    return {**packaged, "Metadata": metadata, "Resources": resources}


def _package(region: str, bucket: str, profile: str | None) -> Template:
    output = checkout.find_deployable() / ".aws-sam" / f"packaged-{region}.yaml"
    options = ["--s3-bucket", bucket, "--region", region, "--output-template-file", str(output)]
    checkout.run_sam("package", *options, profile=profile)
    return read_template(output)
