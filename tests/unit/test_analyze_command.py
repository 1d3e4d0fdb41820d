"""`quota-monitor analyze` from its options to its exit code, with AWS answered within the process."""

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from click.testing import CliRunner, Result
from fake_aws import EXPIRED, GROUP, Answer, AwsError, FakeAws, denied, insights, s3_bucket
from records import SONNET, by_session, converse, failed, invoke, metadata_only, with_id

from quota_monitor.analyze import log_group, sources
from quota_monitor.main import main

pytestmark = pytest.mark.usefixtures("no_aws")

WINDOW = ("--from", "2026-11-23T12:00", "--to", "2026-11-23T12:05")

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `quota-monitor analyze` with an account's answers, or with those of several profiles by name."""
    monkeypatch.setattr(log_group, "POLL_SECONDS", 0.0)

    def analyze(aws: FakeAws | Mapping[str, FakeAws] | Exception, *options: str, given: str | None = None) -> Result:
        def open_session(profile: str | None, _region: str | None) -> Any:
            if isinstance(aws, Exception):
                raise aws
            return (aws if isinstance(aws, FakeAws) else aws[profile or ""]).session

        monkeypatch.setattr(sources, "open_session", open_session)
        return CliRunner(mix_stderr=False).invoke(main, ["analyze", *options], input=given)

    return analyze


# ---------------------------------------------------------------- exit codes

UNLISTED = "newcomer.model-1"

BUSY = [converse(max_tokens=900), failed()]


@pytest.mark.parametrize(
    ("entries", "options", "exit_code"),
    [
        pytest.param(BUSY, (), 0, id="done"),
        pytest.param([], ("--fail-over", "80"), 0, id="nothing to find a fault with"),
        pytest.param(BUSY, ("--fail-over", "80"), 1, id="throttled"),
        pytest.param([converse(max_tokens=700)], ("--fail-over", "80"), 1, id="800 of 1,000 tokens"),
        pytest.param([converse(max_tokens=699)], ("--fail-over", "80"), 0, id="799 of 1,000 tokens"),
        pytest.param([converse(UNLISTED)], ("--fail-over", "80"), 3, id="no quota to compare with"),
        pytest.param([failed(UNLISTED)], ("--fail-over", "80"), 1, id="throttled without a known quota"),
        pytest.param(BUSY, ("--hours", "0"), 2, id="no window"),
        pytest.param(BUSY, ("--files", "a", "--s3", "s3://b"), 2, id="two sources"),
        pytest.param(BUSY, ("--files", "a", "--whole-records"), 2, id="whole records of files"),
        pytest.param(BUSY, ("--files", "a", "--estimate"), 2, id="estimate of files"),
        pytest.param(BUSY, ("--files", "a", "--regions", "us-east-1,eu-west-1"), 2, id="files of two Regions"),
        pytest.param(BUSY, ("--s3", "s3://b", "--profiles", "a,b"), 2, id="a bucket by two profiles"),
        pytest.param(BUSY, ("--files", "absent.json"), 3, id="no such file"),
    ],
)
def test_exit_codes(run: Run, entries: list[Any], options: tuple[str, ...], exit_code: int) -> None:
    window = () if "--hours" in options else WINDOW

    result = run(FakeAws(insights(*entries)), *window, *options)

    assert result.exit_code == exit_code, result.stderr


SIGN_IN = "Sign in, for example with `aws sso login`, and run the command again."


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        pytest.param(
            botocore.exceptions.NoCredentialsError(), f"There are no AWS credentials. {SIGN_IN}", id="no credentials"
        ),
        pytest.param(botocore.exceptions.NoRegionError(), "no AWS Region. Name one with --regions", id="no Region"),
        pytest.param(
            botocore.exceptions.ProfileNotFound(profile="x"),
            "The config profile (x) could not be found. `aws configure list-profiles` lists",
            id="no such profile",
        ),
        pytest.param(
            botocore.exceptions.UnauthorizedSSOTokenError(), f"cannot be renewed. {SIGN_IN}", id="sign-in has expired"
        ),
        pytest.param({"GetCallerIdentity": EXPIRED}, f"The AWS session has expired. {SIGN_IN}", id="expired session"),
        pytest.param({"GetQueryResults": EXPIRED}, f"The AWS session has expired. {SIGN_IN}", id="expires half-way"),
        pytest.param(
            {"GetCallerIdentity": AwsError("InvalidClientTokenId")}, "AWS does not accept these", id="unknown keys"
        ),
        pytest.param(
            {"GetModelInvocationLoggingConfiguration": {}},
            "Bedrock writes no invocation logs in us-east-1",
            id="no logs",
        ),
        pytest.param(
            {"StartQuery": denied("logs:StartQuery")},
            "These credentials may not call StartQuery. Ask for that right. AWS returned: User is not authorized to "
            "perform: logs:StartQuery `quota-monitor analyze --policy` prints all rights",
            id="no right to query",
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_next_step(
    run: Run, cause: Exception | Mapping[str, Answer], said: str
) -> None:
    aws = cause if isinstance(cause, Exception) else FakeAws(insights(converse()) | dict(cause))

    result = run(aws, *WINDOW)

    assert (result.exit_code, result.stdout) == (3, "")
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_ctrl_c_stops_and_is_no_problem_found(run: Run) -> None:
    def interrupt(_given: Mapping[str, Any]) -> Answer:
        raise KeyboardInterrupt

    aws = FakeAws(insights(converse()) | {"GetQueryResults": interrupt})

    result = run(aws, *WINDOW)

    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("Stopped.\n")
    assert aws.operations().count("logs:StopQuery") == aws.operations().count("logs:StartQuery") == 1


def test_texts_that_are_not_delivered_and_an_empty_window_are_notes(run: Run) -> None:
    answers = insights()
    answers["GetModelInvocationLoggingConfiguration"] = {
        "loggingConfig": answers["GetModelInvocationLoggingConfiguration"]["loggingConfig"]
        | {"textDataDeliveryEnabled": False}
    }

    result = run(FakeAws(answers), *WINDOW)

    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "There are no records in this window. Use a longer one, such as --days 7." in said
    assert "Bedrock does not deliver texts to this log group, so no max_tokens is known. Turn on text delivery" in said


def test_one_account_that_cannot_be_read_costs_only_itself(run: Run) -> None:
    accounts = {"a": FakeAws({**insights(), **{"GetCallerIdentity": EXPIRED}}), "b": FakeAws(insights(converse()))}

    result = run(accounts, *WINDOW, "--profiles", "a,b", "--regions", "us-east-1")

    assert result.exit_code == 3
    assert "1 request to 1 quota pool" in result.stdout
    assert f"Error: a in us-east-1: The AWS session has expired. {SIGN_IN}" in result.stderr


def test_accounts_are_side_by_side(run: Run) -> None:
    accounts = {name: FakeAws(insights(*[converse()] * calls)) for name, calls in {"a": 1, "b": 2}.items()}

    result = run(accounts, *WINDOW, "--profiles", "a, b", "--json")

    assert [each["records_received"] for each in json.loads(result.stdout)["accounts"]] == [1, 2]


# ---------------------------------------------------------------- what it costs


def test_the_price_of_a_scan_comes_first(run: Run) -> None:
    aws = FakeAws(insights(converse()))

    result = run(aws, *WINDOW)

    assert result.stderr == f"Scanning log group {GROUP}: about 12.3 GB, $0.06.\n"
    operations = aws.operations()
    assert operations.index("monitoring:GetMetricStatistics") < operations.index("logs:StartQuery")


@pytest.mark.parametrize("options", [(), ("--estimate",), ("--whole-records",)], ids=["scan", "estimate", "whole"])
def test_a_log_group_that_does_not_exist_has_no_price(run: Run, options: tuple[str, ...]) -> None:
    aws = FakeAws(insights(converse()) | {"DescribeLogStreams": AwsError("ResourceNotFoundException")})

    result = run(aws, *WINDOW, "--log-group", "/nope", *options)

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "Error: There is no log group /nope in this Region. --regions names another, --log-group too.\n"
    )


def test_an_estimate_reads_nothing(run: Run) -> None:
    aws = FakeAws(insights(converse()))

    result = run(aws, *WINDOW, "--estimate")

    assert (result.exit_code, result.stdout) == (0, f"Scanning log group {GROUP}: about 12.3 GB, $0.06.\n")
    assert "logs:StartQuery" not in aws.operations()


@pytest.mark.parametrize(
    ("options", "answer", "exit_code"),
    [
        pytest.param((), "y\n", 0, id="yes at the terminal"),
        pytest.param((), "n\n", 1, id="no at the terminal"),
        pytest.param((), None, 2, id="no terminal to ask at"),
        pytest.param(("--yes",), None, 0, id="--yes"),
        pytest.param(("--whole-records",), None, 0, id="whole records cost nothing"),
    ],
)
def test_a_scan_above_a_dollar_is_asked_about(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], answer: str | None, exit_code: int
) -> None:
    monkeypatch.setattr("quota_monitor.analyze.estimate._is_terminal", lambda: answer is not None)
    aws = FakeAws(insights(converse()) | {"GetMetricStatistics": {"Datapoints": [{"Sum": 201e9, "Unit": "Bytes"}]}})

    result = run(aws, *WINDOW, *options, given=answer)

    assert result.exit_code == exit_code, result.stderr
    assert ("1 request to 1 quota pool" in result.stdout) == (exit_code == 0)


def test_exactly_a_dollar_is_not_asked_about(run: Run) -> None:
    aws = FakeAws(insights(converse()) | {"GetMetricStatistics": {"Datapoints": [{"Sum": 200e9, "Unit": "Bytes"}]}})

    assert run(aws, *WINDOW).exit_code == 0


# ---------------------------------------------------------------- rights

IN_S3 = converse(input={"inputTokenCount": 5, "inputBodyS3Path": "s3://bodies/AWSLogs/1/x.gz"})
BY_PROFILE = converse(
    "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6", requestId="another"
)

SERVICES = {"monitoring": "cloudwatch"}
"""Prefixes of rights that differ from the service's own name."""

RIGHTS = {"s3:ListObjectsV2": {"s3:ListBucket"}, "sts:GetCallerIdentity": set[str]()}
"""Rights that a call needs, if not that of its own name."""


def rights_used(aws: FakeAws) -> set[str]:
    used = set[str]()
    for operation in aws.operations():
        service, _, name = operation.partition(":")
        own = {f"{SERVICES.get(service, service)}:{name}"}
        used |= RIGHTS.get(operation, own)
    return used


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="log group of the account"),
        pytest.param(("--log-group", GROUP), id="log group that is named"),
        pytest.param(("--log-group", GROUP, "--whole-records"), id="whole records"),
        pytest.param(("--s3", "s3://logs/bedrock"), id="bucket"),
    ],
)
def test_the_policy_has_the_rights_of_all_calls_and_no_more(run: Run, options: tuple[str, ...]) -> None:
    key = "bedrock/AWSLogs/111122223333/BedrockModelInvocationLogs/us-east-1/2026/11/23/12/a.json.gz"
    stored = gzip.compress(
        "\n".join(json.dumps(with_id(each, number)) for number, each in enumerate((IN_S3, BY_PROFILE))).encode()
    )
    answers = insights(IN_S3, BY_PROFILE) | s3_bucket({key: stored})
    answers["GetInferenceProfile"] = AwsError("ResourceNotFoundException")
    # a query whose results are denied is stopped
    aws, interrupted = FakeAws(answers), FakeAws(answers | {"GetQueryResults": denied("logs:GetQueryResults")})

    result, policy = run(aws, *WINDOW, *options), run(aws, "--policy", *options)
    if "--s3" not in options and "--whole-records" not in options:
        assert run(interrupted, *WINDOW, *options).exit_code == 3

    assert result.exit_code == 0, result.stderr
    granted = {action for each in json.loads(policy.stdout)["Statement"] for action in each["Action"]}
    assert granted == rights_used(aws) | rights_used(interrupted)


def test_a_policy_needs_no_credentials(run: Run) -> None:
    result = run(botocore.exceptions.NoCredentialsError(), "--policy", "--log-group", GROUP)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["Version"] == "2012-10-17"


# ---------------------------------------------------------------- no prompt leaves

MARK = "MARKED-PROMPT"


def marked() -> Iterable[dict[str, Any]]:
    """Yield records with a mark wherever a person can write: prompts, answers, tools, and where a word is expected."""
    yield converse(text=MARK)
    yield converse(text=MARK, max_tokens=None)
    yield metadata_only()
    yield failed(errorMessage=MARK)
    yield failed(code=f"{MARK} 1")
    yield converse(operation=f"{MARK} 2")
    yield converse(schemaType=MARK)
    yield converse(timestamp=MARK)
    yield converse(requestMetadata={"note": MARK})
    yield converse(input={"inputTokenCount": MARK})
    call = converse()
    call["output"]["outputBodyJson"]["stopReason"] = MARK
    call["input"]["inputBodyJson"]["serviceTier"] = {"type": f"{MARK} 3"}
    yield call
    yield invoke(SONNET, {"prompt": MARK, "max_tokens": MARK, "tools": [{"input": MARK}]}, answer={"completion": MARK})
    yield invoke(SONNET, MARK, answer=MARK)
    yield invoke(SONNET, [MARK], answer=[MARK, {"text": MARK}])


FORMS = ("--table", "--json", "--markdown", "--csv", "--html")


@pytest.mark.parametrize(
    ("source", "form", "by"),
    [
        *(pytest.param("files", form, "caller", id=f"files, {form}") for form in FORMS),
        *(pytest.param(each, "--json", "caller", id=each) for each in ("fields", "whole records", "bucket")),
        *(
            pytest.param("files", "--json", by, id=f"files, by {by}")
            for by in ("session", "operation", "profile", "project", "tag:team")
        ),
    ],
)
def test_no_prompt_is_in_any_output(run: Run, tmp_path: Path, source: str, form: str, by: str) -> None:
    page, file = tmp_path / "page.html", tmp_path / "records.json"
    lines = "\n".join(
        [
            *(json.dumps(with_id(each, number)) for number, each in enumerate(marked())),
            f"{MARK} no JSON",
            f'{{"{MARK}": ',
        ]
    )
    file.write_text(lines)
    key = "AWSLogs/111122223333/BedrockModelInvocationLogs/us-east-1/2026/11/23/12/a.json.gz"
    chosen = {"files": ("--files", str(file)), "whole records": ("--whole-records",), "bucket": ("--s3", "s3://logs")}
    aws = FakeAws(insights(*marked()) | s3_bucket({key: gzip.compress(lines.encode())}))
    forms = (form, str(page)) if form == "--html" else (form,)

    result = run(aws, *WINDOW, *chosen.get(source, ()), "--by", by, *forms)

    assert result.exit_code == 0, result.stderr
    assert MARK not in result.stdout + result.stderr
    assert form != "--html" or MARK not in page.read_text()


def test_a_tag_that_is_asked_for_is_shown(run: Run) -> None:
    aws = FakeAws(insights(converse(requestMetadata={"team": "search"})))

    assert "search" in run(aws, *WINDOW, "--by", "tag:team").stdout


# ---------------------------------------------------------------- names that are misspelt


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            ("--max-tokens", "ReprtWriter=1024"),
            "No caller ReprtWriter in this window. Did you mean ReportWriter?",
            id="caller",
        ),
        pytest.param(
            ("--max-tokens", "X=9"), "No caller X in this window. With calls: ReportWriter.", id="no resemblance"
        ),
        pytest.param(
            ("--quota", f"{SONNET.replace('sonnet', 'sonet')}=9"),
            f"No call to {SONNET.replace('sonnet', 'sonet')} in this window. Did you mean {SONNET}?",
            id="model",
        ),
        pytest.param(
            ("--quota", f"{SONNET}/cross-region=9"),
            f"No call to {SONNET}/cross-region in this window. Did you mean {SONNET}/regional?",
            id="other endpoint type",
        ),
    ],
)
def test_a_misspelt_name_in_a_what_if_is_wrong_usage(run: Run, options: tuple[str, ...], said: str) -> None:
    result = run(FakeAws(insights(converse(**by_session("a")))), *WINDOW, *options)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"Error: {said}\n")


def test_a_caller_that_is_not_listed_may_be_in_a_what_if(run: Run) -> None:
    aws = FakeAws(insights(converse(**by_session("a")), converse(**by_session("b", "Other"))))

    result = run(aws, *WINDOW, "--caller", "Other", "--max-tokens", "ReportWriter=256")

    assert result.exit_code == 0, result.stderr
    assert "Not found" not in result.stdout


def test_a_quota_of_a_model_is_that_of_its_pools_with_calls(run: Run) -> None:
    result = run(FakeAws(insights(converse())), *WINDOW, "--quota", f"{SONNET}=2000", "--json")

    (account,) = json.loads(result.stdout)["accounts"]
    assert account["scenario"]["token_quotas"] == {f"{SONNET} (regional)": 2_000.0}
    assert account["findings"][-1] == (
        f"With 2,000 TPM for {SONNET} (regional): 1 quota pool changes. × 1 is the traffic of this window with its "
        f"throttled calls. {SONNET} (regional) stays below its quota: 60% → 30% of the token quota. It reaches the "
        "quota at × 3.3."
    )


@pytest.mark.parametrize("source", ["log group", "whole records"])
def test_a_model_without_calls_is_wrong_usage_and_those_with_calls_are_named(run: Run, source: str) -> None:
    aws = FakeAws(insights(converse(), failed("amazon.nova-lite-v1:0")))
    whole = ("--whole-records",) if source == "whole records" else ()

    result = run(aws, *WINDOW, *whole, "--model", "sonet")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(
        f"Error: No call to a model with sonet in its id in this window. With calls: {SONNET}, amazon.nova-lite-v1:0.\n"
    )


def test_a_caller_without_calls_is_wrong_usage(run: Run) -> None:
    result = run(FakeAws(insights(converse(**by_session("a")))), *WINDOW, "--caller", "ReprtWriter")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(
        "Error: No caller with ReprtWriter in its name in this window. Did you mean ReportWriter?\n"
    )


@pytest.mark.parametrize("option", ["--model", "--caller"])
def test_without_any_call_no_name_is_wrong(run: Run, option: str) -> None:
    result = run(FakeAws(insights()), *WINDOW, option, "sonet")

    assert result.exit_code == 0, result.stderr
    assert "No calls: " in result.stdout


def test_another_property_is_listed_for_the_calls_of_selected_callers_only(run: Run) -> None:
    calls = [
        converse(**by_session("a"), requestMetadata={"team": "red"}),
        converse(**by_session("b", "Other"), requestMetadata={"team": "blue"}),
    ]

    result = run(FakeAws(insights(*calls)), *WINDOW, "--caller", "Other", "--by", "tag:team", "--json")

    (account,) = json.loads(result.stdout)["accounts"]
    assert (account["only_callers"], account["pools"][0]["requests"]) == ("Other", 2)
    assert [each["caller"] for usage in account["usage_by"] for each in usage["callers"]] == ["blue"]
    assert [each["caller"] for each in account["totals_by"]] == ["blue"]


def test_a_tag_that_no_call_has_is_noted(run: Run) -> None:
    aws = FakeAws(insights(converse(requestMetadata={"team": "search"})))
    said = "No call in this window has the tag tema in its requestMetadata."

    assert said in run(aws, *WINDOW, "--by", "tag:tema").stdout
    assert "has the tag" not in run(aws, *WINDOW, "--by", "tag:team").stdout


def test_a_tag_that_only_calls_of_other_callers_have_is_noted_for_the_listed_ones(run: Run) -> None:
    calls = [converse(**by_session("a"), requestMetadata={"team": "red"}), converse(**by_session("b", "Other"))]

    result = run(FakeAws(insights(*calls)), *WINDOW, "--caller", "Other", "--by", "tag:team", "--json")

    (account,) = json.loads(result.stdout)["accounts"]
    assert account["notes"][-1] == (
        "No call of callers with Other in their name in this window has the tag team in its requestMetadata."
    )
