"""Copy docs/ and mkdocs.yml to .website, ready to be built: `python website.py [SOURCE]`. `make docs` calls it.

The pages link to files of the repository outside of docs/, such as ../template.yaml. GitHub follows such links, and a
site cannot. In the copy they lead to SOURCE, the address of the repository's files. Without it they are plain text.
"""

import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent
DOCS = ROOT / "docs"
BUILD = ROOT / ".website"
LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?![a-z]+:|#)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def redirect_links(text: str, page: Path, source: str) -> str:
    """Return the text of a page of docs/ with links to files outside of docs/ leading to `source`."""

    def redirect(link: re.Match[str]) -> str:
        file = Path(os.path.normpath(page.parent / link["path"]))
        if file.is_relative_to(DOCS):
            return link[0]
        return (
            f"[{link['text']}]({source}/{file.relative_to(ROOT).as_posix()}{link['anchor'] or ''})"
            if source
            else link["text"]
        )

    return LINK.sub(redirect, text)


def main(source: str = "") -> None:
    """Write the copy."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(DOCS, BUILD / "docs")
    shutil.copy(ROOT / "mkdocs.yml", BUILD)
    for page in DOCS.rglob("*.md"):
        text = redirect_links(page.read_text(encoding="utf-8"), page, source.rstrip("/"))
        (BUILD / page.relative_to(ROOT)).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
