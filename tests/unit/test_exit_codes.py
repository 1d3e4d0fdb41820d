"""Exit codes of all commands: 0 done, 1 found a problem, 2 wrong usage, 3 could not look."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from test_doctor_checks import WELL
from test_explain import RECORD, REFUSED

from quota_monitor.deployment import checkout, deploy
from quota_monitor.doctor import command
from quota_monitor.main import main

pytestmark = pytest.mark.usefixtures("no_aws")

DEPLOY = ("deploy", "--regions", "us-east-1")
PACKAGE = ("package", "--regions", "us-east-1", "--bucket-prefix", "code")


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, Path]:
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(each) for each in (RECORD, REFUSED)), encoding="utf-8")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    listing = Path(__file__).parents[1] / "data" / "registry_sync" / "listing.json"
    return {"log": log, "listing": listing, "tmp": tmp_path, "bad": tmp_path / "bad.json"}


def run(files: Mapping[str, Path], *words: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(main, [word.format(**files) for word in words])


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (("--help",), 0),
        (("cost",), 0),
        (("registry", "check"), 0),
        (("registry", "sync", "--listing", "{listing}"), 0),
        (("analyze", "--files", "{log}"), 0),
        (("analyze", "--policy"), 0),
        (("explain", "--at", "2026-11-28T12:00", "--files", "{log}"), 0),
        (("analyze", "--files", "{log}", "--fail-over", "80"), 1),
        (("local", "status", "--state", "{tmp}/state"), 1),
        (("local", "dashboard", "--state", "{tmp}/state"), 1),
        (("local", "down", "--state", "{tmp}/state"), 0),
        (("doktor",), 2),
        (("doctor", "--colour"), 2),
        (("doctor", "--test-failure"), 2),
        (("report", "--hours", "-1"), 2),
        (("explain", "--at", "noon", "--files", "{log}"), 2),
        (("increase", "--pool", "m/nowhere"), 2),
        (("analyze", "--files", "{log}", "--s3", "s3://b"), 2),
        (("registry", "sync", "--listing", "{listing}", "--region", "us-east-1"), 2),
        (("deploy", "--regions", "nowhere"), 2),
        ((*DEPLOY, "--parameter", "AlarmTreshold=3"), 2),
        ((*DEPLOY, "--parameter", "Ingestion=s3"), 2),
        ((*PACKAGE, "--parameter", "AlarmThresholdPercent=101"), 2),
        (("local", "up", "--state", "{tmp}/state", "--parameter", "CallerDetail=roles"), 2),
        (("analyze", "--files", "{tmp}/nothing"), 3),
        (("explain", "--at", "2026-11-28T13:00", "--files", "{log}"), 3),
        (("registry", "sync", "--listing", "{bad}"), 3),
        (("registry", "sync", "--listing", "{listing}", "--output", "{tmp}/no/new.toml"), 3),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else str(given),
)
def test_exit_codes(files: Mapping[str, Path], words: tuple[str, ...], exit_code: int) -> None:
    ran = run(files, *words)

    assert ran.exit_code == exit_code, ran.output + ran.stderr
    assert (exit_code in {2, 3}) <= ("Error: " in ran.stderr)


@pytest.mark.parametrize(
    ("signs", "exit_code"),
    [({}, 0), ({"reserved_models": ("m",)}, 0), ({"filters": ()}, 1)],
    ids=["ok", "warning", "problem"],
)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "JSON"])
def test_the_doctor_exits_with_1_for_a_problem_only(
    monkeypatch: pytest.MonkeyPatch, signs: Mapping[str, Any], exit_code: int, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(command, "collect", lambda *_given: msgspec.structs.replace(WELL, **signs))
    monkeypatch.setattr(command, "describe_recent_use", lambda *_given: "Nothing.")

    assert CliRunner().invoke(main, ["doctor", *options]).exit_code == exit_code


@pytest.mark.parametrize("words", [DEPLOY, PACKAGE, ("registry", "write"), ("events",), ("local", "up")], ids=" ".join)
def test_what_needs_the_source_code_is_wrong_usage_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkout, "ROOT", tmp_path)

    assert CliRunner().invoke(main, list(words)).exit_code == 2


@pytest.mark.parametrize("words", [("local", "up"), ("local", "up", "--state", "{tmp}/state"), ("demo",)], ids=" ".join)
def test_the_source_code_is_missed_before_the_packages_are(
    monkeypatch: pytest.MonkeyPatch, files: Mapping[str, Path], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(files["tmp"])
    monkeypatch.setattr(checkout, "ROOT", files["tmp"])
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    ran = run(files, *words)

    assert ran.exit_code == 2
    assert ran.stderr.startswith("Error: This command needs the source code.")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("AlarmTreshold=3", "The template has no parameter AlarmTreshold. Did you mean AlarmThresholdPercent?"),
        ("Ingestion=kinesys", "Ingestion is direct or kinesis, not 'kinesys'. Did you mean kinesis?"),
        (
            "AlarmThresholdPercent=080",
            "AlarmThresholdPercent takes a number from 1 to 100 without leading zeros, not '080'.",
        ),
        ("QuotaPools=nova", "QuotaPools takes text that matches "),
    ],
    ids=lambda given: given.partition(" ")[0],
)
@pytest.mark.parametrize("words", [DEPLOY, PACKAGE, ("local", "up")], ids=lambda words: words[0])
def test_parameters_are_checked_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], given: str, said: str
) -> None:
    monkeypatch.setattr(deploy, "build", lambda *_given: pytest.fail("it was built"))
    monkeypatch.setattr("localaws.instance.up", lambda *_given, **_more: pytest.fail("it was started"))

    ran = CliRunner().invoke(main, [*words, "--parameter", given])

    assert ran.exit_code == 2
    assert said in ran.output


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "open_session", interrupt)

    ran = CliRunner(mix_stderr=False).invoke(main, ["doctor"])

    assert (ran.exit_code, ran.stderr) == (130, "Stopped.\n")


ASKING = [
    pytest.param(("doctor", "--first-day", "--test-failure"), id="doctor --test-failure"),
    pytest.param(("doctor", "--test-alarm"), id="doctor --test-alarm"),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a command goes on after its question."""
    stack: Any = SimpleNamespace(resources={})
    target: Any = SimpleNamespace(log_group="g", alarm="a", topic="t", subscribers=1)
    monkeypatch.setattr(command, "open_session", lambda *_given: None)
    monkeypatch.setattr(command, "read_stack", lambda *_given: stack)
    monkeypatch.setattr(command.alarm_test, "find_target", lambda *_given: target)
    for module, name in ((command, "check_first_day"), (command.alarm_test, "run_test")):
        monkeypatch.setattr(module, name, lambda *_given, **_more: pytest.fail("it went on"))


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("words", ASKING)
@pytest.mark.parametrize(
    ("given", "exit_code"),
    [
        pytest.param("n\n", 1, id="no"),
        pytest.param("", 1, id="no input"),
        pytest.param(KeyboardInterrupt, 130, id="Ctrl-C"),
    ],
)
def test_a_question_that_is_not_answered_with_yes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    given: Any,
    exit_code: int,
) -> None:
    def answer(_prompt: str) -> str:
        if given is KeyboardInterrupt:
            raise KeyboardInterrupt
        if not given:
            raise EOFError
        return str(given)

    monkeypatch.setattr(click.termui, "visible_prompt_func", answer)

    with pytest.raises(SystemExit) as exited:
        main(words)

    assert exited.value.code == exit_code
    assert capsys.readouterr().err.endswith("Stopped.\n" if exit_code == 130 else "Aborted!\n")
