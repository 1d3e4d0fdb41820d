"""The structure of the core: packages that may import one another, no cycles, no long modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "layers" / "core" / "bedrock_quota"
PACKAGES = {"registry", "state", "processor", "fetcher", "deployment", "analysis"}
FUNCTION_PACKAGES = {"processor", "fetcher", "deployment", "analysis"}
SHARED = {"registry", "state"}
MAX_LINES = 450
MAX_ARROWS = 33

Arrows = dict[str, set[str]]


def core_modules() -> dict[str, Path]:
    """Return the core's modules by their dotted name below `bedrock_quota`."""
    paths = {path.relative_to(CORE).with_suffix(""): path for path in CORE.rglob("*.py")}
    return {".".join(name.parts): path for name, path in paths.items() if name.name != "__init__"}


def imported_modules(path: Path, known: set[str]) -> Iterator[str]:
    """Yield the core's modules that a file imports, also inside functions and for type checking."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bedrock_quota":
            below = (node.module or "").removeprefix("bedrock_quota").removeprefix(".")
            if below in known:
                yield below
            for alias in node.names:
                name = f"{below}.{alias.name}".removeprefix(".")
                if name in known:
                    yield name


@pytest.fixture(scope="module")
def arrows() -> Arrows:
    modules = core_modules()
    return {name: set(imported_modules(path, set(modules))) - {name} for name, path in modules.items()}


def room_of(module: str) -> str:
    """Return the package of a module, or the module itself if it is one of the shared ones at the root."""
    return module.split(".", maxsplit=1)[0]


def between_rooms(arrows: Arrows) -> Arrows:
    rooms: Arrows = {}
    for module, imported in arrows.items():
        rooms.setdefault(room_of(module), set()).update(map(room_of, imported))
    return {room: others - {room} for room, others in rooms.items()}


def find_cycle(arrows: Arrows) -> list[str]:
    """Return one cycle, or an empty list."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(arrows[module]):
            if cycle := visit(imported, [*way, module]):
                return cycle
        done.add(module)
        return []

    return next((cycle for module in sorted(arrows) if (cycle := visit(module, []))), [])


def test_a_cycle_would_be_found() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_no_module_imports_itself_through_others(arrows: Arrows) -> None:
    assert len(arrows) > 40
    assert find_cycle(arrows) == []


def test_packages_import_only_what_is_below_them(arrows: Arrows) -> None:
    rooms = between_rooms(arrows)

    assert find_cycle(rooms) == []
    for package in FUNCTION_PACKAGES:
        assert rooms[package] & PACKAGES <= SHARED
    assert rooms["state"] & PACKAGES <= {"registry"}
    assert rooms["registry"] & PACKAGES == set()
    for room in rooms.keys() - PACKAGES:
        assert rooms[room] & PACKAGES == set(), f"{room} is shared and imports a package"


def test_arrows_between_packages_and_shared_modules_are_few(arrows: Arrows) -> None:
    rooms = between_rooms(arrows)

    assert sum(map(len, rooms.values())) <= MAX_ARROWS, rooms


@pytest.mark.parametrize(
    "folder", ["layers/core", "functions", "cli", "localaws", "benchmarks", "dashboard", "examples"]
)
def test_no_module_is_long(folder: str) -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
        if {"build", ".venv"}.isdisjoint(path.parts)
    }
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}
