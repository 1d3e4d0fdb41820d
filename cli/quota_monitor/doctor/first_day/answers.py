"""Answers: the result of each question, as Markdown for an issue or as JSON, without anything that is secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

LIMITS = "docs/limits.md#first-day-check"
"""The section that lists every assumption by its question."""

_SECRETS = (
    (re.compile(r"arn:[\w-]+:[^\s\"'`,;)]*"), "ARN"),
    (re.compile(r"s3://[^\s\"'`,;)]+"), "S3-PATH"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "EMAIL"),
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "UUID"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), "ACCESS-KEY"),
    (re.compile(r"(?<!\d)\d{12}(?!\d)"), "ACCOUNT"),
)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_VERSION = re.compile(r"\d+(?:\.\d+){1,3}(?:[a-z0-9.+-]{0,12})")


class Verdict(StrEnum):
    """The result for an assumption. `COULD_NOT_LOOK`: AWS or the SDK refused the question."""

    SEEN = "seen"
    NOT_AS_ASSUMED = "not as assumed"
    NOT_SEEN_YET = "could not be seen yet"
    COULD_NOT_LOOK = "could not look"


class Answer(msgspec.Struct, frozen=True):
    """The answer to one question: what was seen, or why not and when to try again.

    `assumption` is a sentence of docs/limits.md, which the answer settles.
    """

    verdict: Verdict
    what: tuple[str, ...]
    next: str = ""
    name: str = ""
    question: str = ""
    assumption: str = ""


class Report(msgspec.Struct, frozen=True):
    """All answers, with the deployment that they are about. `settings` has only parameters with fixed values."""

    checked_at: str
    region: str
    command_version: str
    stack_version: str
    settings: dict[str, str]
    answers: tuple[Answer, ...]
    is_local: bool = False
    """True if the account is that of an emulator on this machine."""


def seen(*what: str) -> Answer:
    """Return the answer that an assumption holds."""
    return Answer(Verdict.SEEN, what)


def not_as_assumed(*what: str, then: str = "Open an issue with this output.") -> Answer:
    """Return the answer that an assumption is wrong."""
    return Answer(Verdict.NOT_AS_ASSUMED, what, then)


def not_yet(*what: str, then: str) -> Answer:
    """Return the answer that nothing was there to look at, with when to try again."""
    return Answer(Verdict.NOT_SEEN_YET, what, then)


def could_not_look(*what: str, then: str) -> Answer:
    """Return the answer that AWS or the SDK refused the question."""
    return Answer(Verdict.COULD_NOT_LOOK, what, then)


def safe_name(text: object) -> str:
    """Return a name that AWS or this project has chosen, or `?` for anything that does not look like one."""
    return text if isinstance(text, str) and _NAME.fullmatch(text) else "?"


def safe_names(names: Iterable[object]) -> str:
    """Return the names in order, each once, separated by commas."""
    return ", ".join(sorted({safe_name(each) for each in names}))


def safe_version(text: object) -> str:
    """Return a version number, or `unknown` for anything that does not look like one."""
    return text if isinstance(text, str) and _VERSION.fullmatch(text) else "unknown"


def redact(text: str) -> str:
    """Return a text without ARNs, account ids, S3 paths, addresses, access keys and UUIDs, on one line.

    Answers are made of our own words, numbers and names that passed `safe_name`. This is a second guard.
    """
    for pattern, name in _SECRETS:
        text = pattern.sub(name, text)
    return " ".join(text.split())


def redact_answer(answer: Answer) -> Answer:
    """Return an answer with every text redacted."""
    return msgspec.structs.replace(answer, what=tuple(map(redact, answer.what)), next=redact(answer.next))


def exit_code(answers: Sequence[Answer]) -> int:
    """Return 1 if an assumption is wrong, 3 if a question could not be asked, and 0 otherwise."""
    verdicts = {each.verdict for each in answers}
    if Verdict.NOT_AS_ASSUMED in verdicts:
        return 1
    return 3 if Verdict.COULD_NOT_LOOK in verdicts else 0


def summarize(report: Report) -> str:
    """Return the number of assumptions by verdict, and the names of those that need a look."""
    named = {verdict: [each.name for each in report.answers if each.verdict is verdict] for verdict in Verdict}
    found = [f"{len(named[Verdict.SEEN])} of {len(report.answers)} assumptions are seen"]
    found += [
        f"{len(named[verdict])} {_IN_WORDS[verdict]}" + (f" ({', '.join(named[verdict])})" if is_named else "")
        for verdict, is_named in (
            (Verdict.NOT_AS_ASSUMED, True),
            (Verdict.COULD_NOT_LOOK, True),
            (Verdict.NOT_SEEN_YET, False),
        )
        if named[verdict]
    ]
    return f"{', '.join(found)}."


_IN_WORDS = {
    Verdict.NOT_AS_ASSUMED: "not as assumed",
    Verdict.COULD_NOT_LOOK: "could not be looked at",
    Verdict.NOT_SEEN_YET: "could not be seen yet",
}


def render(report: Report) -> str:
    """Return the checklist as Markdown."""
    settings = "".join(f", {name}={value}" for name, value in sorted(report.settings.items()))
    lines = [
        "### First-day check",
        "",
        f"**{summarize(report)}**",
        *(("This is the local account of an emulator, which shows little of AWS.",) if report.is_local else ()),
        "",
        f"{report.checked_at}, {report.region}, quota-monitor {report.command_version}, "
        f"stack {report.stack_version}{settings}.",
        f"The assumptions are those of {LIMITS}.",
        "",
    ]
    for each in report.answers:
        box = "x" if each.verdict is Verdict.SEEN else " "
        lines.append(f"- [{box}] **{each.question}** {each.verdict} (`{each.name}`)")
        lines += [f"  - {what}" for what in each.what]
        if each.next:
            lines.append(f"  - Next: {each.next}")
        lines.append(f"  - Assumption: {each.assumption}")
    return "\n".join(lines) + "\n"
