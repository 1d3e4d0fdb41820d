"""Memory: the worst deliveries that are accepted stay under the smallest Lambda's, and a bomb is refused within it."""

import json
import sys

import pytest
from records import failed
from samcli.yamlhelper import yaml_parse

from bedrock_quota.processor import large_bodies
from bedrock_quota.processor.delivery import MAX_INFLATED_BYTES, MAX_LOG_EVENTS, MAX_TEXT_BYTES
from benchmarks import memory
from benchmarks.memory import LIMIT, MESSAGES, UNLIMITED, filled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and peaks are read as Linux gives them")

SMALL, IN_S3, TAGGED = (
    "small records, all different",
    "small records whose body is in S3",
    "records with 16 long tags each",
)


@pytest.mark.parametrize(
    "name",
    [
        SMALL,
        "small records of listed models, all different",
        IN_S3,
        TAGGED,
        "records of 1 MB with an emoji each",
        "records of 1 MB read the slow way, all lists",
        "records of 100 KB read the slow way, lists in lists",
        "records of 100 KB read the slow way, all objects",
        "records of 1 MB read the slow way, all numbers",
        "records of 1 MB whose answer is empty objects, no counts",
        "records of 1 MB read the slow way, all escapes",
        "records of a profile with 1,366 short tags each",
        "failed calls of a profile with 1,366 short tags each",
        "records with 1,366 short tags each whose body is in S3",
        "records of 1 MB of brackets",
        "one record of 15 MB with an emoji",
        "one record with a number of 15 MB",
    ],
)
def test_worst_accepted_delivery_takes_less_than_128_mb(name: str) -> None:
    # given a delivery that inflates to exactly the bound
    event = filled(MESSAGES[name])
    # when a fresh process may map no more than 128 MB
    (done,) = memory.run([event])
    # then it is processed
    assert done.answer is not None
    assert done.answer["received"] > 0
    assert done.resident < LIMIT


@pytest.mark.parametrize("size", [large_bodies.MAX_BODY_BYTES, large_bodies.MAX_BODY_BYTES + 1])
def test_worst_delivery_whose_bodies_are_in_s3_fits_the_function_as_it_is_deployed(size: int) -> None:
    # given as many records as a delivery can hold, each with a body of the largest size, or a little more, in S3
    with memory.bodies_in_s3(size) as environment:
        # when they are processed with all that the template switches on
        (done,) = memory.run([filled(MESSAGES[IN_S3])], environment, memory.UNLIMITED)
    # then it takes less than the function has
    assert done.answer is not None
    assert done.resident < deployed_memory()


def test_worst_delivery_after_hostile_names_leaves_room_for_lambdas_runtime() -> None:
    # given a container that remembers as many names as it can, as long as they can be
    hostile = list(memory.hostile_names())
    with memory.bodies_in_s3(large_bodies.MAX_BODY_BYTES) as environment:
        # when the worst delivery comes
        *before, done = memory.run(
            [*hostile, filled(MESSAGES[IN_S3])], memory.ENVIRONMENT | environment, memory.UNLIMITED
        )
    # then a quarter of what the function has is left
    *named, unreadable = [each.answer for each in before]
    assert all(answer is not None and answer["processed"] for answer in named)
    assert unreadable == {"received": 16, "processed": 0}
    assert done.answer is not None
    assert done.resident < deployed_memory() * 3 // 4


def deployed_memory() -> int:
    """The processor's memory in bytes, as the template sets it."""
    template = yaml_parse(memory.ROOT.joinpath("template.yaml").read_text(encoding="utf-8"))
    return int(template["Resources"]["MetricProcessorFunction"]["Properties"]["MemorySize"]) * 1024 * 1024


def test_worst_batch_of_a_stream_takes_less_than_128_mb() -> None:
    (done,) = memory.run([memory.batch()])

    assert done.answer == {"batchItemFailures": []}


def test_nothing_of_one_group_is_kept_while_the_next_is_read() -> None:
    # given a batch of the worst delivery, and one of two of them, which are written in two groups
    one, two = memory.groups(1), memory.groups(2)
    # when each is processed in a fresh process
    (first,), (second,) = (memory.run([each], limit=memory.UNLIMITED) for each in (one, two))
    # then the second takes little more: 20 MiB were seen, of ids and names, and 37 where the first group was kept
    assert first.answer == second.answer == {"batchItemFailures": []}
    assert second.resident - first.resident < 28 * 2**20


@pytest.mark.parametrize("name", memory.LATE_TAGS)
def test_late_calls_of_a_full_batch_of_a_stream_take_less_than_128_mb(name: str) -> None:
    # given ten deliveries of 1,000 calls whose bodies are not there yet, as large as calls can be
    with memory.no_bodies_in_s3() as environment:
        # when they are set aside, with all that the template switches on
        (done,) = memory.run([memory.late_batch(memory.LATE_TAGS[name])], memory.ENVIRONMENT | environment, UNLIMITED)
    # then they take little more than the libraries: 220 MiB were seen where a group took all of them
    assert done.answer == {"batchItemFailures": []}
    assert done.resident < LIMIT


@pytest.mark.parametrize("name", ["small records with an emoji each", "records of 1 MB with an emoji each"])
def test_largest_delivery_that_is_decoded_as_text_at_once_does_too(name: str) -> None:
    (done,) = memory.run([filled(MESSAGES[name], inflated=MAX_TEXT_BYTES)])

    assert done.answer is not None
    assert done.answer["processed"] == done.answer["received"] > 0
    assert done.resident < LIMIT


def test_one_more_byte_is_refused() -> None:
    (done,) = memory.run([filled(MESSAGES[SMALL], inflated=MAX_INFLATED_BYTES + 1)])

    assert done.error == f"DeliveryError: awslogs.data inflates to more than {MAX_INFLATED_BYTES} bytes"


def test_bomb_of_450_mb_is_refused_loudly_within_128_mb() -> None:
    event = memory.bomb()
    assert 500_000 < len(event) < 1_000_000

    (done,) = memory.run([event])

    assert done.error == f"DeliveryError: awslogs.data inflates to more than {MAX_INFLATED_BYTES} bytes"
    assert done.resident < LIMIT // 2  # nothing was inflated beyond the bound


def test_limit_is_really_enforced() -> None:
    with pytest.raises(MemoryError):
        memory.run([filled(MESSAGES[SMALL])], limit=LIMIT // 2)


def test_more_log_events_than_a_delivery_may_hold_do_not_fit_into_the_bound() -> None:
    # given the smallest record that Bedrock writes, that of a failed call, without any white space
    event = {"id": "0" * 56, "timestamp": 1_795_435_200_000, "message": compact(failed())}

    assert MAX_LOG_EVENTS * len(compact(event)) > MAX_INFLATED_BYTES


def compact(entry: object) -> str:
    return json.dumps(entry, separators=(",", ":"))
