"""What is written from the registry: the schema for editors and the page of models; and what `registry check` adds."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from bedrock_quota.pools import EndpointType, Unit
from bedrock_quota.registry.models import (  # fmt: skip
    Burndown,
    Model,
    ModelKind,
    Provider,
    QuotaCodes,
    RateStatus,
    Registry,
    RegistryFile,
)
from bedrock_quota.registry.validation import expected_quota_name, find_problems
from quota_monitor.deployment import checkout as checkouts
from quota_monitor.deployment.checkout import ROOT
from quota_monitor.registry import command as commands
from quota_monitor.registry import models_page, schema

SOURCES = sorted((ROOT / "registry" / "models").glob("*.toml"))
SCHEMA = ROOT / "registry" / "schema.json"
PAGE = ROOT / "docs" / "models.md"

ACME = Provider("acme", "Acme", (Burndown(7.0, date(2026, 1, 1), RateStatus.LISTED, "page A"),), 9_000)
OTHER = Provider("*", "Any other provider", (Burndown(1.0, date(2026, 1, 1), RateStatus.LISTED, "page B"),), 1_000)


def model(**fields: Any) -> Model:
    return msgspec.convert(
        {"id": "acme.rocket-v1:0", "name": "Rocket", "kind": "text", "max_output_tokens": 4_000, "source": "page C"}
        | fields,
        Model,
    )


def acme(*models: Model) -> Registry:
    return Registry((ACME, OTHER), models)


# What is in the repository is current


def test_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema.render(), "quota-monitor registry write"


def test_page_is_current(registry: Registry) -> None:
    assert PAGE.read_text(encoding="utf-8") == models_page.render(registry), "quota-monitor registry write"


def test_check_of_the_real_registry_passes() -> None:
    result = CliRunner().invoke(commands.registry, ["check"])

    assert result.exit_code == 0, result.output
    assert "in order" in result.output


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of its own, with nothing written from it yet."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "registry" / "models").mkdir(parents=True)
    for path in SOURCES:
        (tmp_path / "registry" / "models" / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(checkouts, "locate_checkout", lambda: tmp_path)
    return tmp_path


def test_check_names_what_is_not_current_and_write_makes_it_so(checkout: Path) -> None:
    (checkout / "registry" / "schema.json").write_text("{}")

    before = CliRunner().invoke(commands.registry, ["check"])
    wrote = CliRunner().invoke(commands.registry, ["write"])
    after = CliRunner().invoke(commands.registry, ["check"])

    assert before.exit_code == 1
    assert "schema.json is out of date. Run `quota-monitor registry write`." in before.output
    assert "models.md is out of date" in before.output
    assert wrote.exit_code == after.exit_code == 0


def test_a_model_added_to_a_file_makes_the_page_stale(checkout: Path) -> None:
    CliRunner().invoke(commands.registry, ["write"])
    file = checkout / "registry" / "models" / "deepseek.toml"
    file.write_text(
        file.read_text() + '\n[[models]]\nid = "deepseek.v9"\nname = "V9"\nkind = "embedding"\nsource = "a page"\n'
    )

    result = CliRunner().invoke(commands.registry, ["check"])

    assert result.exit_code == 1
    assert "models.md is out of date" in result.output
    assert "schema.json" not in result.output


def test_a_wrong_file_is_named(checkout: Path) -> None:
    (checkout / "registry" / "models" / "deepseek.toml").write_text("[provider]\nid = 1\n")

    result = CliRunner().invoke(commands.registry, ["check"])

    assert result.exit_code == 1
    assert "Error: deepseek.toml: Expected `str`, got `int` - at `$.provider.id`" in result.output


# The schema says what the reader says


def as_an_editor_sees_it(text: str) -> Any:
    return json.loads(msgspec.json.encode(msgspec.toml.decode(text)))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    rendered = json.loads(schema.render())
    jsonschema.Draft7Validator.check_schema(rendered)
    return jsonschema.Draft7Validator(rendered)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_real_file_fits_the_schema_and_names_it(path: Path, validator: jsonschema.Draft7Validator) -> None:
    text = path.read_text(encoding="utf-8")

    validator.validate(as_an_editor_sees_it(text))

    assert text.startswith("#:schema ../schema.json\n")
    assert (path.parent / "../schema.json").resolve() == SCHEMA


@pytest.mark.parametrize(
    "wrong",
    [
        'id = "acme.rocket"\nname = "Rocket"\nkind = "poem"\nsource = "a page"',
        'id = "us.Acme"\nname = "Rocket"\nkind = "text"\nsource = "a page"',
        'id = "acme.rocket"\nname = "Rocket"\nkind = "text"\nsource = "a page"\nburn = 1',
        'id = "acme.rocket"\nname = "Rocket"\nkind = "text"',
        'id = "acme.rocket"\nname = "Rocket"\nkind = "text"\nsource = "a page"\nquota_codes.moon = {}',
        'id = "acme.rocket"\nname = "Rocket"\nkind = "text"\nsource = "a"\nquota_codes.regional.tokens_per_day = "L-1"',
    ],
    ids=["kind", "id", "field", "missing", "endpoint type", "code"],
)
def test_schema_refuses_what_the_reader_refuses(wrong: str, validator: jsonschema.Draft7Validator) -> None:
    text = f"{SOURCES[0].read_text(encoding='utf-8')}\n[[models]]\n{wrong}\n"

    with pytest.raises(jsonschema.ValidationError):
        validator.validate(as_an_editor_sees_it(text))
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(text, type=RegistryFile)


def test_schema_explains_types_and_fields() -> None:
    definitions = json.loads(schema.render())["definitions"]

    assert definitions["Model"]["description"].startswith("One foundation model")
    assert definitions["Model"]["properties"]["quota_names"]["description"].startswith("Spellings of this model")
    assert definitions["Model"]["properties"]["max_output_tokens"]["type"] == "integer"  # TOML has no null


# The page


def test_page_has_a_row_for_every_model_once(registry: Registry) -> None:
    page = models_page.render(registry)

    for each in registry.models:
        assert page.count(f"| `{each.id}` |") == 1, each.id


def test_row_of_a_model_with_a_history_of_rates() -> None:
    history = [
        {"rate": 5.0, "since": "2025-03-01", "status": "listed", "source": "page D"},
        {"rate": 10.5, "since": "2026-06-01", "status": "ambiguous", "source": "page E"},
    ]
    rocket = model(burndown=history, default_max_tokens=512, quota_names=["Acme Rocket", "Acme Rocket | V1"])

    page = models_page.render(acme(rocket))

    assert (
        "| Rocket | `acme.rocket-v1:0` | text | 4,000 | 512 | 5× from 2025-03-01, 10.5× from 2026-06-01 | ambiguous "
        "| Acme Rocket<br>Acme Rocket \\| V1 | – | limit 1, rate 2, rate 3 |"
    ) in page
    assert "\n1. page C\n2. page D\n3. page E\n" in page
    assert "(0 models)" in page  # listed: the current rate is ambiguous


def test_row_of_a_model_that_ends_has_the_day_and_its_source() -> None:
    page = models_page.render(acme(model(end_of_life={"day": "2027-01-08", "source": "page E"})))

    assert "| – | 2027-01-08 | limit 1, rate 2, end 3 |" in page
    assert "\n3. page E\n" in page


def test_models_that_only_bedrock_mantle_serves_are_named_below_their_provider(registry: Registry) -> None:
    page = models_page.render(registry)

    assert "## xAI\n" in page
    assert "\n\nOnly `bedrock-mantle` serves `xai.grok-4.3`.\n\n" in page.partition("## xAI\n")[2]
    assert page.count("Only `bedrock-mantle` serves ") == 4


def test_row_of_a_model_without_a_rate_limit_or_quota_of_its_own() -> None:
    page = models_page.render(acme(model(kind="image", max_output_tokens=None)))

    assert "| Rocket | `acme.rocket-v1:0` | image | – | – | 7× | listed | – | – | id 1, rate 2 |" in page
    assert (
        "A model of Acme that is not on this page counts at 7×. A request without `max_tokens` counts with 9,000 output"
        in page
    )
    assert "A provider that is not on this page counts at 1×" in page


def test_page_shows_models_of_a_provider_without_a_file() -> None:
    page = models_page.render(acme(model(id="zenith.lens")))

    assert page.index("## Any other provider") < page.index("`zenith.lens`")


# Completeness


def test_real_registry_has_no_gaps(registry: Registry) -> None:
    assert find_problems(registry) == []


def test_quota_names_as_service_quotas_has_them() -> None:
    assert expected_quota_name("Acme X", EndpointType.REGIONAL, Unit.TOKENS_PER_DAY) == (
        "Model invocation max tokens per day for Acme X (doubled for cross-region calls)"
    )
    assert expected_quota_name("Acme X", EndpointType.GLOBAL_CROSS_REGION, Unit.REQUESTS_PER_MINUTE) == (
        "Global cross-region model inference requests per minute for Acme X"
    )


def test_codes_without_a_name_are_a_gap() -> None:
    codes = {EndpointType.REGIONAL: QuotaCodes(tokens_per_minute="L-00000001")}
    rocket = msgspec.structs.replace(model(), quota_codes=codes)

    assert find_problems(acme(rocket)) == [
        "acme.rocket-v1:0: has quota_codes, but no quota_names to find its quotas by"
    ]


def test_codes_of_nothing_are_a_gap() -> None:
    rocket = msgspec.structs.replace(
        model(quota_names=["Acme Rocket"]), quota_codes={EndpointType.REGIONAL: QuotaCodes()}
    )

    assert find_problems(acme(rocket)) == ["acme.rocket-v1:0: quota_codes.regional is empty"]


def test_a_name_that_a_rule_takes_for_another_quota_is_a_gap() -> None:
    codes = {EndpointType.REGIONAL: QuotaCodes(tokens_per_minute="L-00000001")}
    rocket = msgspec.structs.replace(model(quota_names=["Acme Custom Model"]), quota_codes=codes)

    assert find_problems(acme(rocket)) == [
        "acme.rocket-v1:0: the quota 'On-demand model inference tokens per minute for Acme Custom Model' "
        "does not match it (refused as custom_model)"
    ]


def test_a_name_that_ends_in_long_context_words_is_a_gap_of_all_its_quotas() -> None:
    rocket = model(quota_names=["Acme Rocket 1M Context Length"])

    found = find_problems(acme(rocket))

    assert len(found) == 10  # the name itself, and 3 endpoint types × 3 units
    assert found[0].endswith("remove it, set long_context_above")
    assert all(gap.endswith("does not match it (refused as unlisted_model)") for gap in found[1:])


def test_a_model_with_a_long_context_quota_is_found_by_that_name_too() -> None:
    assert find_problems(acme(model(quota_names=["Acme Rocket V1"], long_context_above=200_000))) == []


def test_kinds_are_all_in_the_schema() -> None:
    assert set(json.loads(schema.render())["definitions"]["ModelKind"]["enum"]) == set(ModelKind)
