"""The texts of the template and the dashboard: short sentences, in the words of AWS's documentation."""

from collections.abc import Iterator
from typing import Any

import prose
import pytest
import resolved
from prose import BANNED, MOST, Figures, banned, figures, sentences

DESCRIPTIONS = ("AlarmDescription", "Description", "ConstraintDescription", "DisplayName")
TITLES = ("title", "label")


@pytest.fixture(scope="module")
def template() -> resolved.Tree:
    return resolved.template()


def texts(template: resolved.Tree) -> dict[str, str]:
    """Return every text that a user reads, by its place: descriptions, and the dashboard's titles, labels and texts."""
    resolve = resolved.Resolver(resolved.VALUES | {"RequestMetadataKeys": "team"}, template)
    found = dict(described(template, resolve, ""))
    for keys in ("", "team"):
        found |= {f"dashboard {keys}{where}": text for where, text in drawn(resolved.dashboard(template, keys), "")}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Logs::QueryDefinition":
            found[f"/Resources/{name}/Name"] = resolve(resource["Properties"]["Name"])
    return found


def described(node: Any, resolve: resolved.Resolver, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from described(each, resolve, f"{where}/{number}")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in DESCRIPTIONS:
                yield f"{where}/{key}", resolve(value)
            else:
                yield from described(value, resolve, f"{where}/{key}")


def drawn(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from drawn(each, f"{where}/{number}")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in (*TITLES, "markdown") and isinstance(value, str):
                yield f"{where}/{key}", value
            else:
                yield from drawn(value, f"{where}/{key}")


def test_every_kind_of_text_is_read(template: resolved.Tree) -> None:
    where = " ".join(texts(template))

    assert len(texts(template)) > 150
    for part in (
        "/Parameters/AlarmEmail/Description",
        "/Parameters/AlarmEmail/ConstraintDescription",
        "/Outputs/DashboardURL/Description",
        "/Resources/CoverageAlarm/Properties/AlarmDescription",
        "/Resources/QuotaFetcherFunction/Properties/Events/Schedule/Properties/Description",
        "/Resources/FailuresQuery/Name",
        "dashboard /widgets/0/properties/markdown",
        "dashboard /widgets/2/properties/title",
        "dashboard /variables/0/label",
    ):
        assert part in where


@pytest.mark.parametrize("part", ["/Parameters", "/Resources", "/Outputs", "dashboard", ""], ids="texts of {}".format)
def test_sentences_are_short(template: resolved.Tree, part: str) -> None:
    found = figures(text for where, text in texts(template).items() if where.startswith(part))

    assert found.sentences >= (150 if not part else 8)
    assert found.median <= MOST.median, found
    assert found.ninetieth <= MOST.ninetieth, found
    assert found.semicolons <= MOST.semicolons, found


def test_no_text_has_a_banned_phrase(template: resolved.Tree) -> None:
    assert {where: banned(text) for where, text in texts(template).items() if banned(text)} == {}


def test_a_bucket_is_one_of_s3(template: resolved.Tree) -> None:
    # what shares one quota is a quota pool
    of_s3 = ("failed-deliveries bucket", "a bucket", "the bucket", "stack's buckets", "log group or bucket")
    for where, text in texts(template).items():
        rest = text.lower()
        for phrase in of_s3:
            rest = rest.replace(phrase, "")
        assert "bucket" not in rest, where


# The measure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("One thing here. Two things there!", ["One thing here.", "Two things there!"], id="two sentences"),
        pytest.param("Yes. No.", [], id="fewer than three words"),
        pytest.param("# A heading of words\nThe text of it.", ["The text of it."], id="heading"),
        pytest.param("| a | b | c |\n\nThe text of it.", ["The text of it."], id="table"),
        pytest.param("- The first item\n2. The second item", ["The first item", "The second item"], id="list"),
        pytest.param("Run `a b c d` for it.\n```\ncode is no text\n```", ["Run code for it."], id="code"),
        pytest.param("See [this page](https://a.b/c) for it.", ["See this page for it."], id="link"),
        pytest.param("A sentence on\ntwo lines.", ["A sentence on two lines."], id="two lines"),
    ],
)
def test_a_sentence_is_what_the_measure_says(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_figures_are_worked_out_over_all_texts() -> None:
    texts_of = ["One two three. One two three four; five.", "One two three four five six seven."]

    assert figures(texts_of) == Figures(sentences=3, median=5, ninetieth=7, semicolons=pytest.approx(100 / 3))


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        pytest.param("The alarm rings at night.", "rings", id="rings"),
        pytest.param("Mend the cause.", "Mend", id="mend"),
        pytest.param("It is made anew.", "anew", id="anew"),
        pytest.param("The value from which on it fires.", "from which on", id="from which on"),
        pytest.param("It waits, for they are late.", ", for they", id="for in place of because"),
        pytest.param("What is behind it is left.", "What is behind it is left.", id="opens with what"),
        pytest.param("It fails. Whether it does is unknown.", ". Whether it does is unknown.", id="opens with whether"),
    ],
)
def test_a_banned_phrase_is_found(text: str, phrase: str) -> None:
    assert banned(text) == [phrase]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("The string during a recommendation.", id="part of a word"),
        pytest.param("Check what the log says, and how.", id="relative clause later in a sentence"),
        pytest.param("It runs for the first time.", id="for without a comma"),
    ],
)
def test_ordinary_english_is_none(text: str) -> None:
    assert banned(text) == []


def test_the_list_holds_each_phrase_once() -> None:
    assert len({pattern.pattern for pattern in prose.BANNED}) == len(BANNED) > 20
