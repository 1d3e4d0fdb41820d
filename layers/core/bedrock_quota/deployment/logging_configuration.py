"""The account's invocation-logging configuration, read and written as raw JSON.

boto3 drops the members of an answer that its service model does not know, and refuses them in a request. The model of
the Lambda runtime depends on the runtime's version and the Region (Lambda Developer Guide, Building Lambda functions
with Python, read 2026-11-28). So the members are carried as the texts that Bedrock returned. Only `cloudWatchConfig`
is ever changed, and in it only the members that this module names.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.errors import QuotaMonitorError

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

Configuration = Mapping[str, msgspec.Raw]
"""The members of a configuration by name, each as the JSON text that Bedrock returned."""

_GET = "after-call.bedrock.GetModelInvocationLoggingConfiguration"
_PUT = "before-call.bedrock.PutModelInvocationLoggingConfiguration"
"""Events of botocore: an answer has arrived, and a request is complete but not signed."""

_CLOUDWATCH = "cloudWatchConfig"
_GROUP, _ROLE, _LARGE, _BUCKET, _PREFIX = (
    "logGroupName",
    "roleArn",
    "largeDataDeliveryS3Config",
    "bucketName",
    "keyPrefix",
)

_KIND_OF_DATA = "DeliveryEnabled"
"""End of the name of every member that switches a kind of data on or off."""

_TEXT = f"textData{_KIND_OF_DATA}"

_KINDS_OF_DATA = ("textData", "imageData", "embeddingData", "videoData", "audioData")
"""Kinds of data in a configuration (Bedrock API reference, LoggingConfig, read 2026-11-28)."""


class ConfigurationUnreadableError(QuotaMonitorError):
    """Bedrock returned a configuration that is not what its API documents. Nothing may be put in its place."""


class LargeBodies(msgspec.Struct, frozen=True):
    """The place where Bedrock stores bodies over 100 KB: a bucket and a key prefix."""

    bucket: str
    prefix: str = ""

    @property
    def folder(self) -> str:
        """Bucket and beginning of the keys that Bedrock writes: the prefix, if there is one, and `AWSLogs/`."""
        return "/".join(filter(None, (self.bucket, self.prefix.strip("/"), "AWSLogs/")))


class _Answer(msgspec.Struct):
    configuration: dict[str, msgspec.Raw] | None = msgspec.field(default=None, name="loggingConfig")


def read_configuration(client: BedrockClient) -> Configuration | None:
    """Return the account's configuration in this Region, or None.

    Propagates botocore errors. Raises `ConfigurationUnreadableError` if the answer is not a JSON object, or if boto3
    cannot parse it.
    """
    answers: list[bytes] = []

    def keep(http_response: Any, **_call: object) -> None:
        answers.append(http_response.content)

    try:
        with _handle(client, _GET, keep):
            client.get_model_invocation_logging_configuration()
        return msgspec.json.decode(answers[-1] or b"{}", type=_Answer).configuration or None
    except (BotoCoreError, ClientError):
        raise
    except Exception as error:
        raise ConfigurationUnreadableError(
            "Bedrock's answer to GetModelInvocationLoggingConfiguration cannot be read: "
            f"{type(error).__name__}: {error}"
        ) from error


def put_configuration(client: BedrockClient, configuration: Configuration) -> None:
    """Replace the account's configuration, member by member as given. Propagates botocore errors."""
    body = msgspec.json.encode({"loggingConfig": configuration})

    def replace(params: dict[str, Any], **_call: object) -> None:
        params["body"] = body

    with _handle(client, _PUT, replace):
        client.put_model_invocation_logging_configuration(loggingConfig={})


@contextlib.contextmanager
def _handle(client: BedrockClient, event: str, handler: Callable[..., None]) -> Iterator[None]:
    client.meta.events.register(event, handler)
    try:
        yield
    finally:
        client.meta.events.unregister(event, handler)


def make_text_only(client: BedrockClient) -> Configuration:
    """Return a new configuration for request and response texts, because `max_tokens` is in the request.

    Every other kind of data is switched off by name, because a kind that is not named may be switched on: video was
    (hashicorp/terraform-provider-aws, issue 41312, read 2026-11-28). The kinds are the documented ones, and those that
    only the SDK knows.
    """
    members: Any = client.meta.service_model.shape_for("LoggingConfig").members  # type: ignore[attr-defined]
    known = (name for name in members if name.endswith(_KIND_OF_DATA))
    names = dict.fromkeys([*(f"{kind}{_KIND_OF_DATA}" for kind in _KINDS_OF_DATA), *known])
    return {name: _encode(name == _TEXT) for name in names}


def list_unwanted_kinds(configuration: Configuration | None, asked: Configuration) -> list[str]:
    """Return the members by which Bedrock delivers a kind of data that `asked` did not name."""
    return [
        name
        for name in configuration or {}
        if name.endswith(_KIND_OF_DATA) and name not in asked and _parse(configuration, name) is True
    ]


def switch_off(configuration: Configuration, names: list[str]) -> Configuration:
    """Return a configuration with these members false."""
    return {**configuration, **dict.fromkeys(names, _encode(False))}


def deliver_to(
    configuration: Configuration, log_group: str, role_arn: str, large_bodies: LargeBodies | None
) -> Configuration:
    """Return a configuration that delivers to a log group, with a role, and large bodies to a bucket or nowhere.

    All other members stay as they are, also inside of `cloudWatchConfig`.
    """
    present = _members(configuration.get(_CLOUDWATCH))
    delivery = {**present, _GROUP: _encode(log_group), _ROLE: _encode(role_arn)}
    if large_bodies is None:
        delivery.pop(_LARGE, None)
    elif large_bodies != configured_large_bodies(configuration):
        prefix = {_PREFIX: large_bodies.prefix} if large_bodies.prefix else {}
        delivery[_LARGE] = _encode({_BUCKET: large_bodies.bucket, **prefix})
    return {**configuration, _CLOUDWATCH: _encode(delivery)}


def encode_delivery(configuration: Configuration | None) -> str:
    """Return `cloudWatchConfig` as JSON, as Bedrock returned it, or an empty text if there is none."""
    raw = (configuration or {}).get(_CLOUDWATCH)
    return "" if raw is None else bytes(raw).decode()


def restore_delivery(configuration: Configuration, delivery: str) -> Configuration:
    """Return a configuration with this JSON as `cloudWatchConfig`, or without it if the text is empty.

    All other members stay as they are. A text that is not JSON counts as empty.
    """
    try:
        json.loads(delivery)
    except ValueError:
        return {name: value for name, value in configuration.items() if name != _CLOUDWATCH}
    return {**configuration, _CLOUDWATCH: msgspec.Raw(delivery.encode())}


def delivers_elsewhere(configuration: Configuration | None) -> bool:
    """Return True if a configuration has a destination beside CloudWatch Logs.

    A destination is an object, such as `s3Config`, also one that no SDK knows yet.
    """
    return any(_object(configuration, name) for name in configuration or {} if name != _CLOUDWATCH)


def is_text_only(configuration: Configuration) -> bool:
    """Return True if a configuration has only switches for kinds of data, set as `make_text_only` sets them.

    A switch that Bedrock may have added by itself, of a kind that is not documented, can have either value.
    """
    asked: dict[str, bool] = {f"{kind}{_KIND_OF_DATA}": kind == "textData" for kind in _KINDS_OF_DATA}
    found = {name: value for name, value in _parse_all(configuration).items() if value is not None}
    return all(
        name.endswith(_KIND_OF_DATA) and isinstance(value, bool) and value is asked.get(name, value)
        for name, value in found.items()
    )


def list_kinds_beside_text(configuration: Configuration) -> list[str]:
    """Return the members by which Bedrock delivers another kind of data than text."""
    return list_unwanted_kinds(configuration, {_TEXT: _encode(True)})


def is_same(one: Configuration | None, other: Configuration | None) -> bool:
    """Return True if two configurations have the same members, in any order and notation."""
    return _parse_all(one) == _parse_all(other)


def is_same_delivery(one: Configuration | None, other: Configuration | None) -> bool:
    """Return True if two configurations deliver to the same log group with the same role, and large bodies as well.

    Their other members are the owner's, and Bedrock may return more of them than it was given.
    """
    return _delivery(one) == _delivery(other)


def _delivery(configuration: Configuration | None) -> tuple[str | None, str | None, LargeBodies | None]:
    return (
        configured_log_group(configuration),
        configured_role(configuration),
        configured_large_bodies(configuration),
    )


def configured_log_group(configuration: Configuration | None) -> str | None:
    """Return the log group that a configuration delivers to, or None."""
    return _text(_object(configuration, _CLOUDWATCH).get(_GROUP))


def configured_role(configuration: Configuration | None) -> str | None:
    """Return the ARN of the role with which Bedrock writes to CloudWatch Logs, or None."""
    return _text(_object(configuration, _CLOUDWATCH).get(_ROLE))


def configured_large_bodies(configuration: Configuration | None) -> LargeBodies | None:
    """Return the place where a configuration delivers large bodies, or None."""
    found = _object(configuration, _CLOUDWATCH).get(_LARGE)
    place = found if isinstance(found, dict) else {}
    bucket = _text(place.get(_BUCKET))
    return LargeBodies(bucket, _text(place.get(_PREFIX)) or "") if bucket else None


def delivers_text(configuration: Configuration) -> bool:
    """Return False if the owner has switched the delivery of texts off."""
    return _parse(configuration, _TEXT) is not False


def _parse(configuration: Configuration | None, name: str) -> Any:
    """Return the value of a member, or None."""
    raw = (configuration or {}).get(name)
    return None if raw is None else json.loads(bytes(raw))


def _parse_all(configuration: Configuration | None) -> dict[str, Any]:
    return {name: json.loads(bytes(raw)) for name, raw in (configuration or {}).items()}


def _object(configuration: Configuration | None, name: str) -> dict[str, Any]:
    found = _parse(configuration, name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _members(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """Return the members of an object, or none of any other value."""
    found = raw is not None and isinstance(json.loads(bytes(raw)), dict)
    members: dict[str, msgspec.Raw] = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]) if found and raw else {}
    return members


def _encode(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
