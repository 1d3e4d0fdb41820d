"""How sentences are measured, and the phrases that none may hold."""

import re
import statistics
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Figures(NamedTuple):
    """Of some texts: the number of sentences, words per sentence, and semicolons per 100 sentences."""

    sentences: int
    median: float
    ninetieth: int
    semicolons: float


MOST = Figures(sentences=0, median=14, ninetieth=26, semicolons=3)
"""The bounds on a reader's patience; there is none on the number of sentences."""

BANNED = [
    re.compile(phrase, re.IGNORECASE)
    for phrase in (
        r"\brings?\b",
        r"\bringing\b",
        r"\bmend(s|ed|ing)?\b",
        r"\banew\b",
        r"\bheed",
        r"\bseams?\b",
        r"from which on",
        r"what comes",
        r"comes? twice",
        r"(is|was|are|were) no use",
        r"let (it|them|him|her) ask",
        r"all is well",
        r"gone without",
        r"has (it|them) not",
        r"\bbe it\b",
        r", for (it|they|the) ",
        r"(is|was) to be had",
        r"which is how they are",
        r"(goes|go) off\b",
        r"stands? still",
        r"(takes?|taking) \w+ out\b",
        r"may take no call",
        r"how it comes about",
        r"all together",
        r"given most often",
        r"left as it is",
        r"as (it|they) (is|are) found",
        r"raises what botocore raises",
    )
] + [re.compile(r"(?m)(?:^|[.!?]\s+)(?:What|Whether|Who|Whose|How|That)\b.*")]
"""Of style.md's and the reviews' before and after. The last finds sentences that open with a relative clause."""


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text of Markdown, without code blocks, tables and headings; inline code is one word."""
    text = re.sub(r"```.*?```", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for paragraph in _paragraphs(text):
        plain = re.sub(r"`[^`]*`", "code", paragraph)
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain)
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z*\[\"“(`c])", plain):
            if len(re.findall(r"\w+", sentence)) >= 3:
                yield sentence


def _paragraphs(text: str) -> Iterator[str]:
    current: list[str] = []
    for line in map(str.strip, text.split("\n")):
        item = re.match(r"([-*]|\d+\.) ", line)
        if not line or line.startswith(("|", "#", ">", "![")) or item:
            yield " ".join(current)
            current = [line[item.end() :]] if item else []
        else:
            current.append(line)
    yield " ".join(current)


def figures(texts: Iterable[str]) -> Figures:
    """Measure some texts."""
    found = [sentence for text in texts for sentence in sentences(text)]
    words = sorted(len(re.findall(r"[\w'\u2019-]+", sentence)) for sentence in found)
    return Figures(
        sentences=len(found),
        median=statistics.median(words),
        ninetieth=words[int(0.9 * len(words))],
        semicolons=100 * sum(sentence.count(";") for sentence in found) / len(found),
    )


def banned(text: str) -> list[str]:
    """Return the phrases of a text that none may hold."""
    return [found[0].strip() for pattern in BANNED for found in pattern.finditer(text)]
