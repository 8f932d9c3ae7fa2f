"""Arguments as JSON, and back: strict, so that what was saved is what is restored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from savethat.args.kinds import Kind, json_word
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
    return dict(flatten(to_json(args)))


def command_words(data: Mapping[str, Any]) -> list[str]:
    """Words of a command line that `parse` reads back to these arguments as JSON.

    They are made without the class, whose types JSON does not tell. So None is always `--no_x`,
    which is false where the field is a `bool | None`, and a `Path | None` that is the path `none`
    is cleared. `to_argv` knows the class and has neither limit.

    Args:
        data: the form of `to_json`.
    """
    words: list[str] = []
    for key, value in flatten(data):
        group, dot, name = key.rpartition(".")
        word = json_word(value)
        if value is None:
            words.append(f"--{group}{dot}no_{name}")
        elif word.startswith("-"):  # by itself it could be an option
            words.append(f"--{key}={word}")
        else:
            words += [f"--{key}", word]
    return words


def restore(kind: Kind | Group, data: object) -> object:
    """The value of a JSON form that is no object; ValueError if it is not one of the kind's."""
    if not isinstance(kind, Group):
        return kind.decode(data)
    if data is None and kind.optional:
        return None
    raise ValueError(_no_object(data))


def decode(
    cls: type, data: object, read: Callable[[Kind | Group, object], object] = restore
) -> Tree:
    """JSON or TOML data as typed values; fields may be missing.

    Args:
        cls: the class of arguments.
        data: an object, with its groups nested or under dotted keys.
        read: makes a value of what is no object; raises ValueError where there is none.

    Raises:
        ArgumentError: an unknown key, or a value of the wrong type; names the dotted key.
    """
    if not isinstance(data, Mapping):
        raise ArgumentError(f"{cls.__name__}: {_no_object(data)}", HINT)
    return _decode(cls, data, cls.__name__, "", read)


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
    require(cls, tree, dashes)
    return _build(cls, tree, None)


def require(cls: type, tree: Tree, dashes: str = "") -> None:
    """Checks that every required argument is given.

    Args:
        cls: the class of arguments.
        tree: what was given; only which fields are there matters.
        dashes: what stands before the names of missing arguments in the message.

    Raises:
        ArgumentError: some are missing; names them.
    """
    missing = ", ".join(dashes + key for key in _missing(cls, tree, None, ""))
    if missing:
        raise ArgumentError(f"{cls.__name__}: missing {missing}", HINT)


def flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no group, with its dotted key."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def did_you_mean(wrong: str, right: Iterable[str], dashes: str = "") -> str:
    """` (did you mean ...?)` with the near ones, or nothing."""
    import difflib  # only a mistake needs it

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


def _no_object(data: object) -> str:
    return f"expected an object of arguments, got {data!r}"


def _decode(
    cls: type,
    data: Mapping[object, object],
    owner: str,
    prefix: str,
    read: Callable[[Kind | Group, object], object],
) -> Tree:
    fields = {field.name: field for field in schema(cls)}
    tree: Tree = {}
    for key, value in data.items():
        name, dot, rest = str(key).partition(".")
        field = fields.get(name)
        if field is None or (dot and not isinstance(field.kind, Group)):
            near = did_you_mean(f"{prefix}{key}", [prefix + flag for flag in flag_names(cls)])
            raise ArgumentError(f"{owner} has no argument {prefix}{key}{near}", HINT)
        at = prefix + name
        given = {rest: value} if dot else value
        decoded: object
        if isinstance(field.kind, Group) and isinstance(given, Mapping):
            decoded = _decode(field.kind.cls, given, owner, f"{at}.", read)
        else:
            try:
                decoded = read(field.kind, given)
            except ValueError as error:
                raise ArgumentError(f"{owner}: {at}: {error}", HINT) from None
        tree[name] = _join(tree[name], decoded, owner, at) if name in tree else decoded
    return tree


def _join(first: object, second: object, owner: str, key: str) -> Tree:
    """One group out of its nested and its dotted spelling."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise ArgumentError(f"{owner}: {key} is given twice", HINT)
    joined: Tree = first | second
    for name in first.keys() & second.keys():
        joined[name] = _join(first[name], second[name], owner, f"{key}.{name}")
    return joined


def _missing(cls: type, tree: Tree, start: object | None, prefix: str) -> Iterator[str]:
    """The dotted keys of what is required and not given; `start` holds the defaults."""
    for field in schema(cls):
        key = prefix + field.name
        if field.name in tree:
            given = tree[field.name]
        elif start is not None or field.default is not None:
            continue
        elif isinstance(field.kind, Group) and not field.kind.optional:
            given = {}  # its own fields may all have defaults
        else:
            yield key
            continue
        if isinstance(field.kind, Group) and isinstance(given, dict):
            yield from _missing(field.kind.cls, given, _default(field, start), f"{key}.")


def _build(cls: type[T], tree: Tree, start: object | None) -> T:
    """An instance of what was given, of which nothing is missing, and of the defaults."""
    values: Tree = {}
    for field in schema(cls):
        if field.name in tree:
            given = tree[field.name]
        elif start is not None:
            given = getattr(start, field.name)
        elif field.default is not None:
            continue  # the dataclass itself fills it in
        else:
            given = {}  # a group whose own fields all have defaults
        if isinstance(field.kind, Group) and isinstance(given, dict):
            given = _build(field.kind.cls, given, _default(field, start))
        values[field.name] = given
    try:
        return cls(**values)
    except (AssertionError, TypeError, ValueError) as error:  # the class's own check
        raise ArgumentError(f"{cls.__name__}: {error}", HINT) from error


def _default(field: Field, start: object | None) -> object | None:
    return field.make_default() if start is None else getattr(start, field.name)
