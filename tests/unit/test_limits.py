"""The bounds of input in docs/limits.md and docs/testing.md are the code's. Other tests hold the code to each."""

import re
from pathlib import Path

import pytest
from records import SONNET

from bedrock_quota import model_ids
from bedrock_quota.errors import RecordError
from bedrock_quota.model_ids import OutOfScope, Reference
from bedrock_quota.processor import application_profiles, batch, large_bodies, late_bodies, pipeline
from bedrock_quota.processor.callers import MAX_LABEL
from bedrock_quota.processor.delivery import MAX_INFLATED_BYTES, MAX_LOG_EVENTS, MAX_MESSAGE_BYTES
from bedrock_quota.processor.reading import read_request_body
from bedrock_quota.processor.records import MAX_COUNT
from bedrock_quota.processor.unlisted_pools import MAX_UNLISTED_POOLS
from bedrock_quota.processor.usage import NEWEST_SECONDS, OLDEST_SECONDS

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [
    line
    for page in ("limits.md", "testing.md")
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
]
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        # test_delivery, test_memory, test_hostile_input
        (
            "inflated size of a delivery",
            f"{MAX_INFLATED_BYTES // MIB} MiB, {MAX_LOG_EVENTS:,} log events",
        ),
        # test_hostile_input: of 1 MiB it is read, of one byte more refused
        ("size of a record", f"{MAX_MESSAGE_BYTES // MIB} MiB, the largest log event there is"),
        # below
        ("`modelId`", "2,048 characters, of them 256 of the model"),
        # test_usage: a second more is refused
        (
            "age of a record",
            f"14 days less {14 * 24 * 60 - OLDEST_SECONDS // 60} minutes; {NEWEST_SECONDS // 3_600} hours ahead",
        ),
        # test_records: one more is refused
        ("tokens of one call", f"{MAX_COUNT:,}"),
        # test_callers: one more is cut
        ("caller, session, project, tag values on a metric line", f"{MAX_LABEL} characters, printable ASCII"),
        # test_settings: 17 are refused
        ("`requestMetadata` keys on a metric line", "16, named by a parameter"),
        # test_application_profiles
        (
            "application profiles of one delivery",
            f"{application_profiles.MAX_LOOK_UPS} look-ups, "
            f"{application_profiles.SECONDS_PER_DELIVERY:.0f} seconds in all",
        ),
        # test_unlisted_pools
        ("pools of models that are not in the registry, per stack", f"{MAX_UNLISTED_POOLS}"),
        # test_large_bodies, and below
        (
            "request body in S3",
            f"{large_bodies.MAX_BODY_BYTES // MIB} MiB inflated, of odd JSON {MAX_MESSAGE_BYTES // MIB} MiB",
        ),
        (
            "request bodies of one delivery",
            f"{large_bodies.PARALLEL_READS} at a time, {large_bodies.SECONDS_PER_BODY} seconds each, "
            f"{large_bodies.MAX_BODIES:,} and "
            f"{large_bodies.SECONDS_PER_DELIVERY:.0f} seconds in all",
        ),
        # test_late_bodies
        (
            "calls of one delivery that wait for their body",
            f"{pipeline.MAX_SET_ASIDE:,}, of {late_bodies.MAX_CALL_BYTES // 1024} KiB each "
            f"and {pipeline.MAX_SET_ASIDE_BYTES // MIB} MiB in all",
        ),
        ("late calls of a stream written together", f"{batch.MAX_LATE_BYTES_PER_GROUP // MIB} MiB"),
        (
            "queue of late calls not answering",
            f"{late_bodies.SECONDS_TO_SEND:.0f} seconds, and 2 attempts at the last request",
        ),
    ],
)
def test_bound_in_the_docs_is_the_codes(bound: str, value: str) -> None:
    (row,) = [row for row in ROWS if row.startswith(f"| {bound} |")]

    assert row.split(" | ")[1] == value


def test_longest_model_id_and_arn_that_are_read() -> None:
    def parsed(text: str) -> type:
        return type(model_ids.parse_model_id(text, {"anthropic"}))

    beginning, end = "arn:aws:bedrock:", f"::foundation-model/{SONNET}"
    room = 2_048 - len(beginning) - len(end)

    assert [parsed("a." + "b" * 254), parsed("a." + "b" * 255)] == [Reference, OutOfScope]
    assert [parsed(beginning + "r" * room + end), parsed(beginning + "r" * (room + 1) + end)] == [Reference, OutOfScope]


def test_odd_body_is_read_up_to_1_mib_and_any_other_beyond() -> None:
    def body(limit: str, size: int) -> bytes:
        text = f'{{"max_tokens": {limit}, "prompt": ""}}'
        return text.replace('""', '"' + "x" * (size - len(text)) + '"').encode()

    assert len(body("5.0", MIB)) == MIB
    assert read_request_body(body("5.0", MIB)).max_tokens == 5
    assert read_request_body(body("5", MIB + 1)).max_tokens == 5
    with pytest.raises(RecordError, match="too_large"):
        read_request_body(body('"5"', MIB + 1))


UNSEEN = re.compile(r"\bnobody has (?:applied|deployed|measured|opened|run|seen|tested|tried)\b", re.IGNORECASE)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name)
        for page in sorted(DOCS.glob("*.md"))
        if page.name != "limits.md" and UNSEEN.search(page.read_text(encoding="utf-8"))
    ],
)
def test_a_page_that_says_what_nobody_has_seen_leads_to_the_list(page: Path) -> None:
    assert re.search(r"\]\(limits\.md[)#]", page.read_text(encoding="utf-8"))


def test_each_unseen_thing_is_listed_once() -> None:
    text = (DOCS / "limits.md").read_text(encoding="utf-8")
    listed = text.partition("\n## Not seen on a real account\n")[2]
    names = re.findall(r"^- \*\*(.+?)\*\*", listed, re.MULTILINE)
    questions = set(re.findall(r"^\| `([\w-]+)` \|", listed, re.MULTILINE))
    below = set(re.findall(r"\(`([\w-]+)`\)\. ", listed))

    assert len(names) == len(set(names)) > 30
    assert len(below) > 8
    assert below <= questions
