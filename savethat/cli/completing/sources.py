"""Nodes as their source shows them: those that no command has met yet, or that were edited since.

Nothing is imported, and only what stands in the one file is seen: a class with a base that is
called `…Node` is a node, the fields of its arguments' class are its options.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from savethat.cli.completing.known import Flag, KnownNode

_COMMENT = re.compile(r"\s*#+\s*(.*?)\s*")
_PATHS = ("Path", "PurePath", "PosixPath", "PurePosixPath")
_COLLECTIONS = ("list", "set", "frozenset", "tuple", "List", "Set", "FrozenSet", "Tuple")
_NO_ARGUMENTS = ("ClassVar", "InitVar", "KW_ONLY")


def read(path: Path, known: Container[str] = ()) -> dict[str, KnownNode] | None:
    """The nodes of one module by class name; None where its source cannot be read.

    Args:
        path: the module's file.
        known: classes of the module that are nodes for certain, if they are still there.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return _Module(text).nodes(known) if known or "Node" in text else {}
    # While it is being edited, a file often is not Python.
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


class _Module:
    """The classes at the top of a module's source."""

    def __init__(self, text: str) -> None:
        body = ast.parse(text).body
        self._lines = text.split("\n")
        self._classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}

    def nodes(self, known: Container[str]) -> dict[str, KnownNode]:
        found = {}
        args: dict[str, str] = {}  # of each class that descends from Node, abstract ones included
        for name, cls in self._classes.items():
            bases = [
                base for base in map(_named, cls.bases) if base.endswith("Node") or base in args
            ]
            if not bases and name not in known:
                continue
            args[name] = self._args_name(cls, [args[base] for base in bases if base in args])
            runs = any(
                isinstance(item, ast.FunctionDef) and item.name == "_run" for item in cls.body
            )
            # What other bases define is not known here.
            if runs or name in known or bases != ["Node"]:
                doc = (ast.get_docstring(cls) or "").splitlines()
                found[name] = KnownNode(doc[0] if doc else "", tuple(self._flags(args[name])))
        return found

    def _args_name(self, cls: ast.ClassDef, inherited: Sequence[str]) -> str:
        """The class of a node's arguments: as `Node[ARGS, ...]` or a base says, or by its name."""
        for base in cls.bases:
            if isinstance(base, ast.Subscript) and _named(_first(base)) in self._classes:
                return _named(_first(base))
        return inherited[0] if inherited else f"{cls.name}Args"

    def _flags(self, name: str, prefix: str = "", within: tuple[str, ...] = ()) -> Iterator[Flag]:
        for field, statement in self._fields(name, ()).items():
            arms = _arms(statement.annotation)
            kind = next((arm for arm in arms if not _is_none(arm)), arms[0])
            optional = any(map(_is_none, arms))
            group = _named(kind) if isinstance(kind, ast.Name) else ""
            is_group = group in self._classes and not self._members(group)
            key = prefix + field
            text = f"{self._comment(statement)} ({ast.unparse(statement.annotation)})".lstrip()
            if optional or not is_group:
                item = _first(kind) if _named(kind) in _COLLECTIONS else kind
                yield Flag(f"--{key}", text, self._values(item), is_path=_named(item) in _PATHS)
            if optional or _named(kind) == "bool":
                yield Flag(f"--no_{key}", text, is_bare=True)
            if is_group and group not in (*within, name):
                yield from self._flags(group, f"{key}.", (*within, name))

    def _fields(self, name: str, within: tuple[str, ...]) -> dict[str, ast.AnnAssign]:
        """The fields of a dataclass, those of its bases first."""
        fields: dict[str, ast.AnnAssign] = {}
        cls = self._classes.get(name)
        if cls is None or name in within:
            return fields
        for base in cls.bases:
            fields |= self._fields(_named(base), (*within, name))
        for item in cls.body:
            if (
                isinstance(item, ast.AnnAssign)
                and isinstance(item.target, ast.Name)
                and _named(item.annotation) not in _NO_ARGUMENTS
            ):
                fields[item.target.id] = item
        return fields

    def _comment(self, statement: ast.AnnAssign) -> str:
        """The comment beside a field."""
        assert statement.end_lineno is not None
        line = self._lines[statement.end_lineno - 1].encode()[statement.end_col_offset :]
        match = _COMMENT.fullmatch(line.decode())
        return match[1] if match else ""

    def _values(self, kind: ast.expr) -> tuple[str, ...]:
        if _named(kind) == "bool":
            return "true", "false"
        if _named(kind) == "Literal" and isinstance(kind, ast.Subscript):
            values = [item.value for item in _items(kind) if isinstance(item, ast.Constant)]
            words = [str(value).lower() if isinstance(value, bool) else value for value in values]
            return tuple(str(word) for word in words if word is not None)
        return self._members(_named(kind))

    def _members(self, name: str) -> tuple[str, ...]:
        """The members of an Enum of this module."""
        cls = self._classes.get(name)
        if cls is None or not any(_named(base).endswith("Enum") for base in cls.bases):
            return ()
        targets = [item.targets[0] for item in cls.body if isinstance(item, ast.Assign)]
        return tuple(target.id for target in targets if isinstance(target, ast.Name))


def _named(expression: ast.expr) -> str:
    """The last name of `Node`, `savethat.Node`, `Node[ARGS, RESULT]` and `"Node"`; else nothing."""
    if isinstance(expression, ast.Subscript):
        return _named(expression.value)
    if isinstance(expression, ast.Attribute):
        return expression.attr
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return expression.value.rpartition(".")[2]
    return expression.id if isinstance(expression, ast.Name) else ""


def _items(expression: ast.Subscript) -> list[ast.expr]:
    """What stands between the brackets."""
    inner = expression.slice
    return inner.elts if isinstance(inner, ast.Tuple) else [inner]


def _first(expression: ast.expr) -> ast.expr:
    items = _items(expression) if isinstance(expression, ast.Subscript) else []
    return items[0] if items else expression


def _arms(annotation: ast.expr) -> list[ast.expr]:
    """The types of a union, or the one type."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _arms(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.BinOp):
        return _arms(annotation.left) + _arms(annotation.right)
    if isinstance(annotation, ast.Subscript) and _named(annotation) == "Optional":
        return [*_arms(annotation.slice), ast.Constant(None)]
    return [annotation]


def _is_none(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Constant) and expression.value is None
