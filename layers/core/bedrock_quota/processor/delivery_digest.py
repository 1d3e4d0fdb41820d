"""The digest of a delivery: equal for the same log events of the same source, and for no others."""

import hashlib

from bedrock_quota.processor.delivery import Delivery, Message


def digest_delivery(received: Delivery) -> str:
    """Return the digest that identifies a delivery: of its source and its events' ids, or texts if they have none."""
    digest = hashlib.sha256(f"{received.owner}\n{received.log_group}\n".encode())
    for event in received.log_events:
        digest.update(event.id.encode() if event.id else hashlib.sha256(_encode_utf8(event.message)).digest())
        digest.update(b"\n")
    return digest.hexdigest()


def _encode_utf8(message: Message) -> bytes:
    return message if isinstance(message, bytes) else message.encode()
