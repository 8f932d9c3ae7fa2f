"""The values of one argument, where a configuration file or Python gives them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from savethat.args.codec import from_json, restore, to_json
from savethat.args.containers import Optional, bare, in_order
from savethat.args.items import Values, join, read_items, whole_range
from savethat.args.kinds import Bool, Float, Int, Kind
from savethat.args.schema import Group
from savethat.errors import ArgumentError

_COLLECTIONS = (list, tuple, set, frozenset)


def of_file(kind: Kind | Group, data: object) -> Values:
    """The values of JSON or TOML data that is no object.

    For a scalar, a list is several values, and a string for a number or a bool is read as a word of
    the command line. For a collection, a list of lists is several values, unless it is one.

    Raises:
        ValueError: something is not of the kind, or there are no values.
    """
    if isinstance(kind, Group):
        return [restore(kind, data)]
    if kind.takes_many:
        return _one_or_several(kind, data, _decoded)
    reads_words = isinstance(bare(kind), (Int, Float, Bool))
    return join(
        [
            read_items(kind, [item])
            if isinstance(item, str) and reads_words
            else [kind.decode(item)]
            for item in (data if isinstance(data, list) else [data])
        ]
    )


def of_python(kind: Kind | Group, value: object) -> Values:
    """The values of a Python object: as `of_file`, with any iterable in a list's place.

    Raises:
        ValueError: something is not of the kind, or there are no values.
    """
    value = _native(value)
    if isinstance(kind, Group):
        items = value if isinstance(value, list) else [value]
        return join([[_instance(kind, item)] for item in items])
    if isinstance(value, range) and isinstance(bare(kind), (Int, Float)):
        return join([whole_range(kind, value)])
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, *_COLLECTIONS)):
        if not kind.takes_many:  # one by one: a long range of what is refused ends at its first
            return join([_restored(kind, map(_native, value))])
        value = _native(list(value))
    return _one_or_several(kind, value, _restored)


def _one_or_several(
    kind: Kind, value: Any, read: Callable[[Kind, Iterable[object]], list[object]]
) -> Values:
    """One value where it is one of the kind's; else several, where it can be."""
    try:
        return read(kind, [value])
    except ValueError:
        if not isinstance(value, _COLLECTIONS) or (kind.takes_many and not _are_many(kind, value)):
            raise
    return join([read(kind, value)])


def _are_many(kind: Kind, values: Collection[object]) -> bool:
    """Whether each of these could be a value of a kind of collections."""
    may_be_none = isinstance(kind, Optional)
    return bool(values) and all(
        isinstance(value, _COLLECTIONS) or (value is None and may_be_none) for value in values
    )


def _decoded(kind: Kind, items: Iterable[object]) -> list[object]:
    return [kind.decode(item) for item in items]


def _restored(kind: Kind, items: Iterable[object]) -> list[object]:
    """The values that will be restored from what is saved of these."""
    encoded = [kind.encode(item) for item in items]
    if isinstance(items, (set, frozenset)):  # in another process it has another order
        encoded = in_order(encoded)
    return _decoded(kind, encoded)


def _instance(kind: Group, value: object) -> object:
    if type(value) is not kind.cls:
        if value is None and kind.optional:
            return None
        raise ValueError(f"expected {kind.cls.__name__}, got {reprlib.repr(value)}")
    try:
        return from_json(kind.cls, to_json(value))
    except ArgumentError as error:
        raise ValueError(error.message) from None


def _native(value: Any) -> Any:
    """What the arrays and numbers of numpy and its like hold; other values as they are."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if type(value) in (list, tuple):
        return [_native(item) for item in value]
    return value
