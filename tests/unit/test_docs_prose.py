"""The pages that users read have short sentences and no banned phrase, each page and all together.

The template's and the dashboard's texts have the same bounds, see tests/template/test_prose.py.
"""

from pathlib import Path

import pytest
from documented import ROOT, name_of
from prose import MOST, Figures, banned, figures

GENERATED = {"models.md", "command-line.md"}
PAGES = sorted(
    page
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "examples/**/*.md")
    for page in ROOT.glob(pattern)
    if page.name not in GENERATED and not {".venv", "node_modules", "cdk.out"} & set(page.parts)
)


def test_the_pages_are_found() -> None:
    names = {name_of(page) for page in PAGES}

    assert {"README.md", "CONTRIBUTING.md", "docs/index.md", "docs/limits.md", "examples/README.md"} <= names
    assert not {"docs/models.md", "CHANGELOG.md"} & names


def too_much(found: Figures) -> list[str]:
    return [name for name in ("median", "ninetieth", "semicolons") if getattr(found, name) > getattr(MOST, name)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sentences_of_a_page_are_short(page: Path) -> None:
    found = figures([page.read_text(encoding="utf-8")])

    assert too_much(found) == [], found


def test_sentences_of_all_pages_together_are_short() -> None:
    found = figures(page.read_text(encoding="utf-8") for page in PAGES)

    assert too_much(found) == [], found
    assert found.sentences > 500


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_no_banned_phrase(page: Path) -> None:
    assert banned(page.read_text(encoding="utf-8")) == []


def test_too_much_is_noticed() -> None:
    assert too_much(Figures(sentences=1, median=15, ninetieth=26, semicolons=3.1)) == ["median", "semicolons"]
    assert too_much(Figures(sentences=1, median=14, ninetieth=27, semicolons=3)) == ["ninetieth"]
