"""The template as data: as the SAM CLI reads it, and without the SAM CLI."""

import json
from pathlib import Path

from samcli.yamlhelper import yaml_parse

from quota_monitor.data_files import TEMPLATE
from quota_monitor.template import read_template

FORMS = """
Description: 2026-11-28
Resources:
  A: !GetAtt Function.Arn.Value
  B: !GetAtt [Function, Arn]
  C: !If [Yes, !Ref AWS::NoValue, {Deep: !Sub "${AWS::Region}"}]
  D: !Sub ["${A}", {A: !Ref Name}]
  E: !Condition Wanted
  F: !Transform {Name: AWS::Include, Parameters: {Location: s3://bucket/key}}
  G: &shared {Policy: {Version: 2012-10-17}}
  H: *shared
"""


def as_json(value: object) -> object:
    return json.loads(json.dumps(value, default=str))


def test_the_template_is_read_as_the_sam_cli_reads_it() -> None:
    read = read_template(TEMPLATE)

    assert read == as_json(yaml_parse(TEMPLATE.read_text(encoding="utf-8")))
    assert len(read["Resources"]) > 40


def test_every_short_form_gets_its_long_form(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(FORMS, encoding="utf-8")

    read = read_template(path)

    assert read == as_json(yaml_parse(FORMS))
    assert read["Resources"]["A"] == {"Fn::GetAtt": ["Function", "Arn.Value"]}
    assert read["Resources"]["E"] == {"Condition": "Wanted"}
    assert read["Description"] == "2026-11-28"
