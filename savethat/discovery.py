"""Finds nodes: one by its name, or all of a project's package.

A module that cannot be imported hides its own nodes and no others: it is reported with its error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from savethat.errors import ConfigError, NotFoundError, UsageError
from savethat.node import Node, dotted_name, is_node

NodeClass = type[Node[Any, Any]]


@dataclasses.dataclass(frozen=True)
class BrokenModule:
    """A module of the project that cannot be imported, and why (`ValueError: …`)."""

    module: str
    error: str


@dataclasses.dataclass(frozen=True)
class Found:
    """The nodes of a project, by dotted name, and the modules that could not be looked into."""

    nodes: dict[str, NodeClass]
    broken: tuple[BrokenModule, ...]


def add_to_path(root: Path) -> list[str]:
    """Makes a project's package importable: puts its root, and its `src`, on `sys.path`.

    Returns:
        What a child process needs on its path for the same.
    """
    paths = [str(root)]
    if (root / "src").is_dir():
        paths.append(str(root / "src"))
    for path in reversed(paths):
        if path not in sys.path:
            sys.path.insert(0, path)
    return paths


def find_all(package: str) -> Found:
    """Every node of a package, its subpackages included.

    Raises:
        ConfigError: there is no such package.
    """
    return _look_into(_modules(package))


def find_node(package: str | None, name: str) -> tuple[NodeClass, tuple[BrokenModule, ...]]:
    """The node a user means: `FitOLS`, `my_project.fit_ols.FitOLS` or any unambiguous tail.

    Returns:
        The node's class, and the modules that were looked into and are broken.

    Raises:
        NotFoundError: no such node, or more than one: the message names the near ones.
        ConfigError: the project names no package, or there is no such package.
    """
    if package is None:
        raise ConfigError(
            "this project names no package to look for nodes in",
            'write package = "my_project" in savethat.toml, or start one: savethat init my_project',
        )
    modules = _modules(package)
    class_name = name.rpartition(".")[2]
    mention = re.compile(rf"\bclass\s+{re.escape(class_name)}\b")
    # Importing a module may take seconds (torch, pandas): those that do not define such a class
    # are looked into only when none of the others has it.
    likely = {module: path for module, path in modules.items() if mention.search(_source(path))}
    found = _look_into(likely)
    matches = _matches(found, name)
    if not matches:
        found = _look_into(modules)
        matches = _matches(found, name)
    if len(matches) == 1:
        return found.nodes[matches[0]], found.broken
    if matches:
        raise NotFoundError(
            f"{name} is ambiguous: {', '.join(matches)}", "give more of its name, from the right"
        )
    raise _unknown(name, found)


def import_node(dotted: str) -> NodeClass:
    """A node's class by its full name, as a worker needs it.

    Raises:
        NotFoundError: the module has no such node. Errors of the module itself are its own.
    """
    module_name, _, class_name = dotted.rpartition(".")
    value = getattr(importlib.import_module(module_name), class_name, None)
    if not is_node(value):
        raise NotFoundError(f"{module_name} has no node {class_name}", "savethat nodes")
    return cast(NodeClass, value)


def nodes_in(module: types.ModuleType) -> dict[str, NodeClass]:
    """The nodes that an imported module defines itself, by dotted name."""
    return {
        dotted_name(value): value
        for value in vars(module).values()
        if is_node(value) and value.__module__ == module.__name__
    }


def importable(cls: NodeClass) -> bool:
    """Whether another process can import this node: not one from a notebook cell or a function."""
    return cls.__module__ != "__main__" and "<locals>" not in cls.__qualname__


def _unknown(name: str, found: Found) -> NotFoundError:
    import difflib  # only a mistake needs it

    short = {dotted.rpartition(".")[2]: dotted for dotted in found.nodes}
    lower = {known.lower(): known for known in short}
    wanted = name.rpartition(".")[2].lower()
    near = [lower[match] for match in difflib.get_close_matches(wanted, lower, n=3, cutoff=0.5)]
    message = f"there is no node {name}"
    if near:
        message += f"; did you mean {' or '.join(near)}?"
    if found.broken:
        broken = "; ".join(f"{module.module} ({module.error})" for module in found.broken)
        message += f" Could not look into {broken}"
    return NotFoundError(message, "savethat nodes")


def _matches(found: Found, name: str) -> list[str]:
    return [dotted for dotted in found.nodes if dotted == name or dotted.endswith(f".{name}")]


def _look_into(modules: dict[str, Path]) -> Found:
    nodes: dict[str, NodeClass] = {}
    broken = []
    for module_name in modules:
        try:
            module = importlib.import_module(module_name)
        except KeyboardInterrupt:
            raise
        # A module of the user's may fail in any way, sys.exit() included, and must hide no other.
        except BaseException as error:
            broken.append(BrokenModule(module_name, _one_line(error)))
            continue
        nodes |= nodes_in(module)
    return Found(dict(sorted(nodes.items())), tuple(broken))


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def _modules(package: str) -> dict[str, Path]:
    """The modules of a package by name, without importing any: found as files, sorted by name."""
    if not all(part.isidentifier() for part in package.split(".")):
        raise UsageError(f"{package!r} is not a package's name")
    spec = None
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(package)
    if spec is None:
        raise ConfigError(
            f"there is no package {package} here",
            "set `package` in savethat.toml, or give --project DIR",
        )
    if not spec.submodule_search_locations:
        return {package: Path(spec.origin or "")}
    return {
        name: path
        for folder in spec.submodule_search_locations
        for name, path in sorted(_walk(package, Path(folder)))
    }


def _walk(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.iterdir():
        if path.suffix == ".py" and path.stem.isidentifier():
            if path.stem == "__init__":
                yield package, path
            # Importing __main__ would run the program.
            elif path.stem != "__main__":
                yield f"{package}.{path.stem}", path
        elif path.is_dir() and path.name.isidentifier() and path.name != "__pycache__":
            yield from _walk(f"{package}.{path.name}", path)


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
