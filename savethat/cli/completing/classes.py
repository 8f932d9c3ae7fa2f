"""Nodes as their classes show them, where the user's code has been imported anyway."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from savethat.args.comments import field_comments
from savethat.args.containers import Collection, Optional
from savethat.args.kinds import Bool, Enum, Kind, Literal, Path
from savethat.args.schema import Group, can_be_given, is_switch, may_be_none, schema
from savethat.cli.completing.known import Flag, KnownModule, KnownNode, stamp
from savethat.discovery import nodes_in
from savethat.node import args_type, first_line

if TYPE_CHECKING:
    from savethat.discovery import NodeClass


def look_into(name: str) -> KnownModule | None:
    """The nodes of a module that has been imported; None where it has no source file."""
    nodes = nodes_in(sys.modules[name])
    classes = [name, *(base.__module__ for node in nodes.values() for base in _args_classes(node))]
    files = {
        file: now
        for module in dict.fromkeys(classes)
        if (file := getattr(sys.modules.get(module), "__file__", None)) is not None
        and (now := stamp(file)) is not None
    }
    own = getattr(sys.modules[name], "__file__", None)
    if own not in files:
        return None
    return KnownModule(
        {dotted.removeprefix(f"{name}."): _describe(node) for dotted, node in nodes.items()}, files
    )


def _describe(node: NodeClass) -> KnownNode:
    flags: tuple[Flag, ...] = ()
    # What is wrong with a node's arguments is said when it is run; evaluating the annotations of
    # a class may fail in any way.
    with contextlib.suppress(Exception):
        flags = tuple(_flags(args_type(node), ""))
    return KnownNode(first_line(node), flags)


def _args_classes(node: NodeClass) -> list[type]:
    """The classes that say what a node's arguments are: its own, their bases and their groups."""
    classes: list[type] = []
    with contextlib.suppress(Exception):
        waiting: list[type] = [args_type(node)]
        while waiting:
            cls = waiting.pop()
            classes += cls.__mro__[:-1]
            waiting += [field.kind.cls for field in schema(cls) if isinstance(field.kind, Group)]
    return classes


def _flags(cls: type, prefix: str) -> Iterator[Flag]:
    comments = field_comments(cls)
    for field in schema(cls):
        key, kind = prefix + field.name, field.kind
        label = kind.cls.__name__ if isinstance(kind, Group) else kind.label
        text = f"{comments.get(field.name, '')} ({label})".lstrip()
        if can_be_given(field):
            item = None if isinstance(kind, Group) else _item(kind)
            yield Flag(f"--{key}", text, _values(item), is_path=isinstance(item, Path))
        if is_switch(kind) or may_be_none(kind):
            yield Flag(f"--no_{key}", text, is_bare=True)
        if isinstance(kind, Group):
            yield from _flags(kind.cls, f"{key}.")


def _item(kind: Kind) -> Kind:
    """What one word of the value is."""
    while isinstance(kind, (Optional, Collection)):
        kind = kind.kind if isinstance(kind, Optional) else kind.item
    return kind


def _values(kind: Kind | None) -> tuple[str, ...]:
    if isinstance(kind, Literal):
        return tuple(kind.by_word)
    if isinstance(kind, Enum):
        return tuple(member.name for member in kind.cls)
    return ("true", "false") if isinstance(kind, Bool) else ()
