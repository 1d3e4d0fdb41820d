"""The wheel, and an environment that has it and what it needs, as `pip install`, pipx and uvx make one."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LEFT_OUT = ("AWS_", "PYTHONPATH", "VIRTUAL_ENV")
_UV = Path(sys.executable).with_name("uv")


def build_wheel(directory: Path) -> Path:
    """Build the wheel of this checkout in a folder."""
    _run_uv("build", "--wheel", "--quiet", "--out-dir", directory, ROOT)
    (built,) = directory.glob("*.whl")
    return built


def install(wheel: Path, directory: Path) -> Path:
    """Make an environment of this Python in a folder. Return the folder of its scripts."""
    environment = directory / "venv"
    _run_uv("venv", "--quiet", "--python", sys.executable, environment)
    _run_uv("pip", "install", "--quiet", "--python", environment / "bin" / "python", wheel)
    return environment / "bin"


def run_script(script: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, without AWS settings but those given, and with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    kept |= {"HOME": str(cwd), "AWS_EC2_METADATA_DISABLED": "true"} | environment
    return subprocess.run([script, *arguments], cwd=cwd, env=kept, capture_output=True, text=True, check=False)


def _run_uv(*arguments: object) -> None:
    ran = subprocess.run([_UV, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
