"""`quota-monitor registry sync`: a listing of an invented AWS against an invented registry, both in tests/data."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber
from click.testing import CliRunner, Result

from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.registry.models import EndOfLife, ModelKind, RateStatus, Registry
from bedrock_quota.registry.overrides import apply_overrides
from bedrock_quota.registry.quota_names import ListedQuota, quotas_by_pool
from bedrock_quota.registry.sources import read_sources
from bedrock_quota.registry.validation import find_problems
from quota_monitor.registry import aws_listing, diff, model_name_match, toml_drafts
from quota_monitor.registry import command as commands
from quota_monitor.registry.aws_listing import ListedModel, ListedProfile, Listing, ListingError
from quota_monitor.registry.diff import Absence, Comparison

DATA = Path(__file__).parents[1] / "data" / "registry_sync"
SAVED = DATA / "listing.json"
COMET, COMET_2, LENS, RANK = "acme.comet-v1:0", "acme.comet-2-v1:0", "zenith.lens-v2:0", "zenith.rank-v1:0"


@pytest.fixture(scope="module")
def known() -> Registry:
    return read_sources(DATA / "models")


@pytest.fixture(scope="module")
def found() -> Listing:
    return aws_listing.read(SAVED)


@pytest.fixture(scope="module")
def compared(known: Registry, found: Listing) -> Comparison:
    return diff.compare(known, found)


# The comparison


def test_new_are_models_that_can_be_called_and_are_in_no_file(compared: Comparison) -> None:
    assert {each.listed.id: (each.kind, each.reached) for each in compared.new} == {
        COMET_2: (ModelKind.TEXT, ("on-demand", "mars")),  # a geography never seen before
        COMET: (ModelKind.TEXT, ("us", "global")),
        LENS: (ModelKind.IMAGE, ("on-demand",)),
        RANK: (ModelKind.RERANK, ("on-demand",)),
    }
    assert compared.provisioned_only == ("acme.hammer-v1:0",)


def test_a_quota_name_is_a_models_only_if_it_says_exactly_its_name(compared: Comparison) -> None:
    names = {each.listed.id: (each.spellings, each.similar) for each in compared.new}

    assert names[COMET] == (("Acme Comet V1",), ("Acme Comet V2",))
    assert names[COMET_2] == (("Acme Comet 2",), ("Acme Comet V2",))
    assert names[LENS] == (('Zenith AI Lens "Pro" V2',), ())
    assert names[RANK] == ((), ())


def test_gone_are_legacy_models_and_those_not_listed(compared: Comparison) -> None:
    assert [(each.model.id, each.absence) for each in compared.gone] == [
        ("acme.rover-v1:0", Absence.LEGACY),
        ("acme.glider-v1:0", Absence.ABSENT),
    ]


def test_different_are_codes_ids_and_profiles_that_do_not_fit(compared: Comparison) -> None:
    rocket = "tokens per minute of acme.rocket-v1:0 (cross-region)"
    assert compared.different == (
        "the registry does not accept the id 'Zenith.Odd_Id'",
        "L-00000002 is requests per minute of acme.rocket-v1:0 (regional) in the registry, but its name 'On-demand "
        "model inference requests per minute for Acme Rover' is requests per minute of acme.rover-v1:0 (regional)",
        f"{rocket} has the code L-0000000A, not the registry's L-00000003",
        f"{rocket} has the code L-0000000B, not the registry's L-00000003",
        f"{rocket} is two quotas: 'Cross-region model inference tokens per minute for Acme Rocket' (L-0000000A) and "
        "'Cross-Region model inference tokens per minute for ACME Rocket' (L-0000000B)",
        "the profile 'eu.acme.rover-v1:0' leads to acme.rocket-v1:0, not to acme.rover-v1:0",
        "the profile 'odd' cannot be parsed: calls to it would get no quota pool, or a wrong one",
    )


@pytest.mark.parametrize(
    ("registered", "listed", "said"),
    [
        pytest.param(None, date(2027, 1, 8), "no day", id="no day in the registry"),
        pytest.param(date(2027, 4, 8), date(2027, 1, 8), "2027-04-08", id="later in the registry"),
        pytest.param(date(2027, 1, 8), date(2027, 1, 8), None, id="the same day"),
        pytest.param(date(2027, 1, 1), date(2027, 1, 8), None, id="earlier in the registry, for another Region"),
        pytest.param(date(2027, 1, 8), None, None, id="no day listed"),
    ],
)
def test_end_of_life_that_the_registry_lacks_or_has_later_is_different(
    known: Registry, registered: date | None, listed: date | None, said: str | None
) -> None:
    rocket = known.by_id["acme.rocket-v1:0"]
    end = None if registered is None else EndOfLife(registered, "a page")
    registry = apply_overrides(known, (msgspec.structs.replace(rocket, end_of_life=end),))
    listing = Listing("us-east-1", date(2026, 11, 28), (ListedModel(rocket.id, end_of_life=listed),), (), ())

    expected = f"{rocket.id} ends on {listed} in us-east-1, and the registry has {said}"
    assert diff.compare(registry, listing).different == (() if said is None else (expected,))


def test_unknown_spellings_are_grouped_and_told_whose_they_are(compared: Comparison) -> None:
    assert [(each.spelling, len(each.names), each.exactly) for each in compared.unknown_spellings] == [
        ("Acme Comet 2", 1, (COMET_2,)),
        ("Acme Comet V1", 4, (COMET,)),  # one of them in capitals, one of 1M context
        ("Acme Comet V2", 1, ()),
        ("Acme Glider V1", 1, ("acme.glider-v1:0",)),  # in the registry, without a quota name
        ("Nobody 7", 1, ()),
        ('Zenith AI Lens "Pro" V2', 1, (LENS,)),
    ]


def test_unread_are_limits_of_use_that_no_rule_reads(compared: Comparison) -> None:
    # the limit of the whole account is known, and is no bucket's
    assert compared.unread == ("Galactic model inference tokens per minute for Acme Rocket",)
    assert compared.refused["account_wide"] == 1


def test_every_quota_is_counted_once(compared: Comparison, found: Listing) -> None:
    assert (compared.matched, sum(compared.refused.values())) == (4, 15)
    assert len(found.quotas) == 19


def test_nothing_is_new_where_registry_and_listing_agree(known: Registry) -> None:
    models = tuple(ListedModel(each.id, each.name, "Acme", ("TEXT",), ("ON_DEMAND",)) for each in known.models)

    same = diff.compare(known, Listing("mars-north-1", date(2026, 11, 20), models, (), ()))

    assert (same.new, same.gone, same.different, same.unknown_spellings, same.unread) == ((), (), (), (), ())


def test_a_spelling_of_two_new_models_is_neithers(known: Registry) -> None:
    models = tuple(
        ListedModel(f"acme.{end}", "Twin", "Acme", ("TEXT",), ("ON_DEMAND",)) for end in ("twin-a", "twin-b")
    )
    quota = ListedQuota("L-00000020", "On-demand model inference tokens per minute for Acme Twin", 1.0)

    both = diff.compare(known, Listing("mars-north-1", date(2026, 11, 20), models, (), (quota,)))

    assert [(each.spellings, each.similar) for each in both.new] == [((), ("Acme Twin",))] * 2


def test_a_model_that_only_profiles_name_is_not_gone(known: Registry) -> None:
    profile = ListedProfile("us.acme.glider-v1:0", ("acme.glider-v1:0",))

    seen = diff.compare(known, Listing("mars-north-1", date(2026, 11, 20), (), (profile,), ()))

    assert "acme.glider-v1:0" not in {each.model.id for each in seen.gone}


@pytest.mark.parametrize(
    ("spelled", "model_id", "name", "provider", "exact"),
    [
        pytest.param(
            "Anthropic Claude Opus 9 V1",
            "anthropic.claude-opus-9-v1",
            "Claude Opus 9",
            "Anthropic",
            True,
            id="first version",
        ),
        pytest.param(
            "Anthropic Claude 9 Sonnet V2",
            "anthropic.claude-9-sonnet-v2:0",
            "Claude 9 Sonnet v2",
            "Anthropic",
            True,
            id="version 2",
        ),
        pytest.param(
            "Anthropic Claude 9 Sonnet V2",
            "anthropic.claude-9-sonnet-v1:0",
            "Claude 9 Sonnet",
            "Anthropic",
            False,
            id="other version",
        ),
        pytest.param(
            "Anthropic Claude 9 Sonnet",
            "anthropic.claude-9-sonnet-v2:0",
            "Claude 9 Sonnet v2",
            "Anthropic",
            False,
            id="version missing",
        ),
        pytest.param(
            "Anthropic Claude 9 Sonnet V1",
            "anthropic.claude-9-sonnet",
            "Claude 9 Sonnet",
            "Anthropic",
            False,
            id="version without id",
        ),
        pytest.param(
            "Amazon Nova 2 Lite", "amazon.nova-lite-v1:0", "Nova Lite", "Amazon", False, id="other generation"
        ),
        pytest.param("Amazon Nova 2 Lite", "amazon.nova-2-lite-v1:0", "Nova 2 Lite", "Amazon", True, id="generation"),
        pytest.param("Twelve Labs Pegasus", "twelvelabs.pegasus-v1:0", "Pegasus", "TwelveLabs", True, id="blanks"),
        pytest.param("Z.ai GLM-9.7 Flash", "zai.glm-9.7-flash", "GLM 9.7 Flash", "Z.AI", True, id="punctuation"),
        pytest.param("GPT-9.6 Sol", "openai.gpt-9.6-sol", "GPT-9.6 Sol", "OpenAI", True, id="points"),
        pytest.param("GPT-9 6 Sol", "openai.gpt-9.6-sol", "GPT-9.6 Sol", "OpenAI", False, id="point missing"),
        pytest.param("Claude 4 5", "anthropic.claude-45", "Claude 45", "Anthropic", False, id="digits apart"),
        pytest.param(
            "Meta Llama 9.1 8B Instruct",
            "meta.llama9-1-8b-instruct-v1:0",
            "Llama 9.1 8B Instruct",
            "Meta",
            True,
            id="llama",
        ),
        pytest.param(
            "Meta Llama 9.1 70B Instruct",
            "meta.llama9-1-8b-instruct-v1:0",
            "Llama 9.1 8B Instruct",
            "Meta",
            False,
            id="other size",
        ),
        pytest.param("Acme", "acme.x", "", "Acme", False, id="no name"),
    ],
)
def test_exactness(spelled: str, model_id: str, name: str, provider: str, exact: bool) -> None:
    assert model_name_match.is_exact(spelled, model_id=model_id, name=name, provider=provider) is exact


# The drafts


def paste(made: list[toml_drafts.Draft], directory: Path) -> Registry:
    for path in (DATA / "models").glob("*.toml"):
        (directory / path.name).write_bytes(path.read_bytes())
    for draft in made:
        path = directory / draft.file_name
        assert path.exists() is not draft.is_new_file
        path.write_text((path.read_text() if path.exists() else "") + draft.text, encoding="utf-8")
    return read_sources(directory)


def test_drafts_pasted_into_the_registry_are_in_order(
    known: Registry, found: Listing, compared: Comparison, tmp_path: Path
) -> None:
    pasted = paste(toml_drafts.draft_models(compared.new, known, found), tmp_path)

    assert find_problems(pasted) == []
    assert set(pasted.by_id) == set(known.by_id) | {COMET, COMET_2, LENS, RANK}
    comet = pasted.by_id[COMET]
    assert (comet.name, comet.kind, comet.max_output_tokens, comet.quota_names) == (
        "Comet", ModelKind.TEXT, 9_000, ("Acme Comet V1",),
    )  # fmt: skip
    assert (comet.burndown[0].rate, comet.burndown[0].status) == (7.0, RateStatus.UNLISTED)
    assert "assumed" in comet.burndown[0].source
    assert "Output limit assumed" in comet.source
    assert pasted.by_id[LENS].name == 'Lens "Pro" v2'
    assert pasted.by_id[LENS].max_output_tokens is None
    assert pasted.provider_by_id["zenith"].name == "Zenith AI"


def test_pasted_models_find_their_quotas(known: Registry, found: Listing, compared: Comparison, tmp_path: Path) -> None:
    pasted = paste(toml_drafts.draft_models(compared.new, known, found), tmp_path)

    buckets = quotas_by_pool(found.quotas, pasted)

    assert buckets[QuotaPool(COMET, EndpointType.CROSS_REGION)].tokens_per_minute == 500
    assert buckets[QuotaPool(COMET, EndpointType.GLOBAL_CROSS_REGION)].requests_per_minute == 600
    assert diff.compare(pasted, found).new == ()


def test_draft_says_what_to_review(known: Registry, found: Listing, compared: Comparison) -> None:
    acme, zenith = (draft.text for draft in toml_drafts.draft_models(compared.new, known, found))

    assert "#   Acme Comet V2\n" in acme
    assert "# It also has 1M-context quotas. Set long_context_above: calls" in acme
    assert acme.count("long_context_above") == 1
    assert zenith.startswith("#:schema ../schema.json\n")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param('"]\nid = "acme.evil"', id="TOML"),
        pytest.param("tab\there", id="tab"),
        pytest.param("nul\0", id="null byte"),
        pytest.param("\\", id="backslash"),
        pytest.param("#", id="comment"),
        pytest.param("ünï 🚀", id="Unicode"),
        pytest.param("\x7f\u2028", id="unprintable"),
        pytest.param("x" * 2_000, id="long"),
        pytest.param("", id="empty"),
    ],
)
def test_no_name_breaks_a_draft(known: Registry, tmp_path: Path, name: str) -> None:
    listed = ListedModel("nova9.x", name, name, ("TEXT",), ("ON_DEMAND",))
    quota = ListedQuota("L-00000020", f"On-demand model inference tokens per minute for {name}", 1.0)
    seen = Listing("mars-north-1", date(2026, 11, 20), (listed,), (), (quota,))

    pasted = paste(toml_drafts.draft_models(diff.compare(known, seen).new, known, seen), tmp_path)

    assert set(pasted.by_id) == set(known.by_id) | {"nova9.x"}


def test_draft_takes_no_code_of_another_model(known: Registry, tmp_path: Path) -> None:
    listed = ListedModel("acme.comet", "Comet", "Acme", ("TEXT",), ("ON_DEMAND",))
    quota = ListedQuota("L-00000001", "On-demand model inference tokens per minute for Acme Comet", 1.0)
    seen = Listing("mars-north-1", date(2026, 11, 20), (listed,), (), (quota,))

    pasted = paste(toml_drafts.draft_models(diff.compare(known, seen).new, known, seen), tmp_path)

    assert pasted.by_id["acme.comet"].quota_codes == {}


# The command


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(commands, "read_sources", lambda _models: read_sources(DATA / "models"))

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(commands.registry, ["sync", *map(str, arguments)])

    return run


def test_command_prints_all_sections_and_the_tables(sync: Any) -> None:
    result = sync("--listing", SAVED)

    assert result.exit_code == 0, result.output
    for part in ("New: 4", "Gone: 2", "Different: 7", "Unknown spellings: 6", "Unread names: 1", "acme.rover-v1:0"):
        assert part in result.output
    assert "LEGACY: 1. Not available in mars-north-1: 1. To list them, use --all." in result.output
    assert re.search(r"^ *acme.rover-v1:0 .* legacy *$", result.output, re.MULTILINE)
    absent = re.compile(r"^ *acme.glider-v1:0 .* absent *$", re.MULTILINE)
    assert not absent.search(result.output)
    assert absent.search(sync("--listing", SAVED, "--all").output)
    assert "# -------------------- append to registry/models/acme.toml" in result.output
    assert "# -------------------- new file registry/models/zenith.toml" in result.output


def test_command_writes_tables_to_a_file_and_keeps_the_listing(sync: Any, tmp_path: Path) -> None:
    result = sync("--listing", SAVED, "--output", tmp_path / "new.toml", "--save", tmp_path / "again.json")

    assert result.exit_code == 0, result.output
    assert "[[models]]" not in result.output
    assert (tmp_path / "new.toml").read_text().count("[[models]]") == 4
    assert aws_listing.read(tmp_path / "again.json") == aws_listing.read(SAVED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "No such file", id="no file"),
        pytest.param("{}", "is not a listing written with --save", id="another object"),
        pytest.param("\xff", "is not a listing", id="not UTF-8"),
    ],
)
def test_command_says_what_is_wrong_with_a_listing(
    sync: Any, tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "listing.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")

    result = sync("--listing", path)

    assert result.exit_code == 3
    assert result.output.startswith("Error: ")
    assert message in result.output


def test_command_says_that_a_file_cannot_be_written(sync: Any, tmp_path: Path) -> None:
    result = sync("--listing", SAVED, "--output", tmp_path / "absent" / "new.toml")

    assert result.exit_code == 3
    assert "No such file or directory" in result.output


def test_command_takes_a_listing_or_an_account(sync: Any) -> None:
    assert sync("--listing", SAVED, "--region", "us-east-1").exit_code == 2


@pytest.mark.usefixtures("no_aws")
def test_command_names_a_profile_that_is_not_there(sync: Any) -> None:
    result = sync("--profile", "nobody", "--region", "us-east-1")

    assert result.exit_code == 3
    assert "(nobody) could not be found" in result.output


@pytest.mark.usefixtures("no_aws")
def test_command_names_an_aws_configuration_that_cannot_be_read(
    sync: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("not a section\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    result = sync("--region", "us-east-1")

    assert result.exit_code == 3
    assert result.output.startswith("Error: Unable to parse config file")


# Listing an account


class Account:
    """A session whose clients answer what the test says."""

    region_name = "us-east-1"

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {name: boto3.client(name) for name in ("bedrock", "service-quotas")}
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}

    def client(self, name: str, **_settings: object) -> Any:
        return self.clients[name]


@pytest.fixture
def account(no_aws: None) -> Iterator[Account]:  # noqa: ARG001
    made = Account()
    for stub in made.stubs.values():
        stub.activate()
    yield made
    for stub in made.stubs.values():
        stub.deactivate()


ARN = "arn:aws:bedrock:us-east-1::foundation-model/"
SUMMARIES: dict[str, Any] = {
    "modelSummaries": [
        {
            "modelArn": f"{ARN}{COMET}",
            "modelId": COMET,
            "modelName": "Comet",
            "providerName": "Acme",
            "outputModalities": ["TEXT"],
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": {"status": "LEGACY", "endOfLifeTime": datetime(2027, 1, 8, tzinfo=UTC)},
        },
        {"modelArn": f"{ARN}acme.bare", "modelId": "acme.bare"},
    ]
}


def profile(profile_id: str) -> dict[str, Any]:
    return {
        "inferenceProfileName": profile_id,
        "inferenceProfileId": profile_id,
        "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{profile_id}",
        "models": [{"modelArn": f"{ARN}{COMET}"}, {"modelArn": f"arn:aws:bedrock:us-west-2::foundation-model/{COMET}"}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def quota(code: str, value: float) -> dict[str, Any]:
    return {"QuotaCode": code, "QuotaName": f"name of {code}", "Value": value}


def test_all_pages_of_an_account_are_listed_with_progress(account: Account) -> None:
    bedrock, service_quotas = account.stubs["bedrock"], account.stubs["service-quotas"]
    bedrock.add_response("list_foundation_models", SUMMARIES, {})
    asked = {"typeEquals": "SYSTEM_DEFINED"}
    first = {"inferenceProfileSummaries": [profile(f"us.{COMET}")], "nextToken": "more"}
    bedrock.add_response("list_inference_profiles", first, asked)
    second = {"inferenceProfileSummaries": [profile(f"eu.{COMET}")]}
    bedrock.add_response("list_inference_profiles", second, asked | {"nextToken": "more"})
    service_quotas.add_response("list_aws_default_service_quotas", {"Quotas": [quota("L-1", 10.0), quota("L-2", 20.0)]})
    service_quotas.add_response("list_service_quotas", {"Quotas": [quota("L-2", 0.0)]})
    told: list[str] = []

    seen = aws_listing.fetch(account, told.append)  # type: ignore[arg-type]

    assert seen == Listing(
        "us-east-1",
        datetime.now(UTC).date(),
        (
            ListedModel(COMET, "Comet", "Acme", ("TEXT",), ("ON_DEMAND",), "LEGACY", date(2027, 1, 8)),
            ListedModel("acme.bare"),
        ),
        (ListedProfile(f"us.{COMET}", (COMET,)), ListedProfile(f"eu.{COMET}", (COMET,))),
        (ListedQuota("L-1", "name of L-1", 10.0), ListedQuota("L-2", "name of L-2", 0.0)),
    )
    assert told[:3] == ["Listing foundation models", "Listing inference profiles", "Listing quotas"]


def test_saved_listing_holds_no_account_id(account: Account, tmp_path: Path) -> None:
    account.stubs["bedrock"].add_response("list_foundation_models", SUMMARIES)
    account.stubs["bedrock"].add_response(
        "list_inference_profiles", {"inferenceProfileSummaries": [profile(f"us.{COMET}")]}
    )
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
        account.stubs["service-quotas"].add_response(operation, {"Quotas": [quota("L-1", 10.0)]})
    seen = aws_listing.fetch(account)  # type: ignore[arg-type]

    aws_listing.save(seen, tmp_path / "listing.json")

    assert "111122223333" not in (tmp_path / "listing.json").read_text()
    assert json.loads((tmp_path / "listing.json").read_text())["region"] == "us-east-1"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param(
            "AccessDeniedException",
            "These credentials may not call ListFoundationModels. Ask for that right. The command needs bedrock:List",
            id="denied",
        ),
        pytest.param(
            "ExpiredTokenException",
            "The AWS session has expired. Sign in, for example with `aws sso login`",
            id="expired",
        ),
        pytest.param("ThrottlingException", "An error occurred (ThrottlingException)", id="throttled"),
    ],
)
def test_refusal_of_bedrock_is_explained(account: Account, code: str, message: str) -> None:
    account.stubs["bedrock"].add_client_error("list_foundation_models", code)

    with pytest.raises(ListingError) as raised:
        aws_listing.fetch(account)  # type: ignore[arg-type]

    assert str(raised.value).startswith(message)


def test_refusal_of_service_quotas_is_explained(account: Account) -> None:
    account.stubs["bedrock"].add_response("list_foundation_models", SUMMARIES)
    account.stubs["bedrock"].add_response("list_inference_profiles", {"inferenceProfileSummaries": []})
    account.stubs["service-quotas"].add_client_error("list_aws_default_service_quotas", "AccessDeniedException")

    with pytest.raises(ListingError, match="may not call ListAWSDefaultServiceQuotas"):
        aws_listing.fetch(account)  # type: ignore[arg-type]


def test_no_credentials_and_no_region_are_explained(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", lambda _self: None)

    with pytest.raises(ListingError, match=r"There are no AWS credentials\. Sign in") as raised:
        aws_listing.fetch(boto3.Session(region_name="us-east-1"))
    assert isinstance(raised.value.__cause__, NoCredentialsError)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ListingError, match=r"There is no AWS Region\. Name one with --region"):
        aws_listing.fetch(boto3.Session())
