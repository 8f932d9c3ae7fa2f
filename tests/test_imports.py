from __future__ import annotations

import ast
import dataclasses
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "savethat"

# From the bottom up: each imports from its own layer and from those above it in this list.
LAYERS = [
    {"errors", "untrusted", "cache", "face"},
    {"run", "args"},
    {"config", "code", "node", "provenance", "logs", "scaffold"},
    {"remotes", "launchers", "discovery", "inputs", "storage"},
    {"worker"},
    {"launch", "catalog"},
    {"reproduction"},
    {"cli"},
    {"__init__", "__main__"},
]
RANKS = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}

# The face's convenience: a node starts its own run, a storage lists runs.
REACHES_UP = {
    ("savethat.node", "savethat.launch.here"),
    ("savethat.storage", "savethat.catalog"),
    ("savethat.storage", "savethat.catalog.run"),
}

HOMES = {
    "b2sdk": "savethat.remotes",
    "certifi": "savethat.remotes",
    "click": "savethat.cli",
    "cookiecutter": "savethat.scaffold",
    "loguru": "savethat.logs",
    "pandas": "savethat.catalog.frame",
    "psutil": "savethat.launchers",
    "reproducible": "savethat.provenance",
    "requests": "savethat.remotes",
    "submitit": "savethat.launchers",
    "tap": "savethat.args",
    "toml": "savethat.config",
    "tomli": "savethat.config",
    "tomllib": "savethat.config",
    "urllib3": "savethat.remotes",
}
# Used like the standard library: no exceptions of theirs cross a module's edge.
EVERYWHERE = {"filelock", "platformdirs", "rich", "typing_extensions"}

HEAVY = {"b2sdk", "cookiecutter", "git", "pandas", "reproducible", "requests", "submitit", "tap"}


@dataclasses.dataclass(frozen=True)
class Import:
    source: str
    target: str
    name: str | None  # what `from target import name` takes; None for `import target`
    lazy: bool  # inside a function


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(source: str) -> Iterator[Import]:
    """Every import that can happen: not those for the type checker only."""
    yield from walk(source, ast.parse(MODULES[source].read_text()), lazy=False)


def walk(source: str, node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for statement in node.orelse:
            yield from walk(source, statement, lazy=lazy)
        return
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(source, alias.name, None, lazy)
    elif isinstance(node, ast.ImportFrom):
        target = absolute(source, node)
        for alias in node.names:
            submodule = f"{target}.{alias.name}"
            if submodule in MODULES:
                yield Import(source, submodule, None, lazy)
            else:
                yield Import(source, target, alias.name, lazy)
    lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        yield from walk(source, child, lazy=lazy)


def absolute(source: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = source if MODULES[source].name == "__init__.py" else source.rpartition(".")[0]
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def room(module: str) -> str:
    return ([*module.split("."), "__init__"])[1]


def is_within(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


ALL = [found for module in MODULES for found in imports_of(module)]
# The version is a constant, on the face because that is where Python's tools look for it.
OWN = [
    found
    for found in ALL
    if found.target.split(".")[0] == "savethat" and found.name != "__version__"
]
FOREIGN = [found for found in ALL if found.target.split(".")[0] != "savethat"]


def test_every_module_has_its_layer() -> None:
    assert {room(module) for module in MODULES} == RANKS.keys()


def test_own_imports_name_modules_that_are_there() -> None:
    assert [found for found in OWN if found.target not in MODULES] == []


def test_imports_go_downward_only() -> None:
    upward = {
        (found.source, found.target)
        for found in OWN
        if RANKS[room(found.source)] < RANKS[room(found.target)]
    }
    assert upward == REACHES_UP
    assert all(found.lazy for found in OWN if (found.source, found.target) in REACHES_UP)


def test_imports_form_no_circles() -> None:
    for level in (str, room):
        graph: dict[str, set[str]] = {}
        for found in OWN:
            source, target = level(found.source), level(found.target)
            if (found.source, found.target) not in REACHES_UP and source != target:
                graph.setdefault(source, set()).add(target)
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            pytest.fail(f"a circle of imports: {error.args[1]}")


def test_each_library_has_one_home() -> None:
    strays = {
        (found.source, found.target)
        for found in FOREIGN
        if (library := found.target.split(".")[0]) in HOMES
        and not is_within(found.source, HOMES[library])
    }
    assert strays == set()


def test_every_library_is_known_here() -> None:
    used = {found.target.split(".")[0] for found in FOREIGN}
    assert used - sys.stdlib_module_names - {"__future__"} - {"tomllib"} == (
        HOMES.keys() | EVERYWHERE
    ) - {"tomllib"}


@pytest.mark.parametrize(
    ("command", "expected", "forbidden"),
    [
        (["-c", "import savethat"], "savethat", HEAVY | {"click", "loguru"}),
        (["-m", "savethat", "--help"], "click", HEAVY | {"loguru"}),
        (
            ["-m", "savethat", "ls", "--keys"],
            "savethat.catalog",
            {"submitit", "b2sdk", "reproducible"},
        ),
        (
            ["-m", "savethat", "rm", "--failed", "--force"],
            "savethat.catalog",
            {"submitit", "b2sdk", "reproducible"},
        ),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_start_up_imports_little(
    command: list[str], expected: str, forbidden: set[str], tmp_path: Path
) -> None:
    (tmp_path / "savethat.toml").touch()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert done.returncode == 0, done.stderr
    assert expected in imported
    assert {name for name in imported if name.split(".")[0] in forbidden} == set()
