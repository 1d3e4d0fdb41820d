"""Run MiniStack, the emulator, as a background process. Only this machine can reach it, and it keeps no data.

MiniStack runs Lambda functions with its own Python interpreter, which is this one. They inherit its environment.
"""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localaws import local_http, process
from localaws.account import LOOPBACK, Account
from localaws.errors import LocalAwsError
from localaws.process import Process

_HELD_SECONDS = 10.0

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH")


def environment(account: Account, port: int, scratch: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of MiniStack and its functions, without the user's AWS, Docker and proxy settings."""
    return {
        **{name: inherited[name] for name in _INHERITED if name in inherited},
        **account.credentials(),
        "AWS_ENDPOINT_URL_SERVICE_QUOTAS": account.service_quotas_url,  # the functions ask the sidecar
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": LOOPBACK,
        "MINISTACK_ACCOUNT_ID": account.id,
        "MINISTACK_REGION": account.region,
        "TMPDIR": str(scratch),
        "STATE_DIR": str(scratch / "state"),
        "S3_DATA_DIR": str(scratch / "s3"),
        "DOCKER_HOST": f"unix://{scratch / 'no-docker'}",  # MiniStack must not see or remove the user's containers
        "SFTP_ENABLED": "0",  # this and the next would open more ports
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_WARM_TTL_SECONDS": "60",
        "LOG_LEVEL": "WARNING",
        "TZ": "UTC",
    }


def start(account: Account, port: int, *, scratch: Path, log: Path) -> Process:
    """Start MiniStack. It answers some time later, see `wait_until_ready`."""
    return process.start_module(
        "localaws.ministack_patches", environment=environment(account, port, scratch, os.environ), log=log
    )


def is_ready(account: Account) -> bool:
    """Return True if MiniStack answers."""
    return local_http.answers(f"{account.endpoint_url}/_ministack/ready")


def wait_until_ready(running: Process, account: Account, log: Path) -> None:
    """Return as soon as MiniStack answers. Raise an error if it has ended or takes too long."""
    process.wait_until(running, lambda: is_ready(account), "the emulator", log)


def dump_state(running: Process, scratch: Path) -> dict[str, Any]:
    """Return the emulator's state by service, as it would save it for its next start. Tests use this."""
    written = scratch / "state" / "held.json"
    written.unlink(missing_ok=True)
    os.kill(running.pid, signal.SIGUSR1)
    deadline = time.monotonic() + _HELD_SECONDS
    while not written.exists():
        if time.monotonic() > deadline:
            raise LocalAwsError(f"the emulator did not write its state within {_HELD_SECONDS:.0f} s")
        time.sleep(0.02)
    found: dict[str, Any] = json.loads(written.read_bytes())
    return found
