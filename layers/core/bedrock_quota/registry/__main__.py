"""Compile the registry: `python -m bedrock_quota.registry SOURCE_DIR OUTPUT`, as `sam build` does."""

import sys
from pathlib import Path

import msgspec

from bedrock_quota.errors import RegistryError
from bedrock_quota.registry.sources import read_sources


def main(arguments: list[str]) -> int:
    """Compile `SOURCE_DIR` to `OUTPUT`. If the sources are wrong, print the reason and return 1."""
    source, output = (Path(argument) for argument in arguments)
    try:
        registry = read_sources(source)
    except RegistryError as error:
        sys.stderr.write(f"registry: {error}\n")
        return 1
    output.write_bytes(msgspec.json.encode(registry))
    sys.stderr.write(f"registry: {len(registry.models)} models of {len(registry.providers)} providers\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
