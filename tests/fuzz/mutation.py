"""A mutation of JSON: one place of one line is changed, and all else stays as it was written, numbers included."""

import json
from collections.abc import Callable
from random import Random
from typing import Any


class Written(str):
    """A piece of JSON as it is written: a number or a constant."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """The members of an object, in order; keys may repeat."""


_PLAIN = r"""
null true false 0 -0 -0.0 1 -1 5.0 5.5 1e2 1E400 -1e400 NaN Infinity -Infinity 100000000 100000001 4294967296
9223372036854775808 18446744073709551616 1795435205 [] {} [[]] [null] {"a":1,"a":2} "" "\u0020" "5" "-5" "5.0"
"05" "1e2" "\u00205" "\u0665" "\ud800" "\u0000" "\ufeff" "\ud83d\ude00" "2026-11-23T12:00:05Z" "2026-11-23"
"2026-11-23T12:00:05.999999999Z" "2026-11-23T12:00:60Z" "2026-11-23T24:00:00Z" "0000-01-01T00:00:00Z"
"0001-01-01T00:00:00+14:00" "9999-12-31T23:59:59-14:00" "10000-01-01T00:00:00Z" "20261123T120005Z"
"2026-W48-1T12:00:05Z" "2026-11-23T12:00:05+24:00" "2026-11-23T12Z" "2026-11-23t12:00:05z"
"\uff12\uff1026-11-23T12:00:05Z" "ModelInvocationLog" "Converse" "InvokeModel" "optimized" "INTERVENED"
"guardrail_intervened" "us.anthropic.claude-sonnet-4-20250514-v1:0" "newcomer.embed-1" "a.b" "global."
"arn:aws:bedrock:::" "arn:aws:iam::111122223333:user/" "s3://bucket/key"
"""
_LARGE = (
    "9" * 4_301,
    "0." + "1" * 900,
    "[" * 1_100 + "]" * 1_100,
    '{"a":' * 300 + "1" + "}" * 300,
    json.dumps("x" * 10_000),
    json.dumps("\xe9\u2028\x7f" * 300),
)
TOKENS = tuple(map(Written, (*_PLAIN.split(), *_LARGE)))

_NAMES = """
timestamp modelId operation requestId schemaType errorCode identity arn requestMetadata team performanceConfig
latency input output inputTokenCount cacheReadInputTokenCount cacheWriteInputTokenCount inputBodyJson
inputBodyS3Path outputTokenCount outputBodyJson outputBodyS3Path usage inputTokens input_tokens prompt_tokens
outputTokens output_tokens completion_tokens prompt_tokens_details cached_tokens totalOutputTextTokenCount
message stopReason cacheReadInputTokens cacheWriteInputTokens cache_read_input_tokens
cache_creation_input_tokens amazon-bedrock-invocationMetrics amazon-bedrock-guardrailAction inferenceConfig
maxTokens max_new_tokens max_tokens textGenerationConfig maxTokenCount max_completion_tokens max_output_tokens
max_tokens_to_sample max_gen_len maxOutputTokens n messageType logEvents id models name kind source
max_output_tokens default_max_tokens burndown rate since status quota_names quota_codes latency_optimized
long_context_above requestPayload projectIdentifier
"""
KEYS = tuple(_NAMES.split())


def parse(text: str) -> Any:
    """Parse JSON so that `write` gives the same text back, but for white space. Raises ValueError."""
    return json.loads(text, object_pairs_hook=Members, parse_int=Written, parse_float=Written, parse_constant=Written)


def write(node: Any) -> str:
    """Write what `parse` returned."""
    if isinstance(node, Members):
        return "{" + ",".join(f"{json.dumps(key)}:{write(value)}" for key, value in node) + "}"
    if isinstance(node, list):
        return "[" + ",".join(map(write, node)) + "]"
    return str(node) if isinstance(node, Written) else json.dumps(node)


def _holders(node: Any) -> list[Any]:
    """Return all objects and lists that hold something."""
    if not isinstance(node, list):
        return []
    values = [value for _, value in node] if isinstance(node, Members) else node
    return [node] * bool(node) + [holder for value in values for holder in _holders(value)]


def _change(node: Any, random: Random) -> None:
    """Change one place."""
    holder = random.choice(_holders(node))
    place = random.randrange(len(holder))
    put: Any = random.choice(TOKENS)
    if isinstance(holder, Members):
        key, value = holder[place]
        act = random.randrange(7)
        if act == 0:
            del holder[place]
        elif act == 1:  # once more, before or after the first
            holder.insert(random.choice([place, len(holder)]), (key, put))
        elif act == 2:
            holder.append((random.choice(KEYS), put))
        elif act == 3:
            holder[place] = (random.choice(KEYS), value)
        elif act == 4:
            other = random.randrange(len(holder))
            holder[place], holder[other] = (key, holder[other][1]), (holder[other][0], value)
        elif act == 5:
            holder[place] = (key, random.choice([[value], Members([(random.choice(KEYS), value)]), [value, put]]))
        else:
            holder[place] = (key, put)
    elif random.random() < 0.3:
        holder.insert(place, holder[place])
    else:
        holder[place] = put


def mutate(data: bytes, max_size: int, seed: int, havoc: Callable[[bytes, int], bytes]) -> bytes:
    """Change one line of JSON lines in one to three places; what is no JSON, and one in ten, is left to `havoc`."""
    random = Random(seed)
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    if random.random() < 0.1:
        return havoc(data, max_size)
    try:
        node = parse(lines[place].decode())
        for _ in range(random.randint(1, 3)):
            _change(node, random)
        lines[place] = write(node).encode(errors="surrogatepass")
    except (ValueError, RecursionError, IndexError):
        return havoc(data, max_size)
    if random.random() < 0.1:
        lines.append(random.choice(lines))
    return b"\n".join(lines)[:max_size]
