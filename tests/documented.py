"""The pages that users read, and the blocks of code in them."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", ".github/**/*.md")
    for page in ROOT.glob(pattern)
    if not {".venv", "node_modules", "cdk.out"} & set(page.parts)
)
ACCOUNT = "# needs an AWS account"
"""First line of a block whose commands cannot be tried without."""

QUERY = re.compile(r"(?:filter|fields|stats|display|sort|limit|SOURCE) \S")
"""Beginning of a query of Logs Insights."""

ARROWS = re.compile("[►▼▲◄→]")
"""What a block without a language has only if it is a picture."""


class Block(msgspec.Struct, frozen=True):
    """A block of code. `before` is the block above it, if no heading and no other block is between them."""

    page: str
    language: str
    text: str
    before: "Block | None" = None

    def __str__(self) -> str:
        lines = [line for line in self.text.strip().splitlines() if line != ACCOUNT]
        return f"{self.page}: {lines[0][:60] if lines else ''}"

    @property
    def needs_account(self) -> bool:
        return self.text.startswith(ACCOUNT)

    @property
    def kind(self) -> str:
        """Its language, and without one `row` (of a table), `address`, `query`, `picture` or `output`."""
        if self.language not in {"", "text"}:
            return self.language
        if self.text.startswith("| "):
            return "row"
        if self.text.startswith("https://"):
            return "address"
        if QUERY.match(self.text):
            return "query"
        return "picture" if ARROWS.search(self.text) else "output"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page. Code that is only indented has the language `indented`."""
    before: Block | None = None
    for token in MarkdownIt().parse(text):
        if token.type == "heading_open":
            before = None
        if token.type in {"fence", "code_block"}:
            language = token.info.strip() if token.type == "fence" else "indented"
            before = Block(page, language, token.content, before)
            yield before


@functools.cache
def all_blocks() -> tuple[Block, ...]:
    return tuple(block for page in PAGES for block in blocks_of(name_of(page), page.read_text(encoding="utf-8")))


def blocks(*kinds: str) -> list[Block]:
    return [block for block in all_blocks() if not kinds or block.kind in kinds]


def parameters(*kinds: str) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in blocks(*kinds)]


def inline_code() -> Iterator[tuple[str, str]]:
    """Every piece of code within the text and the tables of a page, with the page's name."""
    for page in PAGES:
        for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
            for child in token.children or ():
                if child.type == "code_inline":
                    yield name_of(page), child.content
