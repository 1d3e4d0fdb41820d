"""Invocation logs in local files: JSON lines, arrays, pretty-printed JSON, and what the AWS CLI prints. Also gzipped.

A file is read in pieces, so its size does not matter.
"""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from bedrock_quota.errors import LogSourceError

PIECE_BYTES = 1024 * 1024

MAX_ELEMENT_BYTES = 8 * 1024 * 1024
"""Largest element of an array, or line. A log event has at most 1 MB, and 3 MB as text in JSON."""

STANDARD_INPUT = "-"

_GZIP = b"\x1f\x8b"

_BEGINNING_BYTES = 4_096
"""Bytes that show the form of a file."""

_BODIES_FOLDER = "data"
"""Folder in which Bedrock stores bodies. They are no records."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]|"', re.DOTALL)
"""A complete string, a bracket, or the quotation mark of a string whose end is not there yet."""

_EVENTS = re.compile(rb'\s*\{\s*"(?:events|logEvents)"\s*:\s*\[')
"""Beginning of what `aws logs filter-log-events` and `get-log-events` print."""


class _LogEvent(msgspec.Struct, frozen=True):
    """An event as the AWS CLI prints it."""

    message: str | None = None


_decode_event = msgspec.json.Decoder(_LogEvent).decode


def find_files(paths: Iterable[str]) -> list[str]:
    """Return the files of these paths, each once. Of a folder, all files below it that are not bodies, sorted.

    Raises `LogSourceError` for a path that does not exist.
    """
    found: dict[str, None] = {}
    for path in paths:
        place = Path(path)
        if path == STANDARD_INPUT:
            found[path] = None
        elif place.is_dir():
            inside = (file for file in sorted(place.rglob("*")) if file.is_file() and not file.name.startswith("."))
            found |= dict.fromkeys(str(file) for file in inside if file.parent.name != _BODIES_FOLDER)
        elif place.is_file():
            found[path] = None
        else:
            raise LogSourceError(f"There is no file or folder {path}.")
    return list(found)


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

    Raises `LogSourceError` for an element above `MAX_ELEMENT_BYTES`, and for an array or object without an end.
    """
    pieces = _read_pieces(stream)
    first = b""
    while len(first) < _BEGINNING_BYTES and (piece := next(pieces, b"")):
        first += piece
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n")
    events = _EVENTS.match(start)
    if events:
        yield from map(_read_event, _split_elements(start[events.end() :], pieces))
    elif start.startswith(b"["):
        yield from map(_read_event, _split_elements(start[1:], pieces))
    elif start.startswith(b"{") and not _is_json(start.partition(b"\n")[0]):
        yield from map(_read_event, _split_elements(start, pieces))
    else:
        yield from _split_lines(start, pieces)


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


def _is_json(line: bytes) -> bool:
    """Return True if a line is a JSON value by itself, or is longer than what was read of it."""
    if len(line) > MAX_ELEMENT_BYTES // 16:
        return True
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
    return line[start:] if start > 0 else line


def _split_elements(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield each object of an array, or of a row of objects, whatever stands between them."""
    buffer, scanned, depth, start = first, 0, 0, 0
    while True:
        for token in _TOKEN.finditer(buffer, scanned):
            text = token[0]
            if text == b'"':
                scanned = token.start()
                break
            scanned = token.end()
            if text in {b"{", b"["}:
                if not depth:
                    start = token.start()
                depth += 1
            elif text in {b"}", b"]"}:
                if not depth:
                    return  # the end of the array
                depth -= 1
                if not depth:
                    yield buffer[start : token.end()]
                    start = token.end()
        keep = start if depth else scanned
        piece = next(pieces, b"")
        if not piece:
            if depth:
                raise LogSourceError("it ends within an object")
            return
        buffer, scanned, start = buffer[keep:] + piece, scanned - keep, 0
        if len(buffer) > MAX_ELEMENT_BYTES + PIECE_BYTES:
            raise LogSourceError(f"an object has more than {MAX_ELEMENT_BYTES:,} bytes")


def _read_event(element: bytes) -> bytes:
    """Return the message of an event, or the element itself if it is a record."""
    try:
        message = _decode_event(element).message
    except (msgspec.MsgspecError, UnicodeError):
        return element
    return element if message is None else message.encode(errors="surrogatepass")
