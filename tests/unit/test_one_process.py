"""The rule of this folder holds: a test that starts a process or opens a socket is refused."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

import one_process
import pytest


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(lambda: subprocess.run([sys.executable, "--version"], check=False), id="a command"),
        pytest.param(lambda: os.system("true"), id="the shell"),  # noqa: S605, S607
        pytest.param(os.fork, id="a fork"),
        pytest.param(lambda: os.posix_spawn(sys.executable, [sys.executable, "--version"], {}), id="a spawned process"),
        pytest.param(lambda: HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler), id="a server"),
        pytest.param(lambda: socket.create_connection(("127.0.0.1", 9)), id="a connection"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the refused server leaves its socket open
def test_what_leaves_the_process_is_refused_and_noted(leave: Callable[[], object]) -> None:
    with one_process.kept() as refused:
        with pytest.raises(one_process.LeftProcessError, match="is for tests/integration"):
            leave()
        assert len(refused) == 1


def test_work_within_the_process_is_not_refused() -> None:
    with one_process.kept() as refused, socket.socket():
        compile("1", "given", "eval")

    assert refused == []


def test_this_folder_refuses_it_by_itself(refusals: list[str]) -> None:
    with pytest.raises(one_process.LeftProcessError):
        subprocess.run([sys.executable, "--version"], check=False)

    (refused,) = refusals
    assert "subprocess.Popen" in refused
    refusals.clear()  # else this test fails at its end
