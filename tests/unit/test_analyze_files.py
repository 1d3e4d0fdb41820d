"""Records in local files: every form, at every boundary of pieces, damaged, and too large for memory."""

import gzip
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from bedrock_quota.errors import LogSourceError
from quota_monitor.analyze import files
from quota_monitor.analyze.files import find_files, read_file, read_stream

ONE = {"modelId": "a", "input": {"inputBodyJson": {"text": 'quotes \\" and }]{[ in a "text"', "list": [[1], []]}}}
TWO = {"modelId": "b", "output": {}}
BOTH = [ONE, TWO]


def read(content: bytes) -> list[Any]:
    """Return the messages of a stream, parsed."""
    return [json.loads(message) for message in read_stream(io.BytesIO(content))]


def cli_output(*messages: str, **more: object) -> str:
    """Return what `aws logs filter-log-events` prints."""
    events = [
        {"logStreamName": "aws/bedrock", "timestamp": 1, "message": text, "ingestionTime": 2, "eventId": str(number)}
        for number, text in enumerate(messages)
    ]
    return json.dumps({"events": events, "searchedLogStreams": [], **more}, indent=4)


LINES = b"".join(json.dumps(each).encode() + b"\n" for each in BOTH)
EVENTS = cli_output(*map(json.dumps, BOTH)).encode()
TAIL = b"2026-11-28T14:03:05.000000+00:00 aws/bedrock/modelinvocations "


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LINES, id="lines"),
        pytest.param(LINES.rstrip(), id="lines without a last line break"),
        pytest.param(LINES.replace(b"\n", b"\r\n"), id="lines with CRLF"),
        pytest.param(b"\xef\xbb\xbf" + LINES, id="lines with a byte order mark"),
        pytest.param(b"\n \n" + LINES.replace(b"\n", b"\n\n \t\n"), id="blank lines"),
        pytest.param(json.dumps(BOTH).encode(), id="array on one line"),
        pytest.param(json.dumps(BOTH, indent=2).encode(), id="pretty array"),
        pytest.param(b"\xef\xbb\xbf\r\n " + json.dumps(BOTH, indent=2).encode(), id="pretty array after a mark"),
        pytest.param(b"".join(json.dumps(each, indent=2).encode() for each in BOTH), id="pretty objects in a row"),
        pytest.param(
            b",\n".join(json.dumps(each, indent=2).encode() for each in BOTH), id="pretty objects with commas"
        ),
        pytest.param(json.dumps([ONE]).encode() + json.dumps([TWO]).encode(), id="two arrays in a row"),
        pytest.param(json.dumps([ONE], indent=1).encode() + b"\n" + json.dumps(TWO).encode(), id="array, then a line"),
        pytest.param(EVENTS, id="filter-log-events"),
        pytest.param(json.dumps(json.loads(EVENTS)).encode(), id="filter-log-events on one line"),
        pytest.param(EVENTS.replace(b'"events"', b'"logEvents"'), id="get-log-events"),
        pytest.param(
            cli_output(json.dumps(ONE), nextToken="x]}").encode() + b"\n" + cli_output(json.dumps(TWO)).encode(),
            id="two pages of filter-log-events in one file",
        ),
        pytest.param(b"".join(TAIL + line + b"\n" for line in LINES.splitlines()), id="aws logs tail"),
        pytest.param(gzip.compress(LINES), id="gzip"),
        pytest.param(b"".join(map(gzip.compress, LINES.splitlines(keepends=True))), id="gzip of two members"),
        pytest.param(gzip.compress(LINES[:50]) + gzip.compress(LINES[50:]), id="gzip members that divide a record"),
        pytest.param(gzip.compress(EVENTS), id="gzipped filter-log-events"),
    ],
)
def test_every_form_has_the_same_records(content: bytes) -> None:
    assert read(content) == BOTH


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LINES, id="lines"),
        pytest.param(json.dumps(BOTH).encode(), id="array"),
        pytest.param(EVENTS, id="filter-log-events"),
        pytest.param(EVENTS + EVENTS[:0] + cli_output("{}").encode(), id="two pages"),
        pytest.param(b"".join(json.dumps(each, indent=2).encode() for each in BOTH), id="pretty objects"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_of_any_size_give_the_same_records(monkeypatch: pytest.MonkeyPatch, content: bytes, size: int) -> None:
    whole = read(content)
    monkeypatch.setattr(files, "PIECE_BYTES", size)
    monkeypatch.setattr(files, "_BEGINNING_BYTES", 40)

    assert read(content) == whole
    assert whole[:2] == BOTH


def test_every_boundary_of_two_pieces_gives_the_same_records() -> None:
    class Twice(io.BytesIO):
        """Returns one piece of a given size, then the rest."""

        def __init__(self, first: bytes, rest: bytes) -> None:
            super().__init__()
            self._pieces = iter([first, rest])

        def read(self, _size: int | None = -1, /) -> bytes:
            return next(self._pieces, b"")

    content = json.dumps(BOTH).encode()
    for at in range(1, len(content)):
        assert [json.loads(each) for each in read_stream(Twice(content[:at], content[at:]))] == BOTH


def test_a_message_of_the_cli_may_be_no_record() -> None:
    # the CLI's texts come out as they were logged: a plain line, and one that looks like an event itself
    plain = "Permissions are correctly set for Amazon Bedrock logs."
    inner = json.dumps({"message": "a prompt", "modelId": "a"})

    assert list(read_stream(io.BytesIO(cli_output(plain, inner).encode()))) == [plain.encode(), inner.encode()]


def test_a_line_of_aws_logs_tail_loses_its_prefix_also_if_it_is_no_record() -> None:
    line = TAIL + b"Permissions are correctly set for Amazon Bedrock logs.\n"

    assert list(read_stream(io.BytesIO(line))) == [b"Permissions are correctly set for Amazon Bedrock logs."]


def test_a_first_line_that_is_cut_costs_only_itself() -> None:
    cut = json.dumps(ONE).encode()[:40]

    assert list(read_stream(io.BytesIO(cut + b"\n" + LINES)))[1:] == LINES.splitlines()


def test_a_first_line_longer_than_a_piece_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE_BYTES", 5_000)
    large = {"modelId": "a", "text": "x" * 12_000}

    assert read(json.dumps(large).encode() + b"\n" + LINES) == [large, *BOTH]


@pytest.mark.parametrize("content", [b"", b" \n\r\n", b"\xef\xbb\xbf", gzip.compress(b""), b"[]", b"[ ]\n"])
def test_nothing_has_no_records(content: bytes) -> None:
    assert read(content) == []


# ---------------------------------------------------------------- damaged


@pytest.mark.parametrize(
    ("content", "records"),
    [
        pytest.param(json.dumps(BOTH).encode()[:-1], BOTH, id="array without its end"),
        pytest.param(json.dumps(BOTH).encode()[:-12], [ONE], id="array cut within an object"),
        pytest.param(b'[{"a": 1}, "cut', [{"a": 1}], id="array cut within a text"),
        pytest.param(EVENTS[:-1], BOTH, id="filter-log-events cut after its events"),
        pytest.param(json.dumps(ONE, indent=1).encode()[:-2], [], id="pretty object without its end"),
    ],
)
def test_a_cut_file_is_named_and_its_records_before_that_count(
    tmp_path: Path, content: bytes, records: list[Any]
) -> None:
    (tmp_path / "cut.json").write_bytes(content)
    found: list[Any] = []

    with pytest.raises(LogSourceError, match=r"cut\.json: it ends within an array or object"):
        found.extend(map(json.loads, read_file(str(tmp_path / "cut.json"))))

    assert found == records


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(LINES * 500)[:-20], id="cut"),
        pytest.param(gzip.compress(LINES)[:-8] + b"\0" * 8, id="wrong checksum"),
        pytest.param(gzip.compress(LINES) + b"no gzip", id="garbage after its end"),
        pytest.param(b"\x1f\x8b\x08\x00" + b"\xff" * 40, id="garbage after its head"),
    ],
)
def test_damaged_gzip_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "damaged.gz").write_bytes(content)

    with pytest.raises(LogSourceError, match=r"damaged\.gz could not be read to its end"):
        list(read_file(str(tmp_path / "damaged.gz")))


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b'{"a": "', id="line"),
        pytest.param(b'[{"a": "', id="text in an array"),
        pytest.param(b"[" + b'{"a":' * 20, id="objects in an array"),
    ],
)
def test_an_element_over_the_bound_is_refused_in_bounded_memory(beginning: bytes) -> None:
    stream = Endless(itertools.chain([beginning], itertools.repeat(b"x" * 1_000_000)))

    with pytest.raises(LogSourceError, match=r"has more than 8,388,608 bytes"):
        list(read_stream(cast("IO[bytes]", stream)))

    assert stream.given < 14_000_000


def test_what_is_no_object_in_an_array_takes_no_memory() -> None:
    # 40 MB of numbers between two records
    numbers = itertools.repeat(b"1," * 500_000, 40)
    stream = Endless(itertools.chain([b"[", json.dumps(ONE).encode(), b","], numbers, [b'{"modelId": "b"}]']))

    assert len(list(read_stream(cast("IO[bytes]", stream)))) == 2


class Endless:
    """A stream of pieces that are made when they are read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest, self.given = pieces, b"", 0

    def read(self, size: int) -> bytes:
        """Return at most so many bytes."""
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        read, self._rest = self._rest[:size], self._rest[size:]
        self.given += len(read)
        return read


@pytest.mark.parametrize(
    ("first", "between", "last", "megabytes"),
    [
        pytest.param(b"", b"\n", b"", 1_000, id="lines, 1 GB"),
        pytest.param(b"[", b",", b"{}]", 100, id="array, 100 MB"),
    ],
)
def test_a_large_file_is_never_held(first: bytes, between: bytes, last: bytes, megabytes: int) -> None:
    record = b'{"modelId": "a", "text": "' + b"x" * 99_971 + b'"}' + between
    stream = Endless(filter(None, itertools.chain([first], itertools.repeat(record * 10, megabytes), [last])))
    read_so_far = held = count = 0

    for message in read_stream(cast("IO[bytes]", stream)):
        read_so_far += len(message) + 1
        held = max(held, stream.given - read_so_far)
        count += 1

    assert (count, stream.given) == (10 * megabytes + bool(last), 1_000_000 * megabytes + len(first + last))
    assert held < 3_000_000


# ---------------------------------------------------------------- files and folders


def test_a_folder_has_its_files_without_bodies_and_hidden_ones(tmp_path: Path) -> None:
    hour = tmp_path / "2026" / "11" / "28" / "14"
    (hour / "data").mkdir(parents=True)
    for name in ("b.json.gz", "a.json.gz", ".hidden", "data/1_input.json.gz", "amazon-bedrock-logs-permission-check"):
        (hour / name).write_bytes(b"")

    assert find_files([str(tmp_path)]) == [str(hour / "a.json.gz"), str(hour / "b.json.gz")]


def test_a_folder_named_data_can_have_records(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_bytes(LINES)

    assert find_files([str(tmp_path / "data")]) == [str(tmp_path / "data" / "a.json")]


def test_each_file_is_read_once_and_standard_input_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(LINES)

    assert find_files([str(file), "-", str(tmp_path), str(file), "-"]) == [str(file), "-"]


@pytest.mark.parametrize("name", ["absent.json", "empty"], ids=["no such file", "folder without files"])
def test_a_path_without_records_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(LogSourceError, match=r"There (is no file or folder|are no files)"):
        find_files([str(tmp_path / name)])


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(LINES))))

    assert [json.loads(message) for message in read_file("-")] == BOTH
