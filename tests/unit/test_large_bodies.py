"""Large request bodies in S3: read within bounds, and never a reason to lose a record."""

import gzip
import io
import json
import threading
import time
import tracemalloc
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from bedrock_quota import clients
from bedrock_quota.errors import BodyError
from bedrock_quota.processor import large_bodies
from bedrock_quota.processor.look_up import FetchedBodies, MissingBody
from bedrock_quota.processor.records import RequestBody

BUCKET = "large-bodies"
PATH = f"s3://{BUCKET}/AWSLogs/111122223333/BedrockModelInvocationLogs/us-east-1/2026/11/23/12/data/one_input.json.gz"


class Content(io.BytesIO):
    """Bytes of an object that know how many of them were read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self.taken += len(part)
        return part


class Store:
    """An S3 that holds objects by key, or an error to raise, or seconds to take."""

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self) -> None:
        self.objects: dict[str, bytes | Exception | float] = {}
        self.given: list[Content] = []
        self.began = self.reading = self.most_at_once = 0
        self._turn = threading.Lock()

    def put(self, path: str, content: bytes | Exception | float) -> str:
        self.objects[path.removeprefix(f"s3://{BUCKET}/")] = content
        return path

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - S3's own names
        assert Bucket == BUCKET
        found = self.objects[Key]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, float):
            self.wait(found)
            found = packed({})
        self.given.append(Content(found))
        return {"Body": StreamingBody(self.given[-1], len(found))}  # type: ignore[no-untyped-call]

    def wait(self, seconds: float) -> None:
        with self._turn:
            self.began += 1
            self.reading += 1
            self.most_at_once = max(self.most_at_once, self.reading)
        time.sleep(seconds)
        with self._turn:
            self.reading -= 1


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr(clients, "large_bodies", lambda: made)
    return made


def packed(body: object) -> bytes:
    return gzip.compress(json.dumps(body).encode(), mtime=0)


def reasons(fetched: FetchedBodies) -> Counter[str]:
    return Counter(missing.reason for missing in fetched.missing.values())


def read(store: Store, content: bytes) -> RequestBody:
    return large_bodies.read_body(store.put(PATH, content), BUCKET, store)  # type: ignore[arg-type]


def test_the_limit_is_found_behind_a_long_prompt(store: Store) -> None:
    body = {"messages": [{"role": "user", "content": "word " * 60_000}], "max_tokens": 64_000}
    assert read(store, packed(body)).max_tokens == 64_000


def test_an_odd_body_is_read_as_far_as_it_can_be(store: Store) -> None:
    assert read(store, packed({"max_tokens": "512", "n": 2.0})).max_tokens == 512


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"plain", "not_gzip"),
        (packed({"max_tokens": 5})[:-9], "cut_short"),
        (gzip.compress(b"\x00" * (large_bodies.MAX_BODY_BYTES + 1), mtime=0), "too_large"),
        (gzip.compress(b"{", mtime=0), "not_json"),
        (packed([1]), "not_an_object"),
    ],
    ids=["plain text", "cut short", "too large", "no JSON", "a list"],  # gzip writes the time into its output
)
def test_what_is_no_body_is_refused_with_a_reason(store: Store, content: bytes, reason: str) -> None:
    with pytest.raises(BodyError) as caught:
        read(store, content)
    assert caught.value.reason == reason


def test_a_body_of_the_largest_size_is_read(store: Store) -> None:
    filling = large_bodies.MAX_BODY_BYTES - len('{"max_tokens":7,"prompt":""}')
    text = '{"max_tokens":7,"prompt":"' + "x" * filling + '"}'
    assert len(text) == large_bodies.MAX_BODY_BYTES
    assert read(store, gzip.compress(text.encode())).max_tokens == 7


@pytest.mark.parametrize("path", [f"s3://{BUCKET}-2/key", f"https://{BUCKET}/key", f"s3://{BUCKET}", "s3:///key", ""])
def test_no_other_bucket_is_ever_read(store: Store, path: str) -> None:
    with pytest.raises(BodyError, match="another_bucket"):
        large_bodies.read_body(path, BUCKET, store)  # type: ignore[arg-type]


def test_bodies_that_cannot_be_read_are_counted_and_the_others_come(
    store: Store,
) -> None:
    # given a good one, two broken ones and one that S3 refuses
    good = store.put(f"s3://{BUCKET}/good", packed({"max_tokens": 9}))
    paths = {good, store.put(f"s3://{BUCKET}/a", b"plain"), store.put(f"s3://{BUCKET}/b", b"text")}
    paths.add(store.put(f"s3://{BUCKET}/c", PermissionError("no")))
    paths.add(store.put(f"s3://{BUCKET}/d", ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")))
    # when
    fetched = large_bodies.fetch_bodies(paths, BUCKET)
    # then
    assert fetched.found == {good: RequestBody(max_tokens=9)}
    assert reasons(fetched) == {"not_gzip": 2, "PermissionError": 1, "NoSuchKey": 1}
    assert fetched.missing.keys() == paths - {good}


def test_slow_bodies_are_not_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "SECONDS_PER_DELIVERY", 0.05)
    monkeypatch.setattr(large_bodies, "SECONDS_TO_END", 0.05)
    slow = {store.put(f"s3://{BUCKET}/{number}", 0.4) for number in range(6)}
    began = time.monotonic()
    fetched = large_bodies.fetch_bodies(slow, BUCKET)
    assert time.monotonic() - began < 0.35
    assert not fetched.found
    assert fetched.missing == dict.fromkeys(slow, MissingBody("too_slow"))
    # and those that had begun end by themselves, and no other begins
    time.sleep(0.5)
    assert store.most_at_once == large_bodies.PARALLEL_READS
    assert store.began == large_bodies.PARALLEL_READS


def test_no_more_than_the_bound_are_read_for_one_delivery(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "MAX_BODIES", 3)
    paths = [store.put(f"s3://{BUCKET}/{number}", packed({"max_tokens": number})) for number in range(5)]

    fetched = large_bodies.fetch_bodies(paths, BUCKET)

    assert [body.max_tokens for body in fetched.found.values()] == [0, 1, 2]
    assert fetched.missing == dict.fromkeys(paths[3:], MissingBody("too_many"))


def test_a_body_that_comes_too_slowly_is_given_up_and_let_go(store: Store) -> None:
    path = store.put(PATH, packed({"max_tokens": 5}))

    with pytest.raises(BodyError, match="too_slow"):
        large_bodies.read_body(path, BUCKET, store, deadline=time.monotonic() - 1)  # type: ignore[arg-type]

    assert store.given[0].closed


def test_a_body_that_becomes_large_is_not_inflated_beyond_the_bound(store: Store) -> None:
    # given 100 KB that become 100 MB, many times over in one chunk as it comes
    bomb = gzip.compress(b"\x00" * 100_000_000, mtime=0)
    tracemalloc.start()
    try:
        # when
        with pytest.raises(BodyError, match="too_large"):
            read(store, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # then there was one buffer of the largest size, and little beside it
    assert peak < 1.5 * large_bodies.MAX_BODY_BYTES


def test_what_comes_after_the_body_is_not_read(store: Store) -> None:
    body = packed({"max_tokens": 5})

    assert read(store, body + b"\x00" * 10_000_000).max_tokens == 5
    assert store.given[0].taken < 1_000_000
    assert store.given[0].closed


def test_what_was_read_of_a_refused_body_is_let_go(store: Store) -> None:
    # given forty bodies that are a little too large
    refused = gzip.compress(b" " * (large_bodies.MAX_BODY_BYTES + 1), mtime=0)
    paths = [store.put(f"s3://{BUCKET}/{number}", refused) for number in range(40)]
    tracemalloc.start()
    try:
        # when
        assert not large_bodies.fetch_bodies(paths, BUCKET).found
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # then no more were held than are read at a time
    assert peak < 1.5 * large_bodies.PARALLEL_READS * large_bodies.MAX_BODY_BYTES


def test_nothing_is_asked_where_no_body_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(clients, "large_bodies")
    assert large_bodies.fetch_bodies(set(), BUCKET) == FetchedBodies()


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetObject")


@pytest.mark.parametrize(
    ("content", "may_come"),
    [
        pytest.param(refused("NoSuchKey"), True, id="404, with the right to list"),
        pytest.param(refused("AccessDenied"), True, id="403, without the right to list"),
        pytest.param(refused("SlowDown"), True, id="S3 is busy"),
        pytest.param(ConnectionError("no"), True, id="S3 does not answer"),
        pytest.param(b"plain", False, id="plain text"),
        pytest.param(packed({"max_tokens": 5})[:-9], False, id="cut short"),
        pytest.param(gzip.compress(b"{", mtime=0), False, id="no JSON"),
        pytest.param(packed([1]), False, id="a list"),
    ],
)
def test_a_body_may_still_come_unless_what_is_there_is_none(
    store: Store, content: bytes | Exception, may_come: bool
) -> None:
    path = store.put(PATH, content)

    (missing,) = large_bodies.fetch_bodies([path], BUCKET).missing.values()

    assert missing.may_come is may_come


def test_a_body_in_another_bucket_never_comes(store: Store) -> None:  # noqa: ARG001 - nothing is asked of it
    path = f"s3://{BUCKET}-2/key"
    fetched = large_bodies.fetch_bodies([path], BUCKET)
    assert fetched.missing == {path: MissingBody("another_bucket", may_come=False)}


def test_without_a_client_every_body_may_still_come(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("no memory")

    monkeypatch.setattr(clients, "large_bodies", broken)

    assert large_bodies.fetch_bodies([PATH], BUCKET) == FetchedBodies(missing={PATH: MissingBody("OSError")})
