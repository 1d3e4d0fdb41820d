"""A release: `make dist` from one commit gives the same bytes, wherever and whenever, and never without .pyc files."""

import hashlib
import json
import os
import re
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

import release
from localaws import sam

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 11, 28, 16, 2, 12, tzinfo=UTC)


def run(*command: str, cwd: Path, umask: int = -1, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**sam.environment(os.environ), "SAM_CLI_TELEMETRY": "0", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        umask=umask,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build_in_clone(clone: Path, umask: int, modified: int, **environment: str) -> dict[str, str]:
    """Run `make dist` in a clone of this commit whose files are of that time, and return its files' hashes.

    The clone has this environment: `make setup` is not what is tried.
    """
    run("git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT, umask=umask)
    (clone / ".venv").symlink_to(ROOT / ".venv")
    for name in release.list_files(clone, [*release.PACKED[1:], "layers", "registry"]):
        os.utime(clone / name, (modified, modified))
    run("make", "--old-file=.venv/ready", "dist", cwd=clone, umask=umask, **environment)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (clone / "dist").iterdir()}


def test_one_commit_gives_the_same_bytes(tmp_path: Path) -> None:
    found = subprocess.run(["make", "--silent", "lambda-python"], cwd=ROOT, capture_output=True, check=False, text=True)  # noqa: S607
    if found.returncode:
        pytest.skip(found.stderr.splitlines()[0])
    with ThreadPoolExecutor() as builds:
        one = builds.submit(
            build_in_clone, tmp_path / "one", 0o022, 1_000_000_000, TZ="UTC", LC_ALL="C", PYTHONHASHSEED="1"
        )
        other = builds.submit(
            build_in_clone,
            tmp_path / "a folder of another name",
            0o077,
            1_700_000_000,
            TZ="Asia/Tokyo",
            LC_ALL="C.UTF-8",
            PYTHONHASHSEED="2",
        )

    assert one.result() == other.result()
    assert sorted(Path(name).suffix for name in one.result()) == ["", ".json", ".whl", ".zip"]
    for clone in (tmp_path / "one", tmp_path / "a folder of another name"):
        checked = run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=clone / "dist")
        assert len(checked.splitlines()) == len(one.result()) - 1  # all but SHA256SUMS itself
    with zipfile.ZipFile(next((tmp_path / "one" / "dist").glob("*.zip"))) as archive:
        committed = int(run("git", "log", "-1", "--format=%ct", cwd=ROOT))
        assert {entry.date_time for entry in archive.infolist()} == {
            datetime.fromtimestamp(committed - committed % 2, UTC).timetuple()[:6]
        }
        assert not [name for name in archive.namelist() if str(tmp_path).encode() in archive.read(name)]


def test_archive_depends_on_names_bytes_and_time_alone(tmp_path: Path) -> None:
    # given the same files, made in another order, with other modes and times
    for folder, names in (("one", ["b/a.txt", "a.txt", "b.txt"]), ("other", ["b.txt", "b/a.txt", "a.txt"])):
        for mode, name in enumerate(names):
            file = tmp_path / folder / "packed" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
            file.chmod(0o600 + mode)
            os.utime(file, (1_000_000_000 + 1_000 * mode, 1_000_000_000))
    # when
    for folder in ("one", "other"):
        root = tmp_path / folder
        release.write_archive(root / "release.zip", root, release.list_files(root, ["packed"]), AT)
    # then
    assert (tmp_path / "one" / "release.zip").read_bytes() == (tmp_path / "other" / "release.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one" / "release.zip") as archive:
        assert archive.namelist() == ["packed/a.txt", "packed/b.txt", "packed/b/a.txt"]
        assert archive.read("packed/b/a.txt") == b"b/a.txt"
        for entry in archive.infolist():
            assert entry.date_time == (2026, 11, 28, 16, 2, 12)
            assert entry.external_attr >> 16 == 0o100644


def test_sbom_depends_on_its_components_and_time_alone() -> None:
    def sbom(serial: str, time: str, version: str) -> str:
        components = [{"name": "isal", "version": version}]
        return json.dumps({"serialNumber": serial, "metadata": {"timestamp": time}, "components": components})

    first = release.settle_sbom(sbom("urn:uuid:1", "2026-11-28T16:05:37.928014867Z", "1"), AT)
    second = release.settle_sbom(sbom("urn:uuid:2", "2026-11-29T17:06:38.1Z", "1"), AT)
    newer = release.settle_sbom(sbom("urn:uuid:1", "2026-11-28T16:05:37.928014867Z", "2"), AT)

    assert first == second
    assert json.loads(first)["metadata"]["timestamp"] == "2026-11-28T16:02:12Z"
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", json.loads(first)["serialNumber"])
    assert json.loads(newer)["serialNumber"] != json.loads(first)["serialNumber"]


def test_ci_builds_nothing_from_source_but_the_project() -> None:
    def sync(ci: str) -> list[str]:
        return run("make", "--silent", "--eval=show:;@echo $(SYNC)", "show", f"CI={ci}", cwd=ROOT).split()

    elsewhere = [".venv/bin/uv", "sync", "--frozen", "--quiet", "--no-build-isolation-package", "bedrock-quota-monitor"]
    assert sync("true") == [*elsewhere, "--no-build"]
    assert sync("") == elsewhere  # some Macs lack wheels


def test_release_without_a_pyc_file_is_refused() -> None:
    core, dependencies = release.LAYERS
    modules = [f"{core}/bedrock_quota/emf.py", f"{dependencies}/six.py", "functions/metric_processor/app.py"]
    pyc = [
        f"{core}/bedrock_quota/__pycache__/emf.cpython-313.pyc",
        f"{dependencies}/__pycache__/six.cpython-313.pyc",
    ]

    assert release.list_without_pyc([*modules, *pyc], "3.13") == []
    assert release.list_without_pyc([*modules, pyc[0]], "3.13") == [modules[1]]
    assert release.list_without_pyc([*modules, *pyc], "3.14") == modules[:2]
    with pytest.raises(ValueError, match="DependenciesLayer/python has no modules"):
        release.list_without_pyc([modules[0], pyc[0]], "3.13")


def test_release_is_not_built_without_lambdas_python() -> None:
    done = subprocess.run(
        ["make", "--silent", "--old-file", ".venv/ready", "dist", "LAMBDA_PYTHON="],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode != 0
    assert "only Lambda's Python 3.13 makes, and none was found" in done.stderr
