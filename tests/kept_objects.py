"""An S3 bucket of failed deliveries that checks the conditions of writes, as moto's does not, and dates its objects."""

import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

KEPT_AT = datetime(2026, 11, 23, tzinfo=UTC)


def error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


class Objects:
    """The bucket's objects by key. `before_call` and `after_call` get the name of each call, and may stop it."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects
        self.written: list[str] = []
        self.before_call: Callable[[str], None] = lambda _name: None
        self.after_call: Callable[[str], None] = lambda _name: None

    def _call(self, name: str, work: Callable[[], Any]) -> Any:
        self.before_call(name)
        answer = work()
        self.after_call(name)
        return answer

    def get_paginator(self, _operation: str) -> Any:
        return self

    def paginate(self, **_of: str) -> Any:
        return [{"Contents": [{"Key": key, "Size": 1, "LastModified": KEPT_AT}]} for key in sorted(self.objects)]

    def get_object(self, Key: str, **_of: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        return self._call("get_object", lambda: self._get(Key))  # type: ignore[no-any-return]

    def _get(self, key: str) -> dict[str, Any]:
        if key not in self.objects:
            raise error("NoSuchKey", "GetObject")
        return {"Body": io.BytesIO(self.objects[key]), "ETag": self._etag(key)}

    def put_object(self, Key: str, Body: bytes, **conditions: str) -> dict[str, str]:  # noqa: N803
        return self._call("put_object", lambda: self._put(Key, Body, conditions))  # type: ignore[no-any-return]

    def _put(self, key: str, body: bytes, conditions: dict[str, str]) -> dict[str, str]:
        found = self._etag(key) if key in self.objects else None
        if "IfNoneMatch" in conditions and found is not None:
            raise error("PreconditionFailed", "PutObject")
        if "IfMatch" in conditions and found is None:
            raise error("NoSuchKey", "PutObject")
        if "IfMatch" in conditions and found != conditions["IfMatch"]:
            raise error("PreconditionFailed", "PutObject")
        self.objects[key] = body
        self.written.append(key)
        return {"ETag": self._etag(key)}

    def delete_object(self, Key: str, **_of: str) -> None:  # noqa: N803
        self._call("delete_object", lambda: self.objects.pop(Key, None))

    def _etag(self, key: str) -> str:
        return f'"{hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()}"'
