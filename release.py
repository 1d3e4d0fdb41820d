"""Pack a release into dist/: `python release.py VERSION PYTHON_VERSION SECONDS_SINCE_1970`. `make dist` calls it.

The same commit gives the same bytes: files in order, one time and mode for all of them. It fails unless the layers hold
.pyc files of that Python. Without them a release works but starts more slowly, and nobody would notice.
"""

import hashlib
import json
import re
import stat
import sys
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

PACKED = (
    ".aws-sam",
    "functions",
    "examples",
    "template.yaml",
    "samconfig.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
)
OF_TOOLS = re.compile(r"(^|/)(\.terraform(\.lock\.hcl)?|cdk\.out|[^/]*\.tfstate[^/]*|[^/]*\.tfvars)($|/)")
"""Matches files that Terraform and the CDK leave beside the examples. A state can have secrets."""

LAYERS = (".aws-sam/build/CoreLayer/python", ".aws-sam/build/DependenciesLayer/python")
COMPRESSION_LEVEL = 9
MODE = stat.S_IFREG | 0o644
UNIX = 3
"""The system of a zip file's entries whose attributes are a mode."""


def list_files(root: Path, packed: Iterable[str] = PACKED) -> list[str]:
    """Return the files among `packed` and below, relative to `root`, in one order on every machine."""
    names = (file.relative_to(root).as_posix() for name in packed for file in _files_of(root / name))
    return sorted(name for name in names if not OF_TOOLS.search(name))


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (each for each in path.rglob("*") if not each.is_dir())
    else:
        yield path


def write_archive(archive: Path, root: Path, names: Iterable[str], at: datetime) -> None:
    """Write the files of `names` into a zip file that depends on their names, their bytes and `at` alone."""
    with zipfile.ZipFile(archive, "w") as release:
        for name in names:
            entry = zipfile.ZipInfo(name, at.timetuple()[:6])
            entry.create_system = UNIX
            entry.external_attr = MODE << 16
            release.writestr(entry, (root / name).read_bytes(), zipfile.ZIP_DEFLATED, COMPRESSION_LEVEL)


def settle_sbom(text: str, at: datetime) -> str:
    """Return an SBOM with the time `at`, and with a serial number that follows from its content."""
    sbom = json.loads(text)
    sbom["metadata"]["timestamp"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    del sbom["serialNumber"]
    content = json.dumps(sbom, sort_keys=True)
    return json.dumps({**sbom, "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, content).urn}, indent=2) + "\n"


def list_without_pyc(names: Iterable[str], version: str) -> list[str]:
    """Return those modules of a release's layers that have no .pyc file of Python `version`, such as 3.13.

    Raises `ValueError` if a layer has no modules at all.
    """
    there, missing = set(names), []
    tag = f"cpython-{version.replace('.', '')}"
    for layer in LAYERS:
        modules = sorted(PurePosixPath(name) for name in there if name.startswith(f"{layer}/") and name.endswith(".py"))
        if not modules:
            raise ValueError(f"{layer} has no modules")
        missing += [str(each) for each in modules if f"{each.parent}/__pycache__/{each.stem}.{tag}.pyc" not in there]
    return missing


def main(version: str, python_version: str, seconds: str) -> None:
    """Write the zip file and SHA256SUMS into dist/, and settle the SBOM there. The wheel is there, too."""
    at = datetime.fromtimestamp(int(seconds), UTC)
    root, dist = Path(), Path("dist")
    names = list_files(root)
    if missing := list_without_pyc(names, python_version):
        sys.exit(f"{len(missing)} modules have no .pyc file of Python {python_version}, the first is {missing[0]}")
    archive, sbom = dist / f"bedrock-quota-monitor-{version}.zip", dist / "sbom.cdx.json"
    wheel = dist / f"bedrock_quota_monitor-{version}-py3-none-any.whl"
    write_archive(archive, root, names, at)
    sbom.write_text(settle_sbom(sbom.read_text(encoding="utf-8"), at), encoding="utf-8")
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in (archive, sbom, wheel)]
    (dist / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
