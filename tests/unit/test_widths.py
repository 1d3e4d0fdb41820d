"""Outputs at 80, 100 and 120 columns and in a pipe: no line is too long, no number is cut, no command is broken."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from demo_output import demo_document
from rich.console import Console, RenderableType
from test_answers_data import document
from test_doctor_checks import ALARMS, GROUP, WELL, change
from test_explain import POOL, call, trace

from bedrock_quota.pools import PoolQuota
from localaws.account import Account
from localaws.instance import Instance
from localaws.template import LEFT_OUT
from quota_monitor import explain, local
from quota_monitor.answers import terminal
from quota_monitor.doctor import command
from quota_monitor.doctor.checks import run_checks
from quota_monitor.doctor.observed import Parts, Unread
from quota_monitor.main import main
from quota_monitor.terminal import WIDTH_IN_A_FILE, make_console, wrap_prose

WIDTHS = [
    *(pytest.param(width, id=f"{width} columns") for width in (80, 100, 120)),
    pytest.param(WIDTH_IN_A_FILE, id="pipe"),
]

LONG_NAME = "bedrock-quota-monitor-InvocationLoggingRole-A2478DFA49858"

FINDINGS = run_checks(
    change(
        WELL,
        filters=(),
        permissions=(),
        parts=Parts(frozenset({"StateTable"})),
        alarms=(change(ALARMS[0], state="ALARM", name=LONG_NAME), *ALARMS[1:]),
        traffic=Unread("User: arn:aws:sts::111122223333:assumed-role/reader/me may not cloudwatch:GetMetricData " * 2),
    )
)


def show(renderable: RenderableType, width: int, *, soft_wrap: bool = False) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(renderable, soft_wrap=soft_wrap)
    return capture.get().splitlines()


def too_long(lines: list[str], width: int) -> list[str]:
    """Return lines that could be shorter. A command is indented and whole, and a single name cannot be broken."""
    return [
        line
        for line in lines
        if len(line.rstrip()) > width
        and not re.match(r" {2,}(aws|quota-monitor|export) ", line)
        and len(line.split()) > 1
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report(width: int) -> None:
    lines = show(terminal.render(document(growth=2.0), width), width)

    assert too_long(lines, width) == []
    assert "…" not in "".join(lines)
    text = " ".join(" ".join(lines).split())
    for number in ("600,000", "650,000", "64,000", "256", "108%", "217%", "282%"):
        assert number in text


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        pytest.param(80, "Coverage", id="narrow"),
        pytest.param(160, "", id="wide"),
    ],
)
def test_the_report_says_which_columns_are_left_out(width: int, left_out: str) -> None:
    hints = re.findall(r"Left out at \d+ columns: (.*)\.", "\n".join(show(terminal.render(document(), width), width)))

    assert (left_out in ", ".join(hints)) if left_out else not hints


def test_at_80_columns_reserved_consumed_and_throttled_are_kept() -> None:
    lines = show(terminal.render(demo_document(), 80), 80)
    head = next(number for number, line in enumerate(lines) if line.startswith(" Model "))

    assert lines[head].split() == ["Model", "Quota", "Reserved", "Consumed", "Requests"]
    assert lines[head + 1].split() == ["and", "endpoint", "type", "TPM", "peak", "TPM", "peak", "TPM", "(throttled)"]
    assert "Left out at 80 columns: Requests peak RPM, Coverage, Reserves most." in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_the_doctor(width: int) -> None:
    lines = show(command.render(FINDINGS, width), width, soft_wrap=True)

    assert too_long(lines, width) == []
    text = "\n".join(lines)
    for finding in FINDINGS:
        for word in finding.what.split():
            assert word in text, "a name is broken"
        for line in finding.do.splitlines():
            if line.startswith("  "):
                assert f"  {line}\n" in text, "a command is broken"
    assert GROUP in text


@pytest.mark.parametrize("width", WIDTHS)
def test_explain(width: int) -> None:
    found = trace(*[call(0) for _ in range(9)], refused=((3, "Small", 2_000),))
    lines = show(explain.render(POOL, PoolQuota(10_000), found), width)

    assert too_long(lines, width) == []
    for number in ("9,000 90%", "2,000 Small"):
        assert number in "\n".join(lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_local_stack(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("http://127.0.0.1:1", "http://127.0.0.1:3", "us-east-1")
    left_out = {f"Alarm{number}": LEFT_OUT[1].reason for number in range(10)}
    outputs = {"DashboardName": "d", "AlarmTopicArn": f"arn:aws:sns:us-east-1:111122223333:{LONG_NAME}"}
    running = Instance(Path("/x/.localaws"), account, "stack", outputs, "http://127.0.0.1:2", left_out)
    console = Console(width=width, highlight=False)
    monkeypatch.setattr(local, "console", console)

    with console.capture() as capture:
        local.show_dashboard(running, {"model": "vendor.model-1-v1:0", "endpoint": "cross-region", "hours": "5"})
        local.show_instance(running)
        local.show_down()

    lines = capture.get().splitlines()
    text = " ".join(" ".join(lines).split())
    assert [line for line in too_long(lines, width) if "arn:" not in line] == []
    assert "10 alarms" in text
    assert "  quota-monitor local down" in lines
    assert "  http://127.0.0.1:2/dashboards/d?model=vendor.model-1-v1:0&endpoint=cross-region&hours=5" in lines


def test_prose_is_broken_between_words_and_commands_are_not() -> None:
    text = f"Replace {LONG_NAME} with another one:\n  aws iam get-role --role-name {LONG_NAME}"

    assert wrap_prose(text, 40).splitlines() == [
        "Replace",
        LONG_NAME,
        "with another one:",
        f"  aws iam get-role --role-name {LONG_NAME}",
    ]


def test_a_pipe_is_wide_enough_for_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    assert make_console().width == WIDTH_IN_A_FILE


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param("0", id="zero"),
        pytest.param("-5", id="negative"),
        pytest.param("", id="empty"),
        pytest.param("wide", id="a word"),
        pytest.param("²", id="a digit that is no number"),
    ],
)
def test_columns_that_are_no_width_count_as_not_set(columns: str) -> None:
    usual, other = (CliRunner(env={"COLUMNS": value}).invoke(main, ["cost"]) for value in (None, columns))

    assert (other.exit_code, other.output) == (0, usual.output)
    assert max(map(len, usual.output.splitlines())) > 80
