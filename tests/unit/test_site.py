"""The documentation's site: its navigation has every page, and its links lead out of docs/ to the repository."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import website

ROOT = Path(__file__).parents[2]
SECTIONS = ["Start", "Answers", "Operate", "Reference", "Inside"]


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without calling the functions that it names."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, suffix, _node: suffix)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    read: dict[str, Any] = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)  # noqa: S506 - ours
    return read


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from pages_of(each)


def test_the_navigation_has_every_page_once_and_no_other(config: dict[str, Any]) -> None:
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    listed = list(pages_of(config["nav"]))

    assert [next(iter(section)) for section in config["nav"]] == SECTIONS
    assert listed[0] == "index.md"
    assert len(listed) == len(set(listed))
    assert set(listed) == pages


def test_pages_load_nothing_from_other_hosts(config: dict[str, Any]) -> None:
    assert config["theme"]["font"] is False
    assert not {"extra_javascript", "repo_url"} & config.keys()  # a repo_url asks GitHub for its stars
    for style in config["extra_css"]:
        assert "url(" not in (ROOT / "docs" / style).read_text(encoding="utf-8")


def test_anchors_are_those_of_github(config: dict[str, Any]) -> None:
    (toc,) = [each["toc"] for each in config["markdown_extensions"] if isinstance(each, dict)]

    assert toc["slugify"] == "object/apply:pymdownx.slugs.slugify"


# Python-Markdown, which renders the site, reads lists otherwise than GitHub

ITEM = re.compile(r"( *)(?:[-*]|\d+\.) ")


def misread_lists(text: str) -> list[str]:
    """The lines that are in a list on GitHub only. The site wants a blank line before a list, and steps of 4 spaces."""
    found, previous, in_list, fence = [], "", False, False
    for line in text.splitlines():
        stripped, indent = line.strip(), len(line) - len(line.lstrip())
        item = ITEM.match(line)
        if not fence:
            starts_block = item or (not previous and stripped) or stripped.startswith("```")
            if (starts_block and indent % 4 and in_list) or (item and previous and not in_list):
                found.append(line)
            in_list = bool(item) or (in_list and (not stripped or indent > 0 or bool(previous)))
        fence ^= stripped.startswith("```")
        previous = stripped
    return found


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_lists_are_read_as_github_reads_them(page: Path) -> None:
    assert misread_lists(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\n\n- b\n  c\n- d\n\ne\n", [], id="list"),
        pytest.param("a\n- b\n", ["- b"], id="no blank line"),
        pytest.param("- a\n  - b\n", ["  - b"], id="2 spaces"),
        pytest.param("- a\n    - b\n", [], id="4 spaces"),
        pytest.param("1. a\n\n   b\n", ["   b"], id="paragraph"),
        pytest.param("1. a\n\n    b\n    c\n", [], id="paragraph of 4 spaces"),
        pytest.param("1. a\n   ```sh\n   b\n   ```\n", ["   ```sh"], id="code"),
        pytest.param("```\na\n- b\n```\n", [], id="list in code"),
    ],
)
def test_a_list_that_the_site_misreads_is_noticed(text: str, expected: list[str]) -> None:
    assert misread_lists(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[a](limits.md#bounds)", "[a](limits.md#bounds)", id="page"),
        pytest.param("[a](images/growth.svg)", "[a](images/growth.svg)", id="picture"),
        pytest.param("[a](#bounds)", "[a](#bounds)", id="anchor"),
        pytest.param("[a](https://b.c/../d)", "[a](https://b.c/../d)", id="address"),
        pytest.param("[a](../template.yaml)", "[a](https://x.y/z/template.yaml)", id="file outside"),
        pytest.param(
            "[`a`](../examples/README.md#rules)", "[`a`](https://x.y/z/examples/README.md#rules)", id="anchor"
        ),
        pytest.param("a[0] and [b](../LICENSE)", "a[0] and [b](https://x.y/z/LICENSE)", id="other brackets"),
    ],
)
def test_links_out_of_the_docs_lead_to_the_repository(text: str, expected: str) -> None:
    assert website.redirect_links(text, ROOT / "docs" / "a.md", "https://x.y/z") == expected


def test_links_of_a_page_in_a_folder_are_relative_to_it() -> None:
    page, text = ROOT / "docs" / "decisions" / "a.md", "[a](../limits.md) [b](../../Makefile)"

    assert website.redirect_links(text, page, "https://x.y/z") == "[a](../limits.md) [b](https://x.y/z/Makefile)"


def test_without_an_address_links_out_of_the_docs_are_text() -> None:
    assert website.redirect_links("see [b](../Makefile).", ROOT / "docs" / "a.md", "") == "see b."


def test_the_copy_is_written_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("[b](../LICENSE)")
    (tmp_path / "mkdocs.yml").write_text("site_name: a")
    (tmp_path / ".website" / "old").mkdir(parents=True)
    for name, path in (("ROOT", "."), ("DOCS", "docs"), ("BUILD", ".website")):
        monkeypatch.setattr(website, name, tmp_path / path)

    website.main("https://x.y/z/")

    assert {path.name for path in (tmp_path / ".website").rglob("*")} == {"docs", "a.md", "mkdocs.yml"}
    assert (tmp_path / ".website" / "docs" / "a.md").read_text() == "[b](https://x.y/z/LICENSE)"
