"""The doctor and the report on several accounts and Regions. Every number is worked out by hand."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import msgspec
import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError
from click.testing import CliRunner, Result
from documented import blocks
from fake_aws import Answer, AwsError, FakeAws, denied
from subcommands import find_subcommands
from test_doctor_checks import SINK, STACK, WELL
from test_long_windows import LOG_GROUP, POOL, failed, processor, served

from quota_monitor import aws_regions, places
from quota_monitor.analyze.scope import Dimension, Scope
from quota_monitor.aws_session import NoStackError, open_session
from quota_monitor.credentials import SharedCredentials, sign_in
from quota_monitor.deployed import report as report_command
from quota_monitor.deployed.measure import list_scans
from quota_monitor.doctor import command as doctor_command
from quota_monitor.doctor.checks import run_checks
from quota_monitor.doctor.findings import Finding
from quota_monitor.doctor.observed import Observed
from quota_monitor.main import main
from quota_monitor.places import MAX_PARALLEL, Place, Reply, ask_all, list_places
from quota_monitor.program import own_command
from quota_monitor.window import make_window

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("no_aws")

ACCOUNTS = {"prod": "111111111111", "staging": "222222222222", None: "333333333333"}
BOTH = ("--profiles", "prod,staging", "--regions", "us-east-1,eu-west-1")
ALL_FOUR = [("prod", "us-east-1"), ("prod", "eu-west-1"), ("staging", "us-east-1"), ("staging", "eu-west-1")]

PROBLEM: Mapping[str, Any] = {"filters": ()}
WARNING: Mapping[str, Any] = {"reserved_models": ("m",)}


def run(*words: str, columns: int = 100) -> Result:
    return CliRunner(mix_stderr=False).invoke(main, words, env={"COLUMNS": str(columns)})


def refused(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, operation)


# ---------------------------------------------------------------- doctor

Signs = Mapping[tuple[str | None, str | None], Mapping[str, Any] | Exception]


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Signs], None]:
    """Have each place a stack that differs from a good one, or an error."""

    def install(signs: Signs) -> None:
        def open_place(profile: str | None, region: str | None, _credentials: object = None) -> Any:
            return SimpleNamespace(profile=profile, region=region)

        def collect(session: Any, *_given: object) -> Any:
            sign = signs.get((session.profile, session.region), {})
            if isinstance(sign, Exception):
                raise sign
            arn = f"arn:aws:cloudformation:{session.region}:{ACCOUNTS[session.profile]}:stack/monitor/1"
            return msgspec.structs.replace(WELL, stack=msgspec.structs.replace(STACK, arn=arn), **sign)

        def check(observed: Observed) -> list[Finding]:
            return run_checks(msgspec.structs.replace(observed, stack=STACK))  # whose account all else is of

        monkeypatch.setattr(doctor_command, "open_session", open_place)
        monkeypatch.setattr(doctor_command, "collect", collect)
        monkeypatch.setattr(doctor_command, "run_checks", check)
        monkeypatch.setattr(doctor_command, "describe_recent_use", lambda *_given: "Nothing was called.")

    return install


def overview_of(output: str) -> list[list[str]]:
    """Return the rows of the table at the end, as cells."""
    rows = output[output.rindex("Place ") :]
    return [re.split(r" {2,}", line.strip()) for line in rows.splitlines()[2:] if line.strip()]


def test_the_doctor_checks_every_combination_in_the_order_given(stacks: Callable[[Signs], None]) -> None:
    stacks({})

    ran = run("doctor", *BOTH)

    assert ran.exit_code == 0, ran.stderr
    assert overview_of(ran.stdout) == [[f"{profile} in {region}", "ok"] for profile, region in ALL_FOUR]
    headings = re.findall(r"^(\S+ in \S+)\n─+$", ran.stdout, re.MULTILINE)
    assert headings == [f"{profile} in {region}" for profile, region in ALL_FOUR]
    assert ran.stdout.count("All checks passed.\nNothing was called.\n") == 4


def test_a_place_that_fails_is_one_line_and_the_others_go_on(stacks: Callable[[Signs], None]) -> None:
    stacks(
        {
            ("prod", "us-east-1"): NoCredentialsError(),
            ("prod", "eu-west-1"): {**PROBLEM, **WARNING},
            ("staging", "us-east-1"): NoStackError("There is no stack nope.\nName one."),
        }
    )

    ran = run("doctor", *BOTH)

    assert ran.exit_code == 3
    lines = ran.stdout.splitlines()
    assert lines[0] == (
        "prod in us-east-1: There are no AWS credentials. Sign in, for example with `aws sso login`, and run the "
        "command again. Or name a profile that has some with --profiles."
    )
    assert "staging in us-east-1: There is no stack nope. Name one." in lines
    assert overview_of(ran.stdout) == [  # the worst first, and equals in the order given
        ["prod in us-east-1", "could not look"],
        ["staging in us-east-1", "could not look"],
        ["prod in eu-west-1", "1 problem, 1 warning", "subscription, service tiers"],
        ["staging in eu-west-1", "ok"],
    ]


@pytest.mark.parametrize(
    ("signs", "exit_code"),
    [
        pytest.param([{}, {}], 0, id="all right"),
        pytest.param([{}, WARNING], 0, id="a warning"),
        pytest.param([PROBLEM, {}], 1, id="a problem in the first"),
        pytest.param([{}, PROBLEM], 1, id="a problem in the second"),
        pytest.param([PROBLEM, refused("DescribeStacks")], 3, id="a problem and access denied"),
        pytest.param([refused("DescribeStacks"), {}], 3, id="access denied in the first"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "JSON"])
def test_the_exit_code_is_that_of_the_worst_place(
    stacks: Callable[[Signs], None], signs: list[Any], exit_code: int, options: tuple[str, ...]
) -> None:
    stacks({(None, "us-east-1"): signs[0], (None, "eu-west-1"): signs[1]})

    assert run("doctor", "--regions", "us-east-1,eu-west-1", *options).exit_code == exit_code


def test_without_profiles_a_place_is_named_by_its_account(stacks: Callable[[Signs], None]) -> None:
    stacks({(None, "eu-west-1"): refused("DescribeStacks")})

    ran = run("doctor", "--regions", "us-east-1,eu-west-1")

    assert overview_of(ran.stdout) == [["eu-west-1", "could not look"], ["333333333333 in us-east-1", "ok"]]


SUMMARY_OF_THE_DOCTOR = """\
 Place                  Result                 To do
 ─────────────────────────────────────────────────────────────────────────
 staging in us-east-1   could not look
 staging in eu-west-1   1 problem, 1 warning   subscription, service tiers
 prod in us-east-1      1 warning              service tiers
 prod in eu-west-1      ok

staging in us-east-1: There is no stack nope. Name one.
"""


def test_the_summary_of_the_doctor_is_the_table_and_the_reasons(stacks: Callable[[Signs], None]) -> None:
    stacks(
        {
            ("prod", "us-east-1"): WARNING,
            ("staging", "us-east-1"): NoStackError("There is no stack nope.\nName one."),
            ("staging", "eu-west-1"): {**PROBLEM, **WARNING},
        }
    )

    ran = run("doctor", *BOTH, "--summary")

    assert ran.exit_code == 3
    assert [line.rstrip() for line in ran.stdout.splitlines()][1:] == SUMMARY_OF_THE_DOCTOR.splitlines()


@pytest.mark.parametrize("places", [BOTH, ("--profile", "prod")], ids=["several places", "one place"])
def test_json_of_the_doctor_stays_whole_in_a_summary(stacks: Callable[[Signs], None], places: tuple[str, ...]) -> None:
    stacks({("prod", None): PROBLEM})

    whole, summary = run("doctor", *places, "--json"), run("doctor", *places, "--json", "--summary")

    assert (summary.stdout, summary.exit_code) == (whole.stdout, whole.exit_code)


def test_one_place_has_a_summary_too(stacks: Callable[[Signs], None]) -> None:
    stacks({("prod", "eu-west-1"): PROBLEM})

    ran = run("doctor", "--profile", "prod", "--region", "eu-west-1", "--summary")

    assert (ran.exit_code, len(ran.stdout.strip().splitlines())) == (1, 3)
    assert overview_of(ran.stdout) == [["prod in eu-west-1", "1 problem", "subscription"]]


@pytest.mark.parametrize("options", [("--test-alarm",), ("--first-day",)], ids=" ".join)
def test_a_test_has_no_summary(options: tuple[str, ...]) -> None:
    ran = run("doctor", "--summary", *options)

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.endswith("Error: --summary cannot be combined with --test-alarm or --first-day.\n")


def test_json_of_the_doctor_has_each_place_with_the_document_of_one(stacks: Callable[[Signs], None]) -> None:
    stacks({("prod", "us-east-1"): PROBLEM, ("staging", "us-east-1"): refused("DescribeStacks")})

    ran = run("doctor", "--profiles", "prod,staging", "--region", "us-east-1", "--json")
    alone = run("doctor", "--profile", "prod", "--region", "us-east-1", "--json")

    found = json.loads(ran.stdout)
    assert found["schema_version"] == 1
    first, second = found["places"]
    assert first == {
        "profile": "prod",
        "account": "111111111111",
        "region": "us-east-1",
        "exit_code": 1,
        "error": None,
        "document": json.loads(alone.stdout),
    }
    assert second == {
        "profile": "staging",
        "account": None,
        "region": "us-east-1",
        "exit_code": 3,
        "error": "These credentials may not call DescribeStacks. Ask for that right. AWS returned: not you",
        "document": None,
    }


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "JSON"])
def test_one_place_is_printed_as_ever(stacks: Callable[[Signs], None], options: tuple[str, ...]) -> None:
    stacks({("prod", "eu-west-1"): PROBLEM})

    several = run("doctor", "--profiles", "prod", "--regions", "eu-west-1", *options)
    one = run("doctor", "--profile", "prod", "--region", "eu-west-1", *options)

    assert (several.exit_code, several.stdout, several.stderr) == (1, one.stdout, one.stderr)
    assert "places" not in one.stdout
    assert "--profile prod" in one.stdout


def test_commands_in_findings_name_the_profile_and_region_of_their_place(
    monkeypatch: pytest.MonkeyPatch, stacks: Callable[[Signs], None]
) -> None:
    stacks({place: {**PROBLEM, "sinks": (SINK,)} for place in ALL_FOUR})
    monkeypatch.setattr(doctor_command, "run_checks", run_checks)

    ran = run("doctor", *BOTH, "--json")

    for place, (profile, region) in zip(json.loads(ran.stdout)["places"], ALL_FOUR, strict=True):
        commands = [each for check in place["document"]["checks"] for each in check["commands"]]
        assert any(each.startswith("aws ") for each in commands)
        assert any(each.startswith("quota-monitor ") for each in commands)
        for each in commands:
            assert re.findall(r"--profile (\S+)", each) == [profile], each
            assert re.findall(r"--regions? (\S+)", each) == [region], each


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("command", ["doctor", "report"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            ("--region", "us-east-1", "--regions", "eu-west-1"),
            "--region and --regions exclude each other, so name all of them with --regions.",
            id="--region and --regions",
        ),
        pytest.param(
            ("--profile", "prod", "--profiles", "staging"),
            "--profile and --profiles exclude each other, so name all of them with --profiles.",
            id="--profile and --profiles",
        ),
        pytest.param(
            ("--regions", "us-east-1,nowhere"),
            "Invalid value for '--regions': 'nowhere' is not a Region",
            id="no Region",
        ),
        pytest.param(
            ("--regions", "us-east-1,us-esat-1"),
            "'us-esat-1' is no AWS Region. Did you mean us-east-1?",
            id="a Region that does not exist",
        ),
        pytest.param(
            ("--profiles", "prod,prod"), "Invalid value for '--profiles': prod is named twice", id="a profile twice"
        ),
        pytest.param(
            ("--profiles", "prod,"),
            "Invalid value for '--profiles': a name is missing. Write it like prod,staging",
            id="an empty profile",
        ),
    ],
)
def test_wrong_options_are_refused_before_aws_is_asked(
    monkeypatch: pytest.MonkeyPatch, command: str, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(aws_regions, "_has_address", lambda _name: False)
    for module in (doctor_command, report_command):
        monkeypatch.setattr(module, "open_session", lambda *_given: pytest.fail("a session was opened"))

    ran = run(command, *options)

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.endswith(f"Error: {said}\n")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param(("--test-alarm",), "--test-alarm", id="--test-alarm"),
        pytest.param(("--first-day",), "--first-day", id="--first-day"),
        pytest.param(("--first-day", "--test-failure"), "--first-day", id="--test-failure"),
    ],
)
def test_what_is_for_one_place_is_refused_for_several(options: tuple[str, ...], named: str) -> None:
    ran = run("doctor", "--regions", "us-east-1,eu-west-1", *options)

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.endswith(
        f"Error: {named} is for one account and Region, so name them with --profile and --region.\n"
    )


# ---------------------------------------------------------------- report

BEGAN = int(datetime(2026, 11, 20, 14, 3, tzinfo=UTC).timestamp())
SET_256 = "One: max_tokens 1,000 → 256"
"""The largest answer has 50 tokens, and no proposal is below 256."""

TEN_MINUTES = ("--from", "2026-11-20T14:00", "--to", "2026-11-20T14:10")


def deployed(
    profile: str | None,
    region: str,
    *,
    quota: float | None,
    throttled: int = 0,
    model: str = POOL.model_id,
    caller: str = "One",
) -> FakeAws:
    """Return the AWS of a stack with one call, which reserved 1,010 tokens, and with throttled ones."""
    events = [served(BEGAN, written=BEGAN + 1, output=50)]
    events += [failed(BEGAN, written=BEGAN + 1, calls=throttled)] if throttled else []
    aws = processor(*((second, {**line, "ModelId": model, "caller": caller}) for second, line in events))
    stack = {
        "StackName": "bedrock-quota-monitor",
        "StackId": f"arn:aws:cloudformation:{region}:{ACCOUNTS[profile]}:stack/bedrock-quota-monitor/1",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": datetime(2026, 11, 1, tzinfo=UTC),
        "Parameters": [{"ParameterKey": "MetricsNamespace", "ParameterValue": "Bedrock/Quotas"}],
    }
    resource = {
        "LogicalResourceId": "MetricProcessorLogGroup",
        "PhysicalResourceId": LOG_GROUP,
        "ResourceType": "AWS::Logs::LogGroup",
        "ResourceStatus": "CREATE_COMPLETE",
    }

    def metrics(given: Mapping[str, Any]) -> Answer:
        results = [
            {"Id": query["Id"], "Timestamps": [given["StartTime"]], "Values": [quota]}
            for query in given["MetricDataQueries"]
            if query["MetricStat"]["Metric"]["MetricName"] == "TokenQuota" and quota is not None
        ]
        return {"MetricDataResults": results}

    aws.answers |= {
        "DescribeStacks": {"Stacks": [stack]},
        "ListStackResources": {"StackResourceSummaries": [resource]},
        "GetMetricData": metrics,
    }
    return aws


def failing(error: AwsError) -> FakeAws:
    return FakeAws({"DescribeStacks": error, "GetCallerIdentity": {"Account": "222222222222"}})


NO_STACK = AwsError("ValidationError", "Stack with id bedrock-quota-monitor does not exist")


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str | None, str | None], FakeAws]:
    """One pool over its quota, one at half of it, no stack, and no access."""
    made: dict[tuple[str | None, str | None], FakeAws] = {
        ("prod", "us-east-1"): deployed("prod", "us-east-1", quota=1_010, throttled=3),
        ("prod", "eu-west-1"): deployed("prod", "eu-west-1", quota=2_020),
        ("staging", "us-east-1"): failing(NO_STACK),
        ("staging", "eu-west-1"): failing(denied("cloudformation:DescribeStacks")),
    }
    monkeypatch.setattr(
        report_command, "open_session", lambda profile, region, *_credentials: made[profile, region].session
    )
    return made


@pytest.mark.usefixtures("accounts")
def test_the_report_has_every_place_and_ends_with_the_worst_pool_of_each() -> None:
    ran = run("report", *BOTH, *TEN_MINUTES, columns=160)

    assert ran.exit_code == 3
    assert overview_of(ran.stdout) == [
        ["staging in us-east-1", "could not look"],
        ["staging in eu-west-1", "could not look"],
        [
            "prod in us-east-1",
            "throttled by reservation",
            f"{POOL}, 100%",
            SET_256,
            "3",
            "1 of 1",
        ],  # 1,010 of 1,010 tokens
        ["prod in eu-west-1", "ok", f"{POOL}, 50%", "–", "0", "0 of 1"],  # 1,010 of 2,020
    ]
    assert "Account 111111111111 in eu-west-1: 1 request to 1 quota pool" in ran.stdout
    (no_stack,) = re.findall(r"^staging in us-east-1: .*$", ran.stdout, re.MULTILINE)
    assert no_stack.startswith(
        "staging in us-east-1: There is no stack bedrock-quota-monitor in us-east-1 of account 2"
    )
    (no_access,) = re.findall(r"^staging in eu-west-1: .*$", ran.stdout, re.MULTILINE)
    assert no_access.startswith("staging in eu-west-1: These credentials may not call DescribeStacks.")
    assert "150%" not in ran.stdout


def test_the_page_on_accounts_shows_the_table_at_the_end(
    accounts: dict[tuple[str | None, str | None], FakeAws],
) -> None:
    sonnet, nova = "anthropic.claude-sonnet-4-6", "amazon.nova-lite-v1:0"
    accounts["prod", "us-east-1"] = deployed(
        "prod", "us-east-1", quota=1_010, throttled=211, model=sonnet, caller="MonthEndReport"
    )
    accounts["prod", "eu-west-1"] = deployed("prod", "eu-west-1", quota=2_020, model=sonnet)
    accounts["staging", "us-east-1"] = deployed("staging", "us-east-1", quota=0, throttled=2, model=nova)
    (block,) = [each for each in blocks("picture") if "\n Place " in each.text]

    ran = run("report", *BOTH, *TEN_MINUTES, columns=100)

    lines = [line.rstrip() for line in ran.stdout.splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith(" Place ")) - 2
    wanted = block.text.splitlines()
    assert lines[begin : begin + len(wanted)] == wanted


@pytest.mark.parametrize(
    ("quota", "throttled", "cells"),
    [
        pytest.param(1_262.5, 0, ["near its quota", f"{POOL}, 80%", SET_256, "0", "1 of 1"], id="near its quota"),
        pytest.param(1_300, 0, ["ok", f"{POOL}, 78%", "–", "0", "0 of 1"], id="not near"),
        pytest.param(1_010, 0, ["reached its quota", f"{POOL}, 100%", SET_256, "0", "1 of 1"], id="reached"),
        pytest.param(
            1_443,
            3,
            ["throttled by reservation", f"{POOL}, 70%", SET_256, "3", "1 of 1"],
            id="throttled, because 1,010 more did not fit",
        ),
        pytest.param(
            10_100,
            1_234,
            ["throttled, cause not in the log", f"{POOL}, 10%", "no cause known", "1,234", "0 of 1"],
            id="throttled by something else",
        ),
        pytest.param(0, 3, ["quota is 0", str(POOL), "request an increase", "3", "1 of 1"], id="quota of 0"),
        pytest.param(None, 0, ["quota unknown", str(POOL), "–", "0", "0 of 1"], id="quota unknown"),
    ],
)
def test_pools_near_or_over_their_quota_are_counted(
    accounts: dict[tuple[str | None, str | None], FakeAws], quota: float | None, throttled: int, cells: list[str]
) -> None:
    accounts["prod", "us-east-1"] = deployed("prod", "us-east-1", quota=quota, throttled=throttled)

    ran = run("report", "--profiles", "prod,staging", "--region", "us-east-1", *TEN_MINUTES, columns=160)

    assert overview_of(ran.stdout)[1] == ["prod in us-east-1", *cells]


def test_the_worst_place_comes_first(accounts: dict[tuple[str | None, str | None], FakeAws]) -> None:
    accounts["prod", "us-east-1"] = deployed("prod", "us-east-1", quota=10_100)  # 10%
    accounts["prod", "eu-west-1"] = deployed("prod", "eu-west-1", quota=1_200)  # 84%
    accounts["staging", "us-east-1"] = deployed("staging", "us-east-1", quota=0, throttled=3)
    options = ("--profiles", "prod,staging", "--regions", "us-east-1,eu-west-1", *TEN_MINUTES)

    ran = run("report", *options, "--summary", columns=160)
    whole = run("report", *options, columns=160)

    assert overview_of(ran.stdout)[:4] == [
        ["staging in eu-west-1", "could not look"],
        ["staging in us-east-1", "quota is 0", str(POOL), "request an increase", "3", "1 of 1"],
        ["prod in eu-west-1", "near its quota", f"{POOL}, 84%", SET_256, "0", "1 of 1"],
        ["prod in us-east-1", "ok", f"{POOL}, 10%", "–", "0", "0 of 1"],
    ]
    assert ran.exit_code == whole.exit_code == 3
    assert whole.stdout.rstrip().endswith(ran.stdout.partition("\nstaging in eu-west-1: These")[0].strip("\n").rstrip())
    reasons = [line for line in ran.stdout.splitlines() if line.startswith("staging in eu-west-1: ")]
    assert len(ran.stdout.strip().splitlines()) == 2 + 4 + 1 + 1  # heads, places, an empty line, and the reason
    assert reasons[0].startswith("staging in eu-west-1: These credentials may not call DescribeStacks.")


def test_a_pool_without_a_quota_is_not_called_ok_for_another_one(
    accounts: dict[tuple[str | None, str | None], FakeAws],
) -> None:
    two_pools = deployed("prod", "us-east-1", quota=10_100)
    seen = two_pools.answers["GetMetricData"]

    def only_the_first(given: Mapping[str, Any]) -> Answer:
        assert callable(seen)
        queries = [
            query
            for query in given["MetricDataQueries"]
            if {"Name": "ModelId", "Value": POOL.model_id} in query["MetricStat"]["Metric"]["Dimensions"]
        ]
        return seen({**given, "MetricDataQueries": queries})

    lines = [served(BEGAN, written=BEGAN + 1, output=50) for _ in range(2)]
    models = (POOL.model_id, "another.model")
    calls = [(at, {**line, "ModelId": model}) for (at, line), model in zip(lines, models, strict=True)]
    two_pools.answers = {**two_pools.answers, **processor(*calls).answers, "GetMetricData": only_the_first}
    accounts["prod", "us-east-1"] = two_pools

    ran = run("report", "--profile", "prod", "--region", "us-east-1", *TEN_MINUTES, "--summary", columns=160)

    assert overview_of(ran.stdout) == [
        ["prod in us-east-1", "ok, but 1 of 2 quotas unknown", f"{POOL}, 10%", "–", "0", "0 of 2"]
    ]


@pytest.mark.usefixtures("accounts")
def test_json_and_csv_of_the_report_stay_whole_in_a_summary() -> None:
    one = ("--profile", "prod", "--region", "us-east-1")

    for selected in (BOTH, one):
        for form in ("--json", "--csv", "--csv-totals"):
            whole, summary = (run("report", *selected, *TEN_MINUTES, form, *more) for more in ((), ("--summary",)))
            assert (summary.stdout, summary.exit_code) == (whole.stdout, whole.exit_code)


@pytest.mark.usefixtures("accounts")
def test_a_place_without_calls_is_said_to_have_none() -> None:
    an_hour_later = ("--from", "2026-11-20T15:00", "--to", "2026-11-20T15:10")

    ran = run("report", "--profiles", "prod,staging", "--region", "us-east-1", *an_hour_later)

    assert overview_of(ran.stdout)[1] == ["prod in us-east-1", "no calls", "–", "0", "0 of 0"]


@pytest.mark.usefixtures("accounts")
def test_json_of_the_report_has_each_place_with_the_document_of_one() -> None:
    ran = run("report", *BOTH, *TEN_MINUTES, "--json")
    alone = run("report", "--profile", "prod", "--region", "eu-west-1", *TEN_MINUTES, "--json")

    found = json.loads(ran.stdout)
    assert (ran.exit_code, alone.exit_code, found["schema_version"]) == (3, 0, 1)
    assert [(each["profile"], each["region"], each["exit_code"]) for each in found["places"]] == [
        ("prod", "us-east-1", 0),
        ("prod", "eu-west-1", 0),
        ("staging", "us-east-1", 3),
        ("staging", "eu-west-1", 3),
    ]
    assert found["places"][1]["document"] == json.loads(alone.stdout)
    assert [each["account"] for each in found["places"]] == ["111111111111", "111111111111", None, None]
    assert [each["error"] is None for each in found["places"]] == [True, True, False, False]


@pytest.mark.usefixtures("accounts")
def test_tokens_of_all_places_add_up_and_those_left_out_are_named() -> None:
    ran = run("report", *BOTH, *TEN_MINUTES, "--usage")
    found = json.loads(run("report", *BOTH, *TEN_MINUTES, "--usage", "--json").stdout)

    # one call of 10 input and 50 output tokens in each of two Regions, and 3 throttled calls in one of them
    totals = ran.stdout.rpartition("All accounts and Regions\n")[2]
    assert re.search(r"^ One +2 +20 +100 +0 +0 *\n +\(3\)", totals, re.MULTILINE)
    assert re.search(r"^ Total +2 +20 +100 ", totals, re.MULTILINE)
    assert totals.rstrip().endswith(
        "Left out, because they could not be read: staging in us-east-1, staging in eu-west-1."
    )
    (total,) = found["totals_by"]
    assert (total["caller"], total["requests"], total["throttled"], total["output_tokens"]) == ("One", 2, 3, 100)


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    ("regions", "limit", "exit_code", "said"),
    [
        pytest.param("eu-west-1", "80", 0, "", id="one below"),
        pytest.param(
            "us-east-1,eu-west-1",
            "80",
            1,
            f"prod in us-east-1: At 80% of a quota, or throttled: {POOL}.\n",
            id="one over and one below",
        ),
        pytest.param(
            "eu-west-1,us-east-1",
            "50",
            1,
            f"prod in eu-west-1: At 50% of a quota, or throttled: {POOL}.\n"
            f"prod in us-east-1: At 50% of a quota, or throttled: {POOL}.\n",
            id="both over",
        ),
    ],
)
@pytest.mark.parametrize("form", ["--table", "--json", "--csv"])
def test_fail_over_compares_each_place_by_itself(
    regions: str, limit: str, exit_code: int, said: str, form: str
) -> None:
    ran = run("report", "--profiles", "prod", "--regions", regions, *TEN_MINUTES, "--fail-over", limit, form)

    (scan,) = re.findall(r"^Scanning .*\n", ran.stderr)
    assert (ran.exit_code, ran.stderr) == (exit_code, scan + said)


def test_a_place_whose_quotas_are_unknown_cannot_be_compared(
    accounts: dict[tuple[str | None, str | None], FakeAws],
) -> None:
    accounts["prod", "eu-west-1"] = deployed("prod", "eu-west-1", quota=None)

    regions = ("--regions", "us-east-1,eu-west-1")
    ran = run("report", "--profiles", "prod", *regions, *TEN_MINUTES, "--fail-over", "80", columns=160)

    assert ran.exit_code == 3  # the first place alone is 1
    assert overview_of(ran.stdout)[1] == ["prod in eu-west-1", "quota unknown", str(POOL), "–", "0", "0 of 1"]


@pytest.mark.usefixtures("accounts")
def test_files_have_all_places_and_standard_error_has_those_that_failed(tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    csv = run("report", *BOTH, *TEN_MINUTES, "--csv", "--html", str(page))
    markdown = run("report", *BOTH, *TEN_MINUTES, "--markdown")

    rows = [line.split(",")[:3] for line in csv.stdout.splitlines()]
    assert rows[1:] == [["111111111111", region, POOL.model_id] for region in ("us-east-1", "eu-west-1")]
    assert re.findall(r"^## (.*)", markdown.stdout, re.MULTILINE) == [
        "Overview",
        *(f"prod: Account 111111111111 in {region}" for region in ("us-east-1", "eu-west-1")),
    ]
    assert csv.exit_code == markdown.exit_code == 3
    for text in (csv.stderr.replace(f"Wrote {page}.\n", ""), markdown.stderr):
        assert [line.partition(": There ")[0].partition(": These ")[0] for line in text.splitlines()] == [
            "Scanning 2 log groups: less than 0.1 GB, less than $0.01.",
            "Error: staging in us-east-1",
            "Error: staging in eu-west-1",
        ]
    assert "111111111111 in eu-west-1" in page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("accounts")
def test_markdown_begins_with_the_overview() -> None:
    ran, summary = (run("report", *BOTH, *TEN_MINUTES, "--markdown", *more) for more in ((), ("--summary",)))

    pool = str(POOL)
    assert ran.stdout.splitlines()[:8] == [
        "## Overview",
        "",
        "| Place | Result | Worst pool | Change | Throttled | Near or over |",
        "|---|---|---|---|---|---|",
        "| staging in us-east-1 | could not look |  |  |  |  |",
        "| staging in eu-west-1 | could not look |  |  |  |  |",
        "| [prod in us-east-1](#prod-account-111111111111-in-us-east-1) | throttled by reservation "
        f"| {pool}, 100% | One: max\\_tokens 1,000 → 256 | 3 | 1 of 1 |",
        f"| [prod in eu-west-1](#prod-account-111111111111-in-eu-west-1) | ok | {pool}, 50% | – | 0 | 0 of 1 |",
    ]
    no_stack, no_access = ran.stdout.splitlines()[9:11]
    assert no_stack.startswith("- **staging in us-east-1:** There is no stack bedrock-quota-monitor in us-east-1")
    assert no_access.startswith("- **staging in eu-west-1:** These credentials may not call DescribeStacks.")
    assert summary.stdout.splitlines()[:6] == ran.stdout.splitlines()[:6]
    assert summary.stdout.splitlines()[6].startswith("| prod in us-east-1 | throttled by reservation | ")
    assert re.findall(r"^## (.*)", summary.stdout, re.MULTILINE) == ["Overview"]

    totals = run("report", *BOTH, *TEN_MINUTES, "--markdown", "--summary", "--usage").stdout
    assert re.findall(r"^## (.*)", totals, re.MULTILINE) == ["Overview", "All accounts and Regions"]
    assert "| Total | 2 (3) | 20 | 100 | 0 | 0 |" in totals


@pytest.mark.usefixtures("accounts")
def test_the_page_begins_with_the_overview_and_links_to_each_place(tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    assert run("report", *BOTH, *TEN_MINUTES, "--html", str(page)).exit_code == 3

    text = page.read_text(encoding="utf-8")
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", text) == [
        "Overview",
        "prod: Account 111111111111 in us-east-1",
        "prod: Account 111111111111 in eu-west-1",
    ]
    overview = text[text.index("<h2>Overview") : text.index('<h2 id="place-0">')]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", overview)]
    failed = '<strong class="problem">could not look</strong>'
    assert rows == [
        [],
        ["staging in us-east-1", failed, "", "", "", ""],
        ["staging in eu-west-1", failed, "", "", "", ""],
        [
            '<a href="#place-0">prod in us-east-1</a>',
            '<strong class="problem">throttled by reservation</strong>',
            f"{POOL}, 100%",
            SET_256,
            "3",
            "1 of 1",
        ],
        [
            '<a href="#place-1">prod in eu-west-1</a>',
            '<strong class="good">ok</strong>',
            f"{POOL}, 50%",
            "–",
            "0",
            "0 of 1",
        ],
    ]
    assert re.findall(r"<li><strong[^>]*>(.*?)</strong>(There is no stack|These credentials)", overview) == [
        ("staging in us-east-1: ", "There is no stack"),
        ("staging in eu-west-1: ", "These credentials"),
    ]


def test_a_page_is_written_although_all_places_failed(
    accounts: dict[tuple[str | None, str | None], FakeAws], tmp_path: Path
) -> None:
    accounts["staging", "us-east-1"].answers["DescribeStacks"] = AwsError("Other", "<b>no</b>")
    page = tmp_path / "report.html"
    places = ("--profiles", "staging", "--regions", "us-east-1,eu-west-1")

    ran = run("report", *places, *TEN_MINUTES, "--markdown", "--html", str(page))

    assert ran.exit_code == 3
    assert ran.stdout.startswith("## Overview\n")
    assert "&lt;b&gt;no&lt;/b&gt;" in page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("accounts")
def test_a_caller_of_a_what_if_may_be_in_one_place_only() -> None:
    two = ("--profiles", "prod", "--regions", "us-east-1,eu-west-1")

    assert run("report", *two, *TEN_MINUTES, "--max-tokens", "One=100").exit_code == 0
    ran = run("report", *two, *TEN_MINUTES, "--max-tokens", "Onne=100")

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "No caller Onne in this window. Did you mean One?" in ran.stderr


# ---------------------------------------------------------------- what a report costs

A_DAY = ("--from", "2026-11-20T00:00", "--to", "2026-11-21T00:00")


def receive(gigabytes: float) -> Answer:
    """Return the bytes that a log group got, in CloudWatch's values."""
    return {"Datapoints": [{"Sum": gigabytes * 1e9, "Unit": "Bytes"}]}


def test_a_long_report_says_first_what_its_scans_cost(
    accounts: dict[tuple[str | None, str | None], FakeAws],
) -> None:
    aws = accounts["prod", "us-east-1"]
    aws.answers["GetMetricStatistics"] = receive(2.0)

    ran = run("report", "--profile", "prod", "--region", "us-east-1", *A_DAY)

    # 4 queries, each over 2 GB at $0.005
    assert ran.stderr == f"Scanning log group {LOG_GROUP}: about 8.0 GB, $0.04.\n"
    assert aws.operations().count("logs:StartQuery") == 4
    assert aws.operations().index("monitoring:GetMetricStatistics") < aws.operations().index("logs:StartQuery")


@pytest.mark.parametrize(
    ("options", "scans"),
    [
        pytest.param(("--hours", "6"), 0, id="exact, until now"),
        pytest.param(TEN_MINUTES, 1, id="exact, long ago"),
        pytest.param(A_DAY, 4, id="long"),
        pytest.param((*A_DAY, "--by", "operation"), 6, id="long, by another property"),
    ],
)
def test_every_query_is_in_the_price(
    accounts: dict[tuple[str | None, str | None], FakeAws], options: tuple[str, ...], scans: int
) -> None:
    aws = accounts["prod", "us-east-1"]
    aws.answers["GetMetricStatistics"] = receive(10.0)

    ran = run("report", "--profile", "prod", "--region", "us-east-1", *options)

    assert ran.exit_code == 0, ran.stderr
    assert aws.operations().count("logs:StartQuery") == scans
    said = f"Scanning log group {LOG_GROUP}: about {10 * scans}.0 GB, ${scans * 0.05:.2f}.\n"
    assert ran.stderr == (said if scans else "")


def test_the_page_on_answers_has_the_number_of_scans() -> None:
    now, page = datetime(2026, 11, 20, 14, tzinfo=UTC), (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")
    day = make_window(now - timedelta(days=1), now)
    by_caller, by_tag = (
        len(list_scans(Scope(day, dimension=each), now)) for each in (Dimension.CALLER, Dimension.OPERATION)
    )

    assert (by_caller, by_tag) == (1 + 3, 1 + 5)
    assert "needs one scan, from its beginning until now" in page
    assert "A longer window needs three more, or five with `--by`." in page


def test_an_estimate_of_a_report_reads_nothing(accounts: dict[tuple[str | None, str | None], FakeAws]) -> None:
    for region in ("us-east-1", "eu-west-1"):
        accounts["prod", region].answers["GetMetricStatistics"] = receive(10.0)

    one = run("report", "--profile", "prod", "--region", "us-east-1", *A_DAY, "--estimate")
    short = run("report", "--profile", "prod", "--region", "us-east-1", "--hours", "1", "--estimate")
    several = run("report", *BOTH, *A_DAY, "--estimate")

    assert (one.exit_code, one.stdout) == (0, f"Scanning log group {LOG_GROUP}: about 40.0 GB, $0.20.\n")
    assert (short.exit_code, short.stdout) == (0, "This window is read without a scan, so it costs nothing.\n")
    assert (several.exit_code, several.stdout) == (3, "Scanning 2 log groups: about 80.0 GB, $0.40.\n")
    assert [line.partition(":")[0] for line in several.stderr.splitlines()] == ["Error", "Error"]
    assert "logs:StartQuery" not in accounts["prod", "us-east-1"].operations()


@pytest.mark.parametrize(
    ("options", "answer", "exit_code"),
    [
        pytest.param((), "y\n", 0, id="yes at the terminal"),
        pytest.param((), "n\n", 1, id="no at the terminal"),
        pytest.param((), None, 2, id="no terminal to ask at"),
        pytest.param(("--yes",), None, 0, id="--yes"),
    ],
)
@pytest.mark.parametrize("regions", [["us-east-1"], ["us-east-1", "eu-west-1"]], ids=["one place", "two places"])
def test_a_report_that_scans_for_more_than_a_dollar_is_asked_about(
    accounts: dict[tuple[str | None, str | None], FakeAws],
    monkeypatch: pytest.MonkeyPatch,
    *,
    regions: list[str],
    options: tuple[str, ...],
    answer: str | None,
    exit_code: int,
) -> None:
    monkeypatch.setattr("quota_monitor.analyze.estimate._is_terminal", lambda: answer is not None)
    for region in regions:  # 4 queries over 52 GB in all are $1.04
        accounts["prod", region].answers["GetMetricStatistics"] = receive(52 / len(regions))
    words = ["report", "--profiles", "prod", "--regions", ",".join(regions), *A_DAY, *options]

    ran = CliRunner(mix_stderr=False).invoke(main, words, input=answer)

    assert ran.exit_code == exit_code, ran.stderr
    assert ("Account 111111111111 in us-east-1: " in ran.stdout) == (exit_code == 0)
    assert ("logs:StartQuery" in accounts["prod", "us-east-1"].operations()) == (exit_code == 0)


def test_a_report_without_the_right_to_ask_for_the_size_says_so_and_goes_on(
    accounts: dict[tuple[str | None, str | None], FakeAws],
) -> None:
    accounts["prod", "eu-west-1"].answers["GetMetricStatistics"] = denied("cloudwatch:GetMetricStatistics")
    accounts["prod", "us-east-1"].answers["GetMetricStatistics"] = receive(1.0)

    ran = run("report", "--profiles", "prod", "--regions", "us-east-1,eu-west-1", *A_DAY)

    assert ran.exit_code == 0
    assert ran.stderr == (
        "Scanning 1 log group: about 4.0 GB, $0.02.\n"
        f"prod in eu-west-1: The size of log group {LOG_GROUP} is not known, because these credentials may not call "
        "cloudwatch:GetMetricStatistics. Logs Insights costs $0.005 per GB.\n"
    )


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    ("option", "right", "wrong", "said"),
    [
        pytest.param("--caller", "One", "Onne", "No caller with Onne in its name in this window.", id="caller"),
        pytest.param(
            "--model", "model", "modle", "No call to a model with modle in its id in this window.", id="model"
        ),
    ],
)
def test_a_name_that_selects_calls_is_wrong_if_it_does_in_no_place(
    option: str, right: str, wrong: str, said: str
) -> None:
    two = ("--profiles", "prod", "--regions", "us-east-1,eu-west-1")

    assert run("report", *two, *TEN_MINUTES, option, right).exit_code == 0
    ran = run("report", *two, *TEN_MINUTES, option, wrong)

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert said in ran.stderr


def listing(*names: str) -> dict[str, Any]:
    summaries = [
        {"StackName": name, "StackStatus": "CREATE_COMPLETE", "CreationTime": datetime(2026, 11, 1, tzinfo=UTC)}
        for name in names
    ]
    return {"StackSummaries": summaries}


def test_stacks_of_a_stack_set_are_found_by_the_beginning_of_their_names(
    accounts: dict[tuple[str | None, str | None], FakeAws],
) -> None:
    prod, eu = accounts["prod", "us-east-1"], accounts["prod", "eu-west-1"]
    none, several = accounts["staging", "us-east-1"], accounts["staging", "eu-west-1"]
    prod.answers["ListStacks"] = listing("another", "StackSet-monitor-1a")
    eu.answers["ListStacks"] = listing("StackSet-monitor-2b")
    none.answers["ListStacks"] = listing("monitor")
    several.answers["ListStacks"] = listing("StackSet-monitor-4d", "StackSet-monitor-3c")

    ran = run("report", *BOTH, *TEN_MINUTES, "--stack-name", "StackSet-monitor-*", "--json")

    found = json.loads(ran.stdout)["places"]
    assert prod.parameters("cloudformation:DescribeStacks") == [{"StackName": "StackSet-monitor-1a"}]
    assert eu.parameters("cloudformation:DescribeStacks") == [{"StackName": "StackSet-monitor-2b"}]
    assert [each["error"] for each in found] == [
        None,
        None,
        "No stack in us-east-1 matches StackSet-monitor-*. Check --stack-name, --regions and --profiles, or deploy it "
        "first.",
        "2 stacks in us-east-1 match StackSet-monitor-*: StackSet-monitor-3c, StackSet-monitor-4d. Name one with "
        "--stack-name.",
    ]
    (asked,) = eu.parameters("cloudformation:ListStacks")
    assert "DELETE_COMPLETE" not in asked["StackStatusFilter"]
    assert {"CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"} <= set(asked["StackStatusFilter"])


def test_a_message_names_few_of_many_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = FakeAws({"ListStacks": listing(*(f"stack-{number}" for number in range(1_007)))})
    monkeypatch.setattr(doctor_command, "open_session", lambda *_given: aws.session)

    ran = run("doctor", "--stack-name", "*")

    assert ran.exit_code == 3
    assert ran.stderr == (
        "Error: 1,007 stacks in us-east-1 match *: stack-0, stack-1, stack-10, stack-100, stack-1000 and 1,002 more. "
        "Name one with --stack-name.\n"
    )


def test_the_doctor_finds_one_stack_by_the_beginning_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = FakeAws({"ListStacks": listing("StackSet-monitor-1a")})
    names = []

    def collect(_session: object, name: str, *_given: object) -> Any:
        names.append(name)
        return WELL

    monkeypatch.setattr(doctor_command, "open_session", lambda *_given: aws.session)
    monkeypatch.setattr(doctor_command, "collect", collect)
    monkeypatch.setattr(doctor_command, "describe_recent_use", lambda _session, name, *_given: names.append(name) or "")

    assert run("doctor", "--stack-name", "StackSet-monitor-*").exit_code == 0
    assert run("doctor", "--stack-name", "StackSet-monitor-*", "--profiles", "a,b").exit_code == 0
    assert names == ["StackSet-monitor-1a"] * 6


# ---------------------------------------------------------------- patterns of profiles


@pytest.fixture
def configured(no_aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Profiles in both files of the AWS CLI."""
    assert no_aws is None  # its settings come first
    (tmp_path / "config").write_text(
        "[profile prod-b]\n[profile dev]\n[profile prod-a]\n[profile dev-a-old]\n", encoding="utf-8"
    )
    (tmp_path / "credentials").write_text("[prod.c]\naws_access_key_id = a\n[prod-b]\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("prod-*", ("prod-b", "prod-a"), id="at the end, in the order of the file"),
        pytest.param("*-a", ("prod-a",), id="at the beginning"),
        pytest.param("p*-*", ("prod-b", "prod-a"), id="twice"),
        pytest.param("dev,prod-*", ("dev", "prod-b", "prod-a"), id="after a name"),
        pytest.param("prod-a,prod-*", ("prod-a", "prod-b"), id="one that is also named"),
        pytest.param("prod.*", ("prod.c",), id="a dot is a dot"),
        pytest.param("*", ("prod-b", "dev", "prod-a", "dev-a-old", "prod.c"), id="all"),
        pytest.param("elsewhere", ("elsewhere",), id="a name is taken as it is"),
    ],
)
def test_a_star_stands_for_any_text_in_the_name_of_a_profile(given: str, expected: tuple[str, ...]) -> None:
    option = click.Option(["--profiles"])

    assert places.parse_profiles(click.Context(click.Command("report")), option, given) == expected


@pytest.mark.usefixtures("configured")
def test_a_pattern_that_no_profile_fits_is_refused() -> None:
    ran = run("report", "--profiles", "dev,stag*")

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.endswith(
        "Error: Invalid value for '--profiles': no AWS profile fits stag*. `aws configure list-profiles` lists those "
        "that exist\n"
    )


def test_a_configuration_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("no section\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    ran = run("doctor", "--profiles", "*")

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "Unable to parse config file" in ran.stderr


# ---------------------------------------------------------------- asking


class Found(msgspec.Struct, frozen=True):
    """The result of a place in these tests."""

    region: str
    account: str = "1"


def make_places(number: int) -> list[Place]:
    return [Place("p", f"us-east-{index}") for index in range(number)]


def test_places_are_asked_at_the_same_time_but_never_more_than_the_bound() -> None:
    running, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(MAX_PARALLEL, timeout=30)  # broken unless so many run at once

    def ask(place: Place, _progress: Callable[[float], None]) -> Found:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        with lock:
            running[0] -= 1
        return Found(place.region or "")

    replies = ask_all(make_places(3 * MAX_PARALLEL), ask, lambda _found: 0)

    assert (most[0], MAX_PARALLEL) == (8, 8)
    assert [reply.value for reply in replies] == [Found(f"us-east-{index}") for index in range(24)]


def test_replies_are_in_the_order_given_although_the_first_place_ends_last() -> None:
    last_has_ended = threading.Event()

    def ask(place: Place, _progress: Callable[[float], None]) -> Found:
        if place.region == "us-east-0":
            assert last_has_ended.wait(30)
        if place.region == "us-east-2":
            last_has_ended.set()
        return Found(place.region or "")

    replies = ask_all(make_places(3), ask, lambda _found: 0)

    assert [reply.name for reply in replies] == ["p in us-east-0", "p in us-east-1", "p in us-east-2"]


def test_progress_is_the_mean_of_all_places_and_ends_at_1() -> None:
    shares: list[float] = []

    def ask(place: Place, progress: Callable[[float], None]) -> Found:
        progress(0.5)
        if place.region == "us-east-1":
            raise click.ClickException("no")
        return Found(place.region or "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "MAX_PARALLEL", 1)
        ask_all(make_places(2), ask, lambda _found: 0, shares.append)

    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_a_fault_of_ours_is_no_reply() -> None:
    def ask(_place: Place, _progress: Callable[[float], None]) -> Found:
        raise KeyError("a fault")

    with pytest.raises(KeyError, match="a fault"):
        ask_all(make_places(2), ask, lambda _found: 0)


def test_ctrl_c_does_not_wait_for_places(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def ask(place: Place, _progress: Callable[[float], None]) -> Found:
        ended.wait(30)
        return Found(place.region or "")

    def interrupt(_future: Future[Reply[Found]]) -> Reply[Found]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            ask_all(make_places(2), ask, lambda _found: 0)
        assert [each.daemon for each in threading.enumerate() if "work" in each.name] == [True, True]
    finally:
        ended.set()


def test_messages_of_a_place_name_its_profile_and_region() -> None:
    command = dict(find_subcommands())["report",]

    def ask(_place: Place, _progress: Callable[[float], None]) -> Found:
        return Found(own_command("doctor"))

    with command.make_context("report", ["--profiles", "a,b", "--regions", "us-east-1,eu-west-1"]):
        replies = ask_all([Place("a", "us-east-1"), Place("b", None)], ask, lambda _found: 0)

    assert [reply.value and reply.value.region for reply in replies] == [
        "quota-monitor doctor --profile a --region us-east-1",
        "quota-monitor doctor --profile b",
    ]


@pytest.mark.parametrize(
    ("running", "given", "named"),
    [
        pytest.param("report", ["--profiles", "a", "--regions", "us-east-1"], "doctor", id="both forms"),
        pytest.param("analyze", ["--profiles", "a", "--regions", "us-east-1"], "doctor", id="lists, then one"),
        pytest.param("report", ["--profiles", "a", "--regions", "us-east-1"], "analyze", id="one, then lists"),
        pytest.param("analyze", ["--profiles", "a", "--regions", "us-east-1"], "analyze", id="lists"),
    ],
)
def test_messages_of_a_single_place_name_it_in_the_options_of_the_named_command(
    running: str, given: list[str], named: str
) -> None:
    command = dict(find_subcommands())[running,]

    with command.make_context(running, given) as context:
        (place,) = list_places(None, None, context.params["profiles"], context.params["regions"])

        end = "--profiles a --regions us-east-1" if named == "analyze" else "--profile a --region us-east-1"
        assert own_command(named) == f"quota-monitor {named} {end}"
    assert place == Place("a", "us-east-1")


# ---------------------------------------------------------------- credentials


@pytest.fixture
def profiles(no_aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Profiles without keys: one has an MFA device, and one takes its credentials from that one."""
    assert no_aws is None  # its settings come first
    text = (
        "[profile plain]\nregion = eu-west-1\n"
        "[profile careful]\nregion = eu-west-1\nmfa_serial = m\n"
        "[profile indirect]\nsource_profile = careful\n"
        "[profile itself]\nsource_profile = itself\n"
    )
    (tmp_path / "config").write_text(text, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")


@pytest.mark.usefixtures("profiles")
def test_the_regions_of_a_profile_share_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []

    def load(_resolver: object) -> Any:
        loaded.append(SimpleNamespace(get_frozen_credentials=lambda: None))
        return loaded[-1]

    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", load)
    asked = [Place(profile, region) for profile in ("plain", "careful", "gone") for region in ("us-east-1", None)]

    found = sign_in(asked)

    assert list(found) == ["plain", "careful", "gone"]
    assert len(loaded) == 1  # only a profile that may ask signs in at once
    sessions = [open_session(place.profile, place.region, found[place.profile]) for place in asked[:4]]
    given = [session.get_credentials() for session in sessions]
    assert (given[0] is given[1], given[2] is given[3], given[0] is given[2], len(loaded)) == (True, True, False, 2)
    assert [session.region_name for session in sessions] == ["us-east-1", "eu-west-1"] * 2


@pytest.mark.parametrize(
    ("profile", "asks"),
    [("plain", False), ("careful", True), ("indirect", True), ("itself", False), ("gone", False)],
)
@pytest.mark.usefixtures("profiles")
def test_profiles_that_may_ask_sign_in_before_any_place_is_asked(
    monkeypatch: pytest.MonkeyPatch, profile: str, asks: bool
) -> None:
    signed_in: list[str] = []
    loaded = SimpleNamespace(get_frozen_credentials=lambda: signed_in.append(profile))
    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", lambda _resolver: loaded)

    sign_in([Place(profile, "us-east-1"), Place(profile, "eu-west-1")])

    assert signed_in == [profile] * asks


@pytest.mark.parametrize("step", ["load", "use"])
@pytest.mark.usefixtures("profiles")
def test_a_profile_that_cannot_sign_in_asks_once_and_fails_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    asked = []

    def fail() -> Any:  # an MFA code is asked for when the keys are used, the output of a program when they are loaded
        asked.append("")
        raise refused("AssumeRole")

    def load(_resolver: object) -> Any:
        return fail() if step == "load" else SimpleNamespace(get_frozen_credentials=fail)

    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", load)

    shared: SharedCredentials = sign_in([Place("careful", "us-east-1")])["careful"]

    for region in ("us-east-1", "eu-west-1"):
        with pytest.raises(ClientError, match="not you"):
            open_session("careful", region, shared).get_credentials()
    assert asked == [""]


@pytest.mark.usefixtures("profiles")
def test_without_a_terminal_a_profile_with_mfa_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> None:
        raise EOFError  # as getpass does

    loaded = SimpleNamespace(get_frozen_credentials=ask)
    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", lambda _resolver: loaded)

    found = sign_in([Place("careful", "us-east-1"), Place("plain", "us-east-1")])

    assert open_session("plain", "us-east-1", found["plain"]).get_credentials() is loaded
    with pytest.raises(CredentialRetrievalError, match="needs an MFA code, and nobody can be asked"):
        open_session("careful", "us-east-1", found["careful"]).get_credentials()


@pytest.mark.parametrize(("profile", "region"), [("careful", "eu-west-1"), ("indirect", "ap-east-1")])
@pytest.mark.usefixtures("profiles")
def test_a_role_is_assumed_in_the_region_of_the_profile_or_else_of_the_first_place(
    monkeypatch: pytest.MonkeyPatch, profile: str, region: str
) -> None:
    regions: list[str] = []

    def get_credentials(session: Any) -> None:
        regions.append(session.get_config_variable("region"))

    monkeypatch.setattr("botocore.session.Session.get_credentials", get_credentials)

    sign_in([Place(profile, "ap-east-1"), Place(profile, "us-east-1")])

    assert regions == [region]
