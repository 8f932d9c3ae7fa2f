"""JSON values of two runs, side by side."""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias


class Absent(enum.Enum):
    """Stands for what only the other run has; JSON's null is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

_Path: TypeAlias = tuple[str | int, ...]
# A name, with its value in either run.
Pairs: TypeAlias = Iterator[tuple[str, Any, Any]]


def named(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    """All names, sorted, with their values; ABSENT where there is none."""
    for name in sorted({*a, *b}):
        yield name, a.get(name, ABSENT), b.get(name, ABSENT)


def differing_leaves(a: Any, b: Any, tolerance: float) -> Pairs:
    """What differs in two values, by its dotted name."""
    # By path, not by dotted name: {"a.b": 1} is not {"a": {"b": 1}}.
    one, two = dict(leaves(a)), dict(leaves(b))
    for path in dict.fromkeys((*one, *two)):
        first, second = one.get(path, ABSENT), two.get(path, ABSENT)
        if not equal(first, second, tolerance):
            yield dotted(path), first, second


def leaves(value: Any, *, lists: bool = True) -> Iterator[tuple[_Path, Any]]:
    """All that is no container, or an empty one inside, with its path; without recursion."""
    stack: list[tuple[_Path, Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        inner: list[tuple[str | int, Any]] = []
        if isinstance(item, Mapping):
            inner = [*item.items()]
        elif isinstance(item, (list, tuple)) and lists:
            inner = [*enumerate(item)]
        if inner:
            stack.extend(((*path, name), part) for name, part in reversed(inner))
        elif path or item != {}:  # nothing at all has no name
            yield path, item


def dotted(path: _Path) -> str:
    """A path as one name; that of a value by itself is `value`."""
    return ".".join(map(str, path)) or "value"


def equal(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two values are equal, their numbers within a tolerance. NaN equals NaN."""
    if _is_number(a) and _is_number(b):
        return a == b or (a != a and b != b) or (tolerance > 0 and _close(a, b, tolerance))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b, itertools.repeat(tolerance)))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[name], b[name], tolerance) for name in a)
    # True is not 1, nor {} [].
    return type(a) is type(b) and bool(a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _close(a: float, b: float, tolerance: float) -> bool:
    try:
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an integer that no float can be
        return False
