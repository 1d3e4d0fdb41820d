"""dashboard/: the command that writes the dashboard's body into the template."""

import json
import re
from pathlib import Path

import pytest
import resolved
from click.testing import CliRunner

from dashboard import __main__ as command
from dashboard.body import TEMPLATE, MarksMissingError, render, render_for, write_into

MARKED = """\
      DashboardBody: !Sub
        # Generated from dashboard/dashboard.yaml by `make dashboard`. Do not edit this part.
        - old
        # End of the generated part.
        - Name: value
"""


def test_the_templates_body_is_that_of_the_source() -> None:
    template = TEMPLATE.read_text(encoding="utf-8")

    assert write_into(template, render_for(template)) == template, "run `make dashboard`"


def test_a_widget_has_a_line_of_its_own() -> None:
    # given a source with shared parts and a text of two lines
    source = """
shared: {colour: &colour blue, ways: '"a" OR "b"'}
dashboard:
  start: -PT3H
  widgets:
    - {type: text, text: "one\\ntwo × 2", colour: *colour}
    - {type: metric, expression: "SEARCH(<<ways>>) ${Name}"}
"""
    # when it is rendered, then a line is a widget, and Fn::Sub's variables are still there
    assert render(source).split("\n") == [
        '{"start":"-PT3H","widgets":[',
        '{"type":"text","text":"one\\ntwo × 2","colour":"blue"},',
        '{"type":"metric","expression":"SEARCH(\\"a\\" OR \\"b\\") ${Name}"}',
        "]}",
    ]


def test_the_body_is_written_between_the_marks_alone() -> None:
    written = write_into(MARKED, '{"widgets":[\n{"a\\\\d":1}\n]}')

    assert written == MARKED.replace(
        "        - old\n", '        - |-\n          {"widgets":[\n          {"a\\\\d":1}\n          ]}\n'
    )
    assert write_into(written, '{"widgets":[\n{"a\\\\d":1}\n]}') == written


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("Resources: {}\n", id="no marks"),
        pytest.param(MARKED + MARKED, id="marks twice"),
        pytest.param(MARKED.replace("        # End", "        # The end"), id="no end"),
    ],
)
def test_a_template_without_its_marks_is_refused(template: str) -> None:
    with pytest.raises(MarksMissingError, match="must have these two lines once"):
        write_into(template, "{}")


def test_the_command_writes_and_the_check_only_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a template whose body is stale
    template = tmp_path / "template.yaml"
    stale = TEMPLATE.read_text(encoding="utf-8").replace('"title":"Peak consumed,', '"title":"Peak eaten,')
    template.write_text(stale, encoding="utf-8")
    monkeypatch.setattr(command, "TEMPLATE", template)
    # when it is checked, then the check fails and says what to do
    checked = CliRunner().invoke(command.main, ["--check"])
    assert (checked.exit_code, "Run `make dashboard`." in checked.output) == (1, True)
    assert template.read_text(encoding="utf-8") == stale
    # and when it is written, then it is as it should be
    assert CliRunner().invoke(command.main, []).exit_code == 0
    assert template.read_text(encoding="utf-8") == TEMPLATE.read_text(encoding="utf-8")
    assert CliRunner().invoke(command.main, ["--check"]).exit_code == 0


def test_check_and_release_look_for_a_stale_body() -> None:
    makefile = (TEMPLATE.parent / "Makefile").read_text(encoding="utf-8")

    for target in ("check", "dist"):
        (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert "python -m dashboard --check\n" in recipe, target


def test_the_body_is_json_before_anything_is_substituted() -> None:
    # so every `${…}` is inside a string, and only a quote or a backslash could break out of it
    text, values = resolved.template()["Resources"]["QuotaDashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]

    assert len(json.loads(text)["widgets"]) == 36
    assert set(re.findall(r"\$\{(\w+)\}", text)) >= values.keys()
