"""Every link within the docs leads to a page and to a heading of it, and so does every mention of a page elsewhere."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from documented import PAGES, ROOT, name_of
from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDERS = [
    "benchmarks",
    "cli",
    "dashboard",
    "events",
    "examples",
    "functions",
    "layers",
    "localaws",
    "registry",
    "tests",
]
SUFFIXES = {".py", ".toml", ".yaml", ".yml", ".mk", ".html", ".js", ".mjs", ".json", ".tf", ".ts", ""}
OTHER_FILES = sorted(
    file
    for pattern in ("*", ".ci/*", ".github/**/*", *(f"{folder}/**/*" for folder in FOLDERS))
    for file in ROOT.glob(pattern)
    if file.suffix in SUFFIXES
    and file.is_file()
    and file != Path(__file__)
    and not {".venv", "node_modules", "build", "__pycache__"} & set(file.relative_to(ROOT).parts)
)
"""Files that may mention a page: code, settings, the template."""

MENTION = re.compile(r"\b((?:docs|examples)/[\w./-]*?[\w-]+\.md)(?:#([\w-]+)|, ([A-Z][\w -]*\w))?")
"""A page as code and messages name it: `docs/limits.md`, `docs/limits.md#bounds` or `docs/limits.md, Bounds`."""


def tokens_of(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def targets_of(text: str) -> Iterator[str]:
    """The addresses of all links and pictures in a page."""
    for token in tokens_of(text):
        if token.type in {"link_open", "image"}:
            yield str(token.attrs["href" if token.type == "link_open" else "src"])


def headings_of(text: str) -> list[str]:
    """The headings of a page as a reader sees them, without the marks of Markdown."""
    found = MarkdownIt("commonmark").parse(text)
    inline = [after for before, after in itertools.pairwise(found) if before.type == "heading_open"]
    return ["".join(child.content for child in each.children or ()) for each in inline]


def anchors_of(text: str) -> set[str]:
    """Anchors as GitHub makes them: small letters, hyphens for spaces, no punctuation, a number for the second."""
    before: Counter[str] = Counter()
    anchors = set()
    for heading in headings_of(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.add(f"{slug}-{before[slug]}" if before[slug] else slug)
        before[slug] += 1
    return anchors


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def links() -> list[tuple[str, str]]:
    return sorted({(name_of(page), target) for page in PAGES for target in targets_of(read(page))})


def is_within(target: str) -> bool:
    return not urlsplit(target).scheme


@pytest.mark.parametrize(("page", "target"), [link for link in links() if is_within(link[1])])
def test_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    leads_to = ROOT.joinpath(page).parent / path if path else ROOT / page

    assert leads_to.exists()
    assert leads_to.resolve().is_relative_to(ROOT)
    assert not anchor or anchor in anchors_of(read(leads_to))


def test_addresses_of_other_sites_are_well_formed() -> None:
    addresses = {target for _, target in links() if not is_within(target)}
    hosts = {address: urlsplit(address).hostname or "" for address in addresses}

    assert addresses
    assert [each for each in sorted(addresses) if not re.fullmatch(r"https://[!-~]+", each)] == []
    assert [each for each, host in hosts.items() if not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", host)] == []


def mentions(text: str) -> Iterator[tuple[str, str, str]]:
    """The page, the anchor and the heading of each mention. A text that goes on in the next line is read as one."""
    joined = re.sub(r"[\"']\s*\n\s*[rf]?[\"']|\s*\n\s*(?:#|//)?\s*", " ", text)
    for found in MENTION.finditer(re.sub(r" +", " ", joined)):
        yield found[1], found[2] or "", found[3] or ""


def test_pages_that_code_and_messages_mention_exist() -> None:
    wrong = []
    for file in OTHER_FILES:
        for page, anchor, heading in mentions(read(file)):
            path = ROOT / page
            text = read(path) if path.exists() else ""
            if not (
                path.exists()
                and (not anchor or anchor in anchors_of(text))
                and (not heading or any(heading.startswith(each) for each in headings_of(text) if each))
            ):
                wrong.append(f"{name_of(file)}: {page} {anchor or heading}")

    assert wrong == []


def test_files_to_look_in_exist() -> None:
    section = read(ROOT / "docs" / "architecture.md").partition("\n## Where to look\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    paths = [re.findall(r"`([\w.]*[/.][\w./]*)`", row.split(" | ")[1]) for row in rows]

    assert len(rows) >= 12
    assert all(paths)
    assert [path for row in paths for path in row if not (ROOT / path).exists()] == []


# The measure


def test_anchors_are_those_of_github() -> None:
    text = "# A b\n## `max_tokens` of [x](y), in %\n## A & b\n## A b\n```\n# no heading\n```\nSet\n---\n"

    assert anchors_of(text) == {"a-b", "max_tokens-of-x-in-", "a--b", "a-b-1", "set"}


def test_links_are_found_in_text_and_tables_and_not_in_code() -> None:
    text = "[a](b.md) `[c](d)` ![e](f.png)\n\n| g |\n|---|\n| [h](i.md#j) |\n\n```\n[k](l)\n```\n"

    assert list(targets_of(text)) == ["b.md", "f.png", "i.md#j"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("# see docs/limits.md", [("docs/limits.md", "", "")], id="page"),
        pytest.param("see docs/limits.md#bounds.", [("docs/limits.md", "bounds", "")], id="anchor"),
        pytest.param('"(docs/limits.md, First-day check):"', [("docs/limits.md", "", "First-day check")], id="heading"),
        pytest.param('"docs/a.md, "\n    "Two words."', [("docs/a.md", "", "Two words")], id="two texts"),
        pytest.param("# docs/a.md, Two\n    # words.", [("docs/a.md", "", "Two words")], id="two lines of a comment"),
        pytest.param("docs/a.md, and b", [("docs/a.md", "", "")], id="no heading"),
        pytest.param("mydocs/a.md", [], id="another folder"),
    ],
)
def test_mentions_are_found(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert list(mentions(text)) == expected
