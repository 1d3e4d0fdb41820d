"""Overrides: models added or corrected by one JSON value, and what is refused."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from records import NOVA, NOW, SONNET

from bedrock_quota.errors import RegistryError
from bedrock_quota.registry.models import Burndown, Model, ModelKind, RateStatus, Registry
from bedrock_quota.registry.overrides import apply_overrides, group_by_file, read_overrides

ROCKET: dict[str, Any] = {
    "id": "acme.rocket-v1:0",
    "name": "Acme Rocket",
    "kind": "text",
    "max_output_tokens": 4_096,
    "burndown": [{"rate": 7.5, "since": "2026-11-01", "status": "listed", "source": "a page"}],
    "quota_names": ["Acme Rocket"],
    "source": "another page",
}


def text(*tables: dict[str, Any]) -> str:
    return json.dumps({"models": tables})


def test_new_model_is_read_whole(registry: Registry) -> None:
    assert read_overrides(text(ROCKET), registry) == (
        Model(
            id="acme.rocket-v1:0",
            name="Acme Rocket",
            kind=ModelKind.TEXT,
            source="another page",
            max_output_tokens=4_096,
            burndown=(Burndown(7.5, date(2026, 11, 1), RateStatus.LISTED, "a page"),),
            quota_names=("Acme Rocket",),
        ),
    )


@pytest.mark.parametrize("nothing", ["{}", '{"models": []}', ' {"models":\n[]} '])
def test_nothing_is_overridden_by_nothing(registry: Registry, nothing: str) -> None:
    models = read_overrides(nothing, registry)

    assert models == ()
    assert apply_overrides(registry, models) is registry


def test_fields_given_for_a_known_model_replace_its_own_and_the_rest_stays(registry: Registry) -> None:
    rates = [{"rate": 12, "since": "2026-12-01", "status": "ambiguous", "source": "mine"}]

    (found,) = read_overrides(text({"id": SONNET, "burndown": rates}), registry)

    before = registry.by_id[SONNET]
    assert found == msgspec.structs.replace(
        before, burndown=(Burndown(12, date(2026, 12, 1), RateStatus.AMBIGUOUS, "mine"),)
    )
    assert before.long_context_above  # … which is one of the fields that stay
    assert before.quota_codes


def test_registry_with_overrides_has_them_in_place_of_its_own(registry: Registry) -> None:
    was = msgspec.json.encode(registry)
    rates = [{"rate": 12, "since": "2026-11-23", "status": "listed", "source": "mine"}]

    merged = apply_overrides(registry, read_overrides(text(ROCKET, {"id": SONNET, "burndown": rates}), registry))

    assert merged.find_burndown("acme.rocket-v1:0", NOW.date()).rate == 7.5
    assert merged.find_burndown(SONNET, NOW.date()).rate == 12
    assert merged.by_id.keys() == registry.by_id.keys() | {"acme.rocket-v1:0"}
    assert merged.by_id[NOVA] == registry.by_id[NOVA]
    assert len(merged.models) == len(registry.models) + 1
    # and the compiled registry is as it was
    assert msgspec.json.encode(registry) == was
    assert registry.find_burndown(SONNET, NOW.date()).rate == 5
    assert registry.find("acme.rocket-v1:0") is None


def test_empty_history_falls_back_to_the_provider(registry: Registry) -> None:
    (found,) = read_overrides(text({"id": SONNET, "burndown": []}), registry)

    merged = apply_overrides(registry, (found,))
    assert merged.find_burndown(SONNET, NOW.date()) == registry.provider_by_id["anthropic"].burndown[-1]


REFUSED = [
    pytest.param("not json", "override: JSON", id="no JSON"),
    pytest.param("", "override: ", id="empty"),
    pytest.param('"models"', "Expected `object`", id="text"),
    pytest.param("[]", "Expected `object`", id="a list"),
    pytest.param('{"models": {}}', "models", id="models is an object"),
    pytest.param('{"models": ["acme.rocket"]}', "models", id="a model is text"),
    pytest.param('{"model": []}', "unknown field `model`", id="a key in the singular"),
    pytest.param("[" * 5_000, "override: ", id="open brackets"),
    pytest.param(
        text({key: value for key, value in ROCKET.items() if key != "id"}), "missing required field `id`", id="no id"
    ),
    pytest.param(
        text({key: value for key, value in ROCKET.items() if key != "name"}),
        r"models\[acme.rocket-v1:0\].*`name`",
        id="no name",
    ),
    pytest.param(
        text(ROCKET | {"max_output_tokens": "many"}),
        r"models\[acme.rocket-v1:0\].*max_output_tokens",
        id="output limit is a word",
    ),
    pytest.param(text(ROCKET | {"max_output_tokens": -1}), "max_output_tokens", id="output limit is negative"),
    pytest.param(text(ROCKET | {"kind": "poem"}), "kind", id="unknown kind"),
    pytest.param(text(ROCKET | {"rate": 5}), "unknown field `rate`", id="unknown field"),
    pytest.param(text(ROCKET | {"id": "nodot"}), "id", id="id without a dot"),
    pytest.param(text(ROCKET | {"id": 5}), "id", id="id is a number"),
    pytest.param(text(ROCKET | {"id": ["acme.rocket"]}), "id", id="id is a list"),
    pytest.param(
        text(ROCKET | {"burndown": [{"rate": 0.5} | {**ROCKET["burndown"][0], "rate": 0.5}]}), "rate", id="rate below 1"
    ),
    pytest.param(text(ROCKET | {"burndown": [ROCKET["burndown"][0]] * 2}), "oldest first", id="the same rate twice"),
    pytest.param(
        text(ROCKET | {"quota_codes": {"regional": {"tokens_per_minute": "L-1"}}}),
        "tokens_per_minute",
        id="a quota code that is none",
    ),
    pytest.param(
        text({"id": SONNET, "max_output_tokens": None}),
        "a text model needs max_output_tokens",
        id="known model without an output limit",
    ),
    pytest.param(
        text({"id": SONNET, "nonsense": 1}), rf"models\[{SONNET}\].*`nonsense`", id="unknown field of a known model"
    ),
    pytest.param(
        text(ROCKET | {"id": "us.anthropic.claude-rocket-1"}),
        "is the id of a profile, not of a foundation model",
        id="id of a geographic profile",
    ),
    pytest.param(text(ROCKET | {"id": "global.acme-rocket"}), "is the id of a profile", id="id of the global profile"),
    pytest.param(
        text(ROCKET | {"id": "uk.anthropic.claude-rocket-1"}),
        "is the id of a profile",
        id="id of a profile of tomorrow",
    ),
    pytest.param(text(ROCKET | {"id": "acme.rocket-v1:1m"}), "ends with :1m", id="id with the suffix for long context"),
    pytest.param(
        text(ROCKET | {"quota_names": ["On-demand model inference tokens per minute for Acme Rocket"]}),
        "a complete name",
        id="a whole quota name",
    ),
    pytest.param(
        text(ROCKET | {"quota_names": ["Acme Rocket 1M Context Length"]}),
        "set long_context_above",
        id="a name for long context",
    ),
    pytest.param(
        text(ROCKET | {"shares_quotas_with": SONNET}),
        "has its own quotas and also shares_quotas_with",
        id="own quotas and shared ones",
    ),
    pytest.param(
        text(ROCKET | {"quota_names": [], "shares_quotas_with": "acme.nothing"}),
        "shares_quotas_with must name a model",
        id="shares quotas with no model",
    ),
    pytest.param(
        text(ROCKET | {"quota_names": ["amazon NOVA lite"]}),
        "quota name 'amazon nova lite' is already taken",
        id="quota name of a known model",
    ),
    pytest.param(
        text(ROCKET, ROCKET | {"id": "acme.other"}),
        "quota name 'acme rocket' is already taken",
        id="quota name of the other table",
    ),
]


@pytest.mark.parametrize(("given", "reason"), REFUSED)
def test_wrong_override_is_refused_with_its_reason(registry: Registry, given: str, reason: str) -> None:
    with pytest.raises(RegistryError, match=reason):
        read_overrides(given, registry)


def test_one_wrong_table_refuses_all_of_them(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="kind"):
        read_overrides(text(ROCKET, {"id": SONNET, "kind": "poem"}), registry)


def test_model_given_twice_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=SONNET):
        read_overrides(text({"id": SONNET, "default_max_tokens": 5}, {"id": SONNET, "name": "Mine"}), registry)


def test_registry_as_files_is_one_that_the_check_takes(registry: Registry) -> None:
    files = group_by_file(registry)

    assert [model for file in files.values() for model in file.models if model.id == NOVA] == [registry.by_id[NOVA]]
    assert sum(len(file.models) for file in files.values()) == len(registry.models)


def test_example_of_the_page_is_taken(registry: Registry) -> None:
    page = (Path(__file__).parents[2] / "docs" / "adding-models.md").read_text(encoding="utf-8")
    example = page.split("--value '")[1].split("'")[0]

    (model,) = read_overrides(example, registry)

    merged = apply_overrides(registry, (model,))
    assert merged.find_burndown(model.id, NOW.date()).rate == 10
    assert registry.find(model.id) is None
