"""Read what fits of an object: a member of a wrong type is as if it were absent, and all others are kept.

A wrong type in a field that only some records have must not reject a record, or send it to the tolerant reader.
"""

import functools
import operator
import typing
from typing import Any, TypeVar

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.counts import read_count
from bedrock_quota.processor.records import Tokens

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)

_MAX_COUNT_BYTES = 40
"""Longest text of a number that `read_count` accepts, with quotes."""

_Shape = TypeVar("_Shape", bound=msgspec.Struct)


class _Member(msgspec.Struct, frozen=True):
    """A member of a shape: its type, the decoder for it, and the shape of an object in its place."""

    name: str
    key: str
    kind: Any
    decode: Any
    shape: type[msgspec.Struct] | None
    is_count: bool


@functools.cache
def _list_members(shape: type[msgspec.Struct]) -> tuple[_Member, ...]:
    return tuple(
        _Member(
            field.name,
            field.encode_name,
            field.type,
            msgspec.json.Decoder(field.type).decode,
            next((each for each in typing.get_args(field.type) if _is_shape(each)), None),
            field.type == Tokens | None,
        )
        for field in msgspec.structs.fields(shape)
    )


@functools.cache
def _index_members(shape: type[msgspec.Struct]) -> dict[str, _Member]:
    return {member.key: member for member in _list_members(shape)}


def _is_shape(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


@functools.cache
def _make_decoder(shape: type[msgspec.Struct]) -> Any:
    return msgspec.json.Decoder(shape).decode


@functools.cache
def _make_unread_decoder(shape: type[msgspec.Struct]) -> Any:
    """Return a decoder of the shape whose members are not read."""
    unread = msgspec.defstruct(
        f"Unread{shape.__name__}",
        [(member.name, msgspec.Raw, msgspec.field(default=None, name=member.key)) for member in _list_members(shape)],
        frozen=True,
        gc=False,
        array_like=shape.__struct_config__.array_like,
    )
    return msgspec.json.Decoder(unread).decode


_is_present = operator.itemgetter(1)


def decode_partly(text: bytes | memoryview | msgspec.Raw, shape: type[_Shape]) -> _Shape | None:
    """Return the members of a JSON object that have the right type, or None if the text is not such an object.

    Nearly always all of them have. Each level of objects is skipped over three times at most, whatever is in it.
    """
    try:
        return _make_decoder(shape)(text)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        pass
    except _UNREADABLE:
        return None
    try:
        unread = _make_unread_decoder(shape)(text)
    except _UNREADABLE:
        return None
    found: dict[str, Any] = {}
    for member, raw in filter(_is_present, zip(_list_members(shape), msgspec.structs.astuple(unread), strict=True)):
        try:
            found[member.name] = member.decode(raw)
        except _UNREADABLE:
            if member.shape is not None:
                found[member.name] = decode_partly(raw, member.shape)
            elif member.is_count:
                found[member.name] = _decode_count_or_none(raw)
    return shape(**found)


def convert_partly(value: object, shape: type[_Shape]) -> _Shape | None:
    """Return the members of a parsed JSON object that have the right type, or None if it is not such an object."""
    members = _index_members(shape)
    if isinstance(value, list) and shape.__struct_config__.array_like:
        value = dict(zip(members, value, strict=False))
    if not isinstance(value, dict):
        return None
    found: dict[str, Any] = {}
    for key in members.keys() & value.keys():
        member, each = members[key], value[key]
        try:
            found[member.name] = msgspec.convert(each, member.kind)
        except _UNREADABLE:
            if member.shape is not None:
                found[member.name] = convert_partly(each, member.shape)
            elif member.is_count:
                found[member.name] = _read_count_or_none(each)
    return shape(**found)


def _decode_count_or_none(text: msgspec.Raw) -> int | None:
    if len(memoryview(text)) > _MAX_COUNT_BYTES:
        return None
    try:
        return _read_count_or_none(msgspec.json.decode(text))
    except _UNREADABLE:  # a number beyond a float
        return None


def _read_count_or_none(value: object) -> int | None:
    try:
        return read_count(value)
    except RecordError:
        return None
