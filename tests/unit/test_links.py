"""Every link within the docs, and every page that code or a message names, leads to a page, and to a heading of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]


FOLDERS = [
    "benchmarks",
    "cli",
    "dashboard",
    "examples",
    "functions",
    "layers",
    "localaws",
    "registry",
    "tests",
    ".github",
]
CODE = [
    *(
        ROOT / name
        for name in ("Makefile", "template.yaml", "samconfig.toml", "pyproject.toml", "release.py", ".ci/run")
    ),
    *(
        file
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".toml", ".yaml", ".yml", ".mk", ".mjs", ".md"} or file.name == "Makefile"
        if not {"node_modules", ".venv", ".aws-sam"} & set(file.parts)
    ),
]
"""Everything else in which a page may be named."""


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


def named_pages() -> Iterator[tuple[str, str]]:
    """Yield the pages that code, messages and the template name, such as `docs/limits.md#first-day-check`."""
    for file in {*CODE, *PAGES}:
        text = file.read_text(encoding="utf-8")
        for target in re.findall(r"(?<!\]\()(?<![\w/.-])docs/[\w/-]+\.md(?:#[\w-]+)?", text):
            yield str(file.relative_to(ROOT)), target


@pytest.mark.parametrize(("file", "target"), sorted(set(named_pages())))
def test_page_that_is_named_is_there(file: str, target: str) -> None:
    path, _, anchor = target.partition("#")

    assert (ROOT / path).is_file(), f"{file} names {target}"
    assert not anchor or anchor in headings(ROOT / path), f"{file} names {target}"


def test_pages_named_in_messages_are_found() -> None:
    found = set(named_pages())

    assert ("template.yaml", "docs/kinesis.md") in found
    assert any(file.startswith("cli/") and "#" in target for file, target in found)
