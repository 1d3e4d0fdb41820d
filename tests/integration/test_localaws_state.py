"""What runs, known again later: processes, ports, the state file, and whom clients reach."""

import os
import signal
import socket
import sys
import time

import boto3
import pytest

from localaws import emulator, instance, process
from localaws.account import Account
from localaws.errors import LocalAwsError
from localaws.process import Process
from localaws.state import Ports, State, StateDirectory

ACCOUNT = Account("http://127.0.0.1:1", "http://127.0.0.1:2", "eu-west-1")
SLEEPER = "import subprocess, sys, time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def home(tmp_path):
    return StateDirectory(tmp_path / "state")


def start(tmp_path, code):
    return process.start([sys.executable, "-c", code], dict(os.environ), tmp_path / "log")


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_is_known_again_until_it_is_stopped(tmp_path):
    running = start(tmp_path, SLEEPER)
    assert running.alive()
    assert Process(running.pid, running.started).alive()
    assert not Process(running.pid, "long ago").alive()  # the pid of another
    running.stop()
    assert not running.alive()
    running.stop()


def test_a_process_that_was_killed_is_not_alive(tmp_path):
    running = start(tmp_path, SLEEPER)
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not running.alive())


def test_a_process_that_ignores_the_first_signal_is_stopped_all_the_same(tmp_path):
    running = start(tmp_path, f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}")
    wait_for(lambda: process.read_tail(tmp_path / "log") == "up")
    running.stop(grace_seconds=0.2)
    assert not running.alive()


def test_what_a_process_started_ends_with_it(tmp_path):
    child = "import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    running = start(tmp_path, child + "print(p.pid, flush=True); import time; time.sleep(60)")
    wait_for(lambda: process.read_tail(tmp_path / "log").isdigit())
    child_pid = int(process.read_tail(tmp_path / "log"))
    running.stop()
    wait_for(lambda: process._start_time(child_pid) is None)


def test_a_process_that_ends_instead_of_getting_ready_shows_its_log(tmp_path):
    running = start(tmp_path, "import time; time.sleep(0.2); print('address already in use')")
    with pytest.raises(LocalAwsError, match=r"(?s)the emulator has ended.*address already in use"):
        process.wait_until(running, lambda: False, "the emulator", tmp_path / "log")


def test_ports_are_free_until_taken():
    ports = Ports.free()
    assert ports.emulator != ports.sidecar
    assert ports.are_free()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.sidecar))
        taken.listen()
        assert not ports.are_free()


def test_the_state_is_read_as_it_was_written(home):
    state = State("eu-west-1", "s", Ports(1, 2, 3), emulator=Process(3, "4"))
    home.write(state)
    assert home.read() == state
    assert state.account() == ACCOUNT
    assert state.processes() == [Process(3, "4")]


def test_a_state_that_cannot_be_read_says_what_to_do(home):
    assert home.find() is None
    with pytest.raises(LocalAwsError, match="There is no local stack in"):
        home.read()
    home.path.mkdir()
    (home.path / "state.json").write_text("{}")
    with pytest.raises(LocalAwsError, match=r"Delete the file, and try again\."):
        home.read()


def test_two_commands_do_not_work_on_one_directory(home):
    with (
        home.locked(),
        pytest.raises(LocalAwsError, match=r"Another command is using .*\. Wait until it has finished\."),
        home.locked(),
    ):
        pytest.fail("both are in")
    with home.locked():
        pass


def test_nothing_runs_in_a_directory_that_is_not_there(tmp_path):
    assert instance.status(tmp_path / "absent") == instance.Status()
    assert not instance.down(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_stale_processes_are_told_and_cleared_away(home):
    gone = Process(os.getpid(), "long ago")
    home.write(State("us-east-1", "s", Ports.free(), emulator=gone, sidecar=gone))
    found = instance.status(home.path)
    assert found.instance is None
    assert [text.partition(".")[0] for text in found.trouble] == [
        "The emulator is not running",
        "The sidecar is not running",
    ]
    assert not instance.down(home.path)
    assert home.read().processes() == []
    assert instance.status(home.path) == instance.Status()


def test_the_emulator_sees_nothing_of_the_users_settings(tmp_path):
    inherited = {
        "AWS_PROFILE": "production",
        "DOCKER_HOST": "tcp://x",
        "HTTP_PROXY": "x",
        "PYTHONPATH": "x",
        "PATH": "p",
    }
    seen = emulator.environment(ACCOUNT, 1, tmp_path, inherited)
    assert {"AWS_PROFILE", "HTTP_PROXY", "PYTHONPATH", "AWS_ENDPOINT_URL"}.isdisjoint(seen)
    assert seen["PATH"] == "p"
    assert seen["DOCKER_HOST"] == f"unix://{tmp_path}/no-docker"
    assert seen["BIND_HOST"] == "127.0.0.1"
    assert seen["AWS_ENDPOINT_URL_SERVICE_QUOTAS"] == "http://127.0.0.1:2"
    assert all(str(tmp_path) in seen[name] for name in ("TMPDIR", "STATE_DIR", "S3_DATA_DIR"))


def test_clients_reach_the_account_whatever_the_user_has_set(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LOGS", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "http://elsewhere")
    session = ACCOUNT.session()
    for service, endpoint in (("logs", "http://127.0.0.1:1"), ("service-quotas", "http://127.0.0.1:2")):
        client = session.client(service)
        assert (client.meta.endpoint_url, client.meta.region_name) == (endpoint, "eu-west-1")
        client.close()
    credentials = session.get_credentials()
    assert credentials is not None
    assert credentials.access_key == "111122223333"


def test_the_cli_configuration_reaches_the_account(monkeypatch, tmp_path):
    path = tmp_path / "aws-config"
    path.write_text(ACCOUNT.cli_config())
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    for profile in (None, "local"):
        session = boto3.Session(profile_name=profile)
        for service, endpoint in (("logs", "http://127.0.0.1:1"), ("service-quotas", "http://127.0.0.1:2")):
            client = session.client(service)
            assert (client.meta.endpoint_url, client.meta.region_name) == (endpoint, "eu-west-1")
            client.close()
