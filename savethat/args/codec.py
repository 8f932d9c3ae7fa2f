"""Arguments as JSON, and back: strict, so that what was saved is what is restored."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from savethat.args.schema import Field, Group, flag_names, schema
from savethat.errors import ArgumentError

T = TypeVar("T")

HINT = "`savethat run NODE --help` shows every argument."

# What was given, by field name: typed values, and one such dict for a group.
Tree = dict[str, object]


def to_json(args: object) -> dict[str, Any]:
    """The arguments as JSON-able data: groups are nested objects, sets are sorted lists.

    Paths are strings, enum members their names, and inf, -inf and nan strings.

    Raises:
        ArgumentError: a value is not of its field's type, so it could not be restored.
    """
    return _encode(args, type(args).__name__, "")


def from_json(cls: type[T], data: Mapping[str, object]) -> T:
    """The arguments of `to_json`, or of a configuration file; `{"opt.lr": 1}` is taken as well.

    Raises:
        ArgumentError: an unknown or missing key, or a value of the wrong type; names the key.
    """
    return build(cls, decode(cls, data))


def flat(args: object) -> dict[str, Any]:
    """The arguments as JSON scalars and lists by dotted key: `{"opt.lr": 0.1}`."""
    return dict(_flatten(to_json(args), ""))


def decode(cls: type, data: object) -> Tree:
    """JSON or TOML data as typed values; fields may be missing.

    Raises:
        ArgumentError: an unknown key, or a value of the wrong type; names the dotted key.
    """
    return _decode(cls, data, cls.__name__, "")


def merge(below: Tree, above: Tree) -> Tree:
    """Both trees as one; where both have a value, the one from `above`."""
    merged = below | above
    for name in below.keys() & above.keys():
        low, high = below[name], above[name]
        if isinstance(low, dict) and isinstance(high, dict):
            merged[name] = merge(low, high)
    return merged


def build(cls: type[T], tree: Tree, dashes: str = "") -> T:
    """An instance from what was given and the defaults.

    Args:
        cls: the class of arguments.
        tree: typed values.
        dashes: what stands before the names of missing arguments in the message.

    Raises:
        ArgumentError: a required argument is missing, or the class's own check raised.
    """
    missing: list[str] = []
    args = _build(cls, tree, None, "", missing)
    if missing:
        names = ", ".join(dashes + key for key in missing)
        raise ArgumentError(f"{cls.__name__}: missing {names}", HINT)
    assert args is not None
    return args


def did_you_mean(wrong: str, right: Iterable[str], dashes: str = "") -> str:
    """` (did you mean ...?)` with the near ones, or nothing."""
    right = list(right)
    last = wrong.rpartition(".")[2]
    near = difflib.get_close_matches(wrong, right)
    near += [key for key in right if key.rpartition(".")[2] == last and key not in near]
    return f" (did you mean {' or '.join(dashes + key for key in near[:3])}?)" if near else ""


def _encode(args: object, owner: str, prefix: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for field in schema(type(args)):
        value = getattr(args, field.name)
        key = prefix + field.name
        if isinstance(field.kind, Group):
            if value is None and field.kind.optional:
                data[field.name] = None
            elif type(value) is field.kind.cls:
                data[field.name] = _encode(value, owner, f"{key}.")
            else:  # a subclass, too: its own fields would be lost
                raise ArgumentError(
                    f"{owner}: {key}: expected {field.kind.cls.__name__}, got {value!r}"
                )
        else:
            try:
                data[field.name] = field.kind.encode(value)
            except ValueError as error:
                raise ArgumentError(f"{owner}: {key}: {error}") from None
    return data


def _decode(cls: type, data: object, owner: str, prefix: str) -> Tree:
    if not isinstance(data, Mapping):
        at = f"{prefix[:-1]}: " if prefix else ""
        raise ArgumentError(f"{owner}: {at}expected an object of arguments, got {data!r}", HINT)
    fields = {field.name: field for field in schema(cls)}
    tree: Tree = {}
    for key, value in data.items():
        name, dot, rest = str(key).partition(".")
        field = fields.get(name)
        if field is None or (dot and not isinstance(field.kind, Group)):
            near = did_you_mean(f"{prefix}{key}", [prefix + flag for flag in flag_names(cls)])
            raise ArgumentError(f"{owner} has no argument {prefix}{key}{near}", HINT)
        decoded = _decode_field(field, {rest: value} if dot else value, owner, prefix + name)
        tree[name] = _join(tree[name], decoded, owner, prefix + name) if name in tree else decoded
    return tree


def _decode_field(field: Field, value: object, owner: str, key: str) -> object:
    if isinstance(field.kind, Group):
        if value is None and field.kind.optional:
            return None
        return _decode(field.kind.cls, value, owner, f"{key}.")
    try:
        return field.kind.decode(value)
    except ValueError as error:
        raise ArgumentError(f"{owner}: {key}: {error}", HINT) from None


def _join(first: object, second: object, owner: str, key: str) -> Tree:
    """One group out of its nested and its dotted spelling."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise ArgumentError(f"{owner}: {key} is given twice", HINT)
    joined: Tree = first | second
    for name in first.keys() & second.keys():
        joined[name] = _join(first[name], second[name], owner, f"{key}.{name}")
    return joined


def _build(
    cls: type[T], tree: Tree, start: object | None, prefix: str, missing: list[str]
) -> T | None:
    """An instance, or None if something was added to `missing`; `start` holds the defaults."""
    values: Tree = {}
    before = len(missing)
    for field in schema(cls):
        if field.name in tree:
            given = tree[field.name]
        elif start is not None:
            given = getattr(start, field.name)
        elif field.default is not None:
            continue  # the dataclass itself fills it in
        elif isinstance(field.kind, Group) and not field.kind.optional:
            given = {}  # its own fields may all have defaults
        else:
            missing.append(prefix + field.name)
            continue
        if isinstance(field.kind, Group) and isinstance(given, dict):
            inner = getattr(start, field.name) if start is not None else field.make_default()
            given = _build(field.kind.cls, given, inner, f"{prefix}{field.name}.", missing)
        values[field.name] = given
    if len(missing) > before:
        return None
    try:
        return cls(**values)
    except (AssertionError, TypeError, ValueError) as error:  # the class's own check
        raise ArgumentError(f"{cls.__name__}: {error}", HINT) from error


def _flatten(data: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
