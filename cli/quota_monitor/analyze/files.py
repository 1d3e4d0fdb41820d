"""Invocation logs in local files: JSON lines, arrays, pretty-printed JSON, and what the AWS CLI prints. Also gzipped.

A file is read in pieces, so its size does not matter.
"""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from bedrock_quota.errors import LogSourceError
from bedrock_quota.log_sources.s3 import PERMISSION_CHECK
from bedrock_quota.processor.reading import PERMISSIONS_LINE

PIECE_BYTES = 1024 * 1024

MAX_ELEMENT_BYTES = 8 * 1024 * 1024
"""Largest element of an array, or line. A log event has at most 1 MB, and 3 MB as text in JSON."""

STANDARD_INPUT = "-"

_GZIP = b"\x1f\x8b"

_BLANKS = b"\xef\xbb\xbf \t\r\n"
"""A byte order mark, and white space."""

_END_OF_ARRAY, _END_OF_OBJECT, _OPEN_STRING = b"]", b"}", b'"'

_DEPTH = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
"""The change of depth at a bracket."""

_BEGINNING_BYTES = 4_096
"""Bytes that show the form of a file."""

_BODIES_FOLDER = "data"
"""Folder in which Bedrock stores bodies, below that of an hour. They are no records."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]|"', re.DOTALL)
"""A complete string, a bracket, or the quotation mark of a string whose end is not there yet."""

_EVENTS = re.compile(rb'\s*\{\s*"(?:events|logEvents)"\s*:\s*\[')
"""Beginning of what `aws logs filter-log-events` and `get-log-events` print."""


_PERMISSIONS_LINE = PERMISSIONS_LINE.encode()


class _LogEvent(msgspec.Struct, frozen=True):
    """An event as the AWS CLI prints it."""

    message: str | None = None


_decode_event = msgspec.json.Decoder(_LogEvent).decode


def find_files(paths: Iterable[str]) -> list[str]:
    """Return the files of these paths, each once. Of a folder, all files below it that are not bodies, sorted.

    Raises `LogSourceError` for a path that does not exist, and for folders without a file.
    """
    found: dict[str, None] = {}
    for path in paths:
        place = Path(path)
        if path == STANDARD_INPUT:
            found[path] = None
        elif place.is_dir():
            inside = (file for file in sorted(place.rglob("*")) if file.is_file())
            found |= dict.fromkeys(str(file) for file in inside if _may_have_records(file.relative_to(place)))
        elif place.is_file():
            found[path] = None
        else:
            raise LogSourceError(f"There is no file or folder {path}.")
    if not found:
        raise LogSourceError("There are no files with records in the folders that --files names.")
    return list(found)


def _may_have_records(file: Path) -> bool:
    """Return False for a body, a hidden file, and the object that Bedrock writes when logging is set up."""
    return file.parent.name != _BODIES_FOLDER and not file.name.startswith(".") and file.name != PERMISSION_CHECK


def read_file(path: str) -> Iterator[bytes]:
    """Yield the message of each record in a file. `-` is standard input.

    Raises `LogSourceError` if the file cannot be read to its end. All records before that point were yielded.
    """
    try:
        if path == STANDARD_INPUT:
            yield from read_stream(sys.stdin.buffer)
            return
        with Path(path).open("rb") as file:
            yield from read_stream(file)
    except (OSError, EOFError, zlib.error) as error:
        raise LogSourceError(f"{path} could not be read to its end: {error}") from error
    except LogSourceError as error:
        raise LogSourceError(f"{path}: {error}") from None


def read_stream(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the message of each record in a stream, gzipped or not.

    Arrays and outputs of the AWS CLI may follow each other, such as the pages of a long log group in one file. Raises
    `LogSourceError` for an element above `MAX_ELEMENT_BYTES`, and for an array or object without an end.
    """
    pieces = _read_pieces(stream)
    rest = b""
    while rest := _begin(rest, pieces):
        events = _EVENTS.match(rest)
        if events:
            rest = yield from _split_array(rest[events.end() :], pieces)
            rest = _skip_object(rest, pieces)
        elif rest.startswith(b"["):
            rest = yield from _split_array(rest[1:], pieces)
        elif rest.startswith(b"{") and _is_spread_over_lines(rest):
            yield from _split_objects(rest, pieces)
            return
        else:
            yield from _split_lines(rest, pieces)
            return


def _begin(rest: bytes, pieces: Iterator[bytes]) -> bytes:
    """Return what follows, without blanks before it, long enough to show its form. Nothing at the end."""
    rest = rest.lstrip(_BLANKS)
    while len(rest) < _BEGINNING_BYTES and (piece := next(pieces, b"")):
        rest = (rest + piece).lstrip(_BLANKS)
    return rest


def _read_pieces(stream: IO[bytes]) -> Iterator[bytes]:
    first = stream.read(PIECE_BYTES)
    if not first.startswith(_GZIP):
        while first:
            yield first
            first = stream.read(PIECE_BYTES)
        return
    with gzip.GzipFile(fileobj=cast("IO[bytes]", _Rest(first, stream)), mode="rb") as inflated:
        while piece := inflated.read(PIECE_BYTES):
            yield piece


class _Rest:
    """A stream whose first bytes were read already. Standard input cannot go back."""

    def __init__(self, first: bytes, stream: IO[bytes]) -> None:
        self._first, self._stream = first, stream

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end."""
        if self._first:
            read, self._first = self._first[:size], self._first[size:]
            return read
        return self._stream.read(size)


def _is_spread_over_lines(start: bytes) -> bool:
    """Return True for an object over several lines. A line that is cut has no such end, or another object after it."""
    first, _, rest = (part.strip() for part in start.partition(b"\n"))
    return first.endswith((b"{", b"[", b",")) and not rest.startswith(b"{") and not _is_json(first)


def _is_json(line: bytes) -> bool:
    """Return True if a line is a JSON value by itself."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _split_lines(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield each line that is not empty, without what precedes its object: `aws logs tail` prints the time there."""
    rest = first
    while True:
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if line[:1] == b"{":
                yield line
            elif stripped := line.strip():
                yield _cut_prefix(stripped)
        if len(rest) > MAX_ELEMENT_BYTES:
            raise LogSourceError(f"a line has more than {MAX_ELEMENT_BYTES:,} bytes")
        piece = next(pieces, b"")
        if not piece:
            break
        rest += piece
    if stripped := rest.strip():
        yield _cut_prefix(stripped)


def _cut_prefix(line: bytes) -> bytes:
    start = line.find(b"{")
    if start < 0:
        start = line.find(_PERMISSIONS_LINE)
    return line[start:] if start > 0 else line


def _split_array(first: bytes, pieces: Iterator[bytes]) -> Generator[bytes, None, bytes]:
    """Yield the message of each object of an array, whatever stands between them. Return what follows the array."""
    return (yield from _split(first, pieces, _END_OF_ARRAY))


def _split_objects(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the message of each object up to the end."""
    yield from _split(first, pieces, None)


def _skip_object(first: bytes, pieces: Iterator[bytes]) -> bytes:
    """Return what follows the object that `first` is within."""
    inside = _split(first, pieces, _END_OF_OBJECT)
    while True:
        try:
            next(inside)
        except StopIteration as stop:
            rest: bytes = stop.value
            return rest


def _split(first: bytes, pieces: Iterator[bytes], end: bytes | None) -> Generator[bytes, None, bytes]:
    """Yield the message of each object up to a bracket that ends them all. Return what follows it."""
    buffer, scanned, depth, start = first, 0, 0, -1
    while True:
        for token in _TOKEN.finditer(buffer, scanned):
            text = token[0]
            if text == _OPEN_STRING:
                scanned = token.start()
                break
            scanned = token.end()
            if not depth and text == end:
                return buffer[scanned:]
            change = _DEPTH.get(text, 0)
            if change > 0 and not depth:
                start = token.start()
            depth = max(0, depth + change)
            if change < 0 and not depth and start >= 0:
                yield _read_event(buffer[start:scanned])
                start = -1
        else:
            scanned = len(buffer)
        keep = start if depth else scanned
        piece = next(pieces, b"")
        if not piece:
            if depth or end is not None or scanned < len(buffer):
                raise LogSourceError("it ends within an array or object")
            return b""
        buffer, scanned, start = buffer[keep:] + piece, scanned - keep, 0 if depth else -1
        if len(buffer) > MAX_ELEMENT_BYTES + PIECE_BYTES:
            raise LogSourceError(f"an object has more than {MAX_ELEMENT_BYTES:,} bytes")


def _read_event(element: bytes) -> bytes:
    """Return the message of an event, or the element itself if it is a record."""
    try:
        message = _decode_event(element).message
    except (msgspec.MsgspecError, UnicodeError):
        return element
    return element if message is None else message.encode(errors="surrogatepass")
