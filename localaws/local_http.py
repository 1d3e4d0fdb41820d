"""Send requests to servers on this machine, without a proxy and with a short timeout."""

import http.client
from urllib.parse import urlsplit

from localaws.errors import LocalAwsError


class UnansweredError(LocalAwsError):
    """There was no answer, or its status was not 200."""


def request(method: str, url: str, *, timeout_seconds: float = 5.0) -> bytes:
    """Return the body of the answer. Raises `UnansweredError`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_seconds)
    try:
        connection.request(method, parts.path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise UnansweredError(f"{method} {url}: {error}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise UnansweredError(f"{method} {url}: {response.status} {body[:200]!r}")
    return body


def answers(url: str) -> bool:
    """Return True if a GET is answered with 200."""
    try:
        request("GET", url, timeout_seconds=2.0)
    except UnansweredError:
        return False
    return True
