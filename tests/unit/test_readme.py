"""The README fits into GitHub's column, begins with what can be tried, and leads to every page of the docs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")

COLUMN = 95
"""Characters of code that GitHub shows without scrolling, in its column of 830 pixels."""


def links_of(page: Path) -> set[Path]:
    """The pages that a page links to."""
    targets = re.findall(r"\]\(([^)\s#]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


def test_code_fits_into_the_column() -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)

    assert len(blocks) >= 6
    assert [line for block in blocks for line in block.splitlines() if len(line) > COLUMN] == []


def test_the_first_command_needs_no_account_and_is_above_the_first_picture() -> None:
    first = TEXT.index("```sh\n")

    assert TEXT[first:].startswith("```sh\nmake demo\n```")
    assert first < TEXT.index("![")


def test_each_page_is_one_or_two_links_away() -> None:
    pages = {page.resolve() for page in ROOT.glob("docs/*.md") if page.name != "index.md"}  # the site's own beginning
    near = links_of(README)
    far = {target for page in near if page.exists() for target in links_of(page)}

    assert len(near) > 20
    assert pages - near - far == set()
