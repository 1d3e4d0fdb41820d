"""Fuzzes every target in turn and prints what was done: `make fuzz`, or `python -m fuzz --seconds 600 records`."""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

FOUND = Path(".fuzz")
"""Where the corpus grows, and where an input that breaks something is left."""


def fuzz(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    with atheris.instrument_imports(include=["bedrock_quota", "quota_monitor", "invariants"]):
        from fuzz import mutation  # noqa: PLC0415 - after instrumentation
        from fuzz.targets import TARGETS  # noqa: PLC0415
    target = TARGETS[name]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        return mutation.mutate(data, max_size, seed, atheris.Mutate)

    with tempfile.TemporaryDirectory() as seeds:
        for number, seed in enumerate(target.seeds):
            Path(seeds, str(number)).write_bytes(seed)
        options = {"custom_mutator": mutate} if target.is_json else {}
        atheris.Setup([sys.argv[0], *arguments, seeds], target.check, **options)
        atheris.Fuzz()


def run(name: str, seconds: int) -> tuple[int, float, int]:
    """Fuzz one target in a process of its own; return its executions, CPU seconds and exit code."""
    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-timeout=10", "-max_len=65536", "-print_final_stats=1", "-verbosity=1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--target", name, *options, f"-artifact_prefix={FOUND}/{name}-", str(corpus)],
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    executed = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stderr)
    if done.returncode:
        sys.stderr.write(done.stderr[-8_000:])
    return int(executed[1]) if executed else 0, cpu, done.returncode


def main() -> int:
    """Fuzz the targets that are named, or all; return 1 if one of them broke."""
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    from fuzz.targets import TARGETS  # noqa: PLC0415 - the fuzzing process imports it instrumented

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=main.__doc__)
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    given = parser.parse_args()
    os.nice(19)
    broken = 0
    for name in given.targets or TARGETS:
        executions, cpu, code = run(name, given.seconds)
        broken |= code
        print(
            f"{name:16} {executions:>12,} executions  {cpu:>8,.0f} s of CPU  {'BROKEN' if code else 'held'}", flush=True
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
