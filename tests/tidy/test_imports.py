"""The arrows between the rooms: every import counts, also inside functions and under TYPE_CHECKING."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "walrus_sdk"

BASE = {"errors"}
PURE = {"errors", "model"}
ADAPTER = {"model", "errors", "ports", "codecs", "sites"}
ABOVE_PORTS = ADAPTER | {"planning"}

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "model": BASE,
    "ports": PURE,
    "settings": PURE,
    "codecs": PURE,
    "sites": PURE | {"codecs"},
    "planning": PURE | {"codecs", "sites"},
    "source": ADAPTER,
    "journal": ADAPTER,
    "http": ADAPTER,
    "walrus": ADAPTER | {"http"},
    "sui": ADAPTER | {"http"},
    "engine": ABOVE_PORTS,
    "watch": ABOVE_PORTS,
    "service": {"engine", "watch", "planning", "sites", "model", "errors", "ports", "settings"},
    "local": {"model", "errors", "ports", "http"},
    "run": {"service", "model", "errors", "host"},
    "host": {"service", "model", "errors"},
    "bench": {"host", "model", "errors"},
    "frames": {"model", "errors", "ports"},
    "cli": {"model", "errors", "settings", "local", "run", "host", "service", "watch", "frames"},
    "notebook": {"model", "errors", "settings", "local", "run", "host", "service", "watch", "frames"},
    "machine": {"errors", "model", "ports", "codecs"},
    "localnet": PURE | {"codecs"},
    "testing": {"ports", "model", "codecs", "errors", "engine", "service"},
}
# A single module that may do more than its room: the only place where adapters meet the engine, and so on.
EXTRA: dict[str, set[str]] = {
    "service.session": {"source", "journal", "http", "walrus", "sui", "machine", "local"},
    "service.tools": {"codecs"},
    "frames.history": {"settings"},  # where the home is
    "frames.load": {"journal.reader"},
    "localnet.portal": {"sites.portal"},
    "cli.drill": {"testing.drill"},
    "": {"run", "host", "bench", "service", "model", "ports", "errors", "codecs", "frames", "notebook", "settings"},
}
EXTRA_BY_ROOM: dict[str, set[str]] = {
    "localnet": {"sites.portal"},
    "testing": {"localnet", "planning", "settings", "journal.schema", "sui.failures"},
    "frames": {"journal.reader"},
    "cli": {"testing.drill"},
}


def modules() -> Iterator[tuple[str, Path]]:
    """Yield each module's name below the package (``"codecs.bcs"``, ``""`` for the package itself) and its file.

    A module that is compiled is there by its stub.
    """
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def imports(name: str, path: Path) -> Iterator[str]:
    """Yield the names below the package that a module imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide arrows"
            base = node.module or ""
            found = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in found:
            if target == "walrus_sdk" or target.startswith("walrus_sdk."):
                yield _module(target.removeprefix("walrus_sdk").removeprefix("."))


def _module(target: str) -> str:
    """Return the longest prefix of `target` that is a module: the rest is a name inside it."""
    parts = target.split(".") if target else []
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


def _covers(allowed: set[str], target: str) -> bool:
    return any(target == one or target.startswith(one + ".") for one in allowed)


def test_every_import_follows_the_table() -> None:
    wrong = []
    for name, path in MODULES.items():
        room = name.split(".")[0]
        allowed = ALLOWED.get(room, set()) | EXTRA.get(name, set()) | EXTRA_BY_ROOM.get(room, set()) | {room or "-"}
        wrong += [
            f"{name or 'walrus_sdk'} -> {target or 'walrus_sdk'}"
            for target in imports(name, path)
            if not _covers(allowed, target)
        ]
    assert not wrong, "arrows that the design does not have:\n" + "\n".join(sorted(set(wrong)))


def test_every_room_has_a_line_in_the_table() -> None:
    rooms = {name.split(".")[0] for name in MODULES} - {"", "__main__"}
    assert rooms <= set(ALLOWED), f"rooms without a line: {sorted(rooms - set(ALLOWED))}"


def test_no_module_takes_part_in_an_import_circle() -> None:
    # A package's own __init__ re-exports its modules; a module that imports the package back would be a circle.
    graph = {name: set(imports(name, path)) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            pytest.fail("circle: " + " -> ".join((*trail[trail.index(name) :], name)))
        if name in done:
            return
        for target in sorted(graph[name]):
            visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


BANNED = {
    "time": "the clock port",
    "random": "the random port",
    "uuid": "the ids port",
    "secrets": "the ids port",
    "asyncio": "anyio",
    "socket": "an adapter",
    "os": "an adapter (settings for the environment)",
    "threading": "the threads port",
    "subprocess": "an adapter",
}
PURE_ROOMS = ("model", "codecs", "sites", "planning", "engine", "ports", "errors", "watch")


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_rooms_above_and_below_the_ports_reach_the_world_through_ports_only(room: str) -> None:
    wrong = []
    for name, path in MODULES.items():
        if name.split(".")[0] != room:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{name}: {n}; use {BANNED[n.split('.')[0]]}" for n in names if n.split(".")[0] in BANNED]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_dates_are_written_there_and_never_asked_for(room: str) -> None:
    asked = {"now", "utcnow", "today"}
    wrong = [
        f"{name}:{node.lineno} {node.attr}; use the clock port"
        for name, path in MODULES.items()
        if name.split(".")[0] == room
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in asked and isinstance(node.value, ast.Name)
        and node.value.id in {"datetime", "date"}
    ]  # fmt: skip
    assert not wrong, wrong


def test_asyncio_is_imported_only_where_it_is_meant() -> None:
    wrong = [
        name
        for name, path in MODULES.items()
        if name.split(".")[0] not in ("localnet", "notebook", "testing")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "asyncio" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "asyncio")
    ]
    assert not wrong, wrong


def test_only_settings_reads_the_environment() -> None:
    wrong = []
    for name, path in MODULES.items():
        if name == "settings":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
            if reads and isinstance(node.value, ast.Name) and node.value.id == "os":
                wrong.append(f"{name}:{node.lineno}")
    assert not wrong, wrong
