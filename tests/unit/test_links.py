"""Every link within the docs leads to a page, and to a heading of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]


def links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("https://", "http://")):
                yield str(page.relative_to(ROOT)), target


def headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them: small letters, hyphens for spaces, nothing else but letters and digits."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def test_files_to_look_in_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("\n## Where to look\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    paths = [re.findall(r"`([\w.]*[/.][\w./]*)`", row.split(" | ")[1]) for row in rows]

    assert len(rows) >= 12
    assert all(paths)
    assert [path for row in paths for path in row if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(("page", "target"), sorted(set(links())))
def test_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    leads_to = ROOT.joinpath(page).parent / path if path else ROOT / page

    assert leads_to.exists()
    assert not anchor or anchor in headings(leads_to)
