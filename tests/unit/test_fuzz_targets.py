"""The fuzzer's targets hold for their own seeds, and for what it once found; `make fuzz` looks for more."""

from contextlib import suppress
from random import Random

import pytest
from fuzz import mutation
from fuzz.targets import TARGETS, record_seeds

FOUND = (
    pytest.param("model_id", b"global.", id="a profile of no model"),  # named the model ""
    pytest.param("failed_delivery", b'"\xf1', id="an answer that is not UTF-8"),
    pytest.param("failed_delivery", b"[]", id="an answer that is no object"),
    pytest.param("failed_delivery", b'{"requestPayload":' + b"[" * 1_100 + b"]" * 1_100 + b"}", id="deep nesting"),
    pytest.param(
        "records", b'{"timestamp":"9999-12-31T23:59:59-14:00","modelId":"a.b"}', id="a time before the last year ends"
    ),  # bad or too far ahead
    pytest.param(
        "records", b'{"timestamp":"\\ud800","modelId":"a.b"}', id="a time that is a lone surrogate"
    ),  # cost the whole delivery
    pytest.param(
        "records",
        b'{"timestamp":"the treasure lies under the oak","modelId":"a.b","errorCode":"E"}',
        id="a time that is a prompt",
    ),  # the cause of the error repeated it
    pytest.param(
        "records",
        b'{"timestamp":"2026-11-23T12:00:05Z","modelId":"a.b","input":{"inputTokenCount":1,"inputBodyJson":'
        b'{"additionalModelRequestFields":{"max_tokens":[1e999]}}},"output":{"outputTokenCount":1}}',
        id="a further limit beyond a float",
    ),  # cost the whole delivery
    pytest.param(  # counts of a failed call were looked for in its answer
        "records",
        b'{"timestamp":"2026-11-23T12:00:05Z","modelId":"a.b","errorCode":"E","output":{"outputBodyJson":{"usage":'
        b'{"prompt_tokens_details":{"cached_tokens":[20]},"output_tokens":"x"}}}}',
        id="counts in the answer of a failed call",
    ),
    pytest.param(
        "delivery",
        b'2{"messageType":"DATA_MESSAGE","owner":"\xb1","logEvents":[{"message":"a"}]}',
        id="an owner that is not UTF-8",
    ),
)


@pytest.mark.parametrize("name", TARGETS)
def test_target_holds_for_its_seeds(name: str) -> None:
    for seed in TARGETS[name].seeds:  # a target that does not hold raises
        TARGETS[name].check(seed)


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_target_holds_for_what_was_found(name: str, data: bytes) -> None:
    TARGETS[name].check(data)  # raises if it does not hold


def test_mutation_keeps_what_it_does_not_change() -> None:
    text = '{"a":1e2,"a":[-0,NaN,{"b":null}],"c":"\\ud800"}'

    assert mutation.write(mutation.parse(text)) == text


def test_mutations_differ_and_are_json() -> None:
    seed = record_seeds()[0]
    made = {mutation.mutate(seed, 100_000, number, lambda data, _size: data) for number in range(200)}

    assert len(made) > 150
    for data in made:
        for line in data.decode(errors="surrogatepass").split("\n"):
            with suppress(RecursionError):  # one of the pieces is that deep
                mutation.parse(line)


def test_mutation_is_repeatable() -> None:
    number = Random(4).randrange(1_000)

    made = [mutation.mutate(record_seeds()[1], 100_000, number, lambda data, _size: data) for _ in range(2)]

    assert made[0] == made[1]
