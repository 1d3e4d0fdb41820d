"""`sam build` and `make setup` on other machines: a checkout by Git for Windows, and other settings of pip."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from checkouts import check_out_as_on_windows, run
from samcli.yamlhelper import yaml_parse

from localaws import sam

ROOT = Path(__file__).parents[2]
LAYERS = ("CoreLayer", "DependenciesLayer")


def build(checkout: Path, build_directory: Path, **environment: str) -> Path:
    command = sam.command("build", "--build-dir", str(build_directory))
    run(*command, cwd=checkout, LAMBDA_PLATFORM="native", SAM_CLI_TELEMETRY="0", **environment)
    return build_directory


def pip_settings(folder: Path) -> dict[str, str]:
    """Return an environment in which pip finds two settings that do not go with a folder of its own, in both places."""
    (folder / "pip.conf").write_text("[global]\nuser = true\nrequire-virtualenv = true\n")
    return {"PIP_CONFIG_FILE": str(folder / "pip.conf"), "PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1"}


@pytest.fixture(scope="module")
def windows_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This working tree as Git for Windows would check it out, in a folder with spaces in its name."""
    checkout = tmp_path_factory.mktemp("windows") / "My quota monitor"
    check_out_as_on_windows(checkout, tmp_path_factory.mktemp("git"))
    return checkout


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Path, bytes]:
    return layers(build(ROOT, tmp_path_factory.mktemp("ordinary")))


def layers(build_directory: Path) -> dict[Path, bytes]:
    """Return the files of the built layers with their content, and of .pyc files only the names: Python varies them."""
    return {
        path.relative_to(build_directory): b"" if path.suffix == ".pyc" else path.read_bytes()
        for layer in LAYERS
        for path in (build_directory / layer).rglob("*")
        if path.is_file()
    }


def test_checkout_of_git_for_windows_builds_the_same_layers(
    windows_checkout: Path, ordinary: Mapping[Path, bytes], tmp_path: Path
) -> None:
    assert layers(build(windows_checkout, tmp_path)) == ordinary


def test_sam_build_takes_no_notice_of_a_users_pip_settings(tmp_path: Path, ordinary: Mapping[Path, bytes]) -> None:
    assert layers(build(ROOT, tmp_path / "build", **pip_settings(tmp_path))) == ordinary


def test_make_setup_takes_no_notice_of_a_users_pip_settings(tmp_path: Path) -> None:
    # given a checkout whose project needs nothing
    checkout = tmp_path / "checkout"
    for name in ("Makefile", "layers/python.mk", ".ci/uv.txt"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text((ROOT / name).read_text())
    (checkout / "pyproject.toml").write_text(
        '[project]\nname = "small"\nversion = "1"\nrequires-python = ">=3.11"\n[dependency-groups]\ndev = []\n'
    )
    run(sys.executable, "-m", "uv", "lock", "--offline", "--quiet", cwd=checkout)
    # when
    run("make", "setup", f"PYTHON={sys.executable}", cwd=checkout, **pip_settings(tmp_path))
    # then
    assert (checkout / ".venv" / "bin" / "uv").exists()


def test_build_copies_nothing_but_the_layers_own_folders() -> None:
    """`sam build` copies each ContentUri to a temporary folder, so none may hold .venv or the whole checkout."""
    source = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))

    assert {name: source["Resources"][name]["Properties"]["ContentUri"] for name in LAYERS} == {
        "CoreLayer": "layers/core",
        "DependenciesLayer": "layers/dependencies",
    }
