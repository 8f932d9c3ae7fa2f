"""The fields of a class of arguments, and what each one's type says about its values."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from savethat.args import containers, kinds
from savethat.args.base import complete
from savethat.errors import ArgumentError

_SCALARS: dict[object, type[kinds.Kind]] = {
    str: kinds.Str,
    int: kinds.Int,
    float: kinds.Float,
    bool: kinds.Bool,
}
_COLLECTIONS = (list, set, frozenset)
_CAN_BE_SAVED = (
    "Arguments may be str, int, float, bool, Path, Enum, Literal; X | None, list, set and tuple of "
    "these; and frozen dataclasses."
)


@dataclasses.dataclass(frozen=True)
class Group:
    """The type of a field that is itself a dataclass of arguments.

    Args:
        cls: the dataclass.
        optional: whether the field may be None instead.
    """

    cls: type
    optional: bool


@dataclasses.dataclass(frozen=True)
class Field:
    """One argument, or a group of them.

    Args:
        name: the field's own spelling.
        kind: its type.
        default: makes the default value; None for a required field.
    """

    name: str
    kind: kinds.Kind | Group
    default: Callable[[], object] | None

    def make_default(self) -> object | None:
        """The default value; None for a required field."""
        return None if self.default is None else self.default()


def schema(cls: type) -> tuple[Field, ...]:
    """The fields of a class of arguments, in their order, checked.

    ClassVars and fields with `init=False` are not arguments.

    Raises:
        ArgumentError: `cls` is not a frozen dataclass, an annotation cannot be resolved, or a field
            has a type, default or name that cannot be saved, restored and given on a command line.
    """
    return _schema(cls)


@functools.cache
def _schema(cls: type) -> tuple[Field, ...]:
    fields = _fields(cls, ())
    _spellings(fields)
    return fields


def spellings(cls: type) -> Mapping[str, tuple[str, bool]]:
    """What follows the `--` of each option; the dotted key it sets, and whether it clears it."""
    return _spellings(schema(cls))


def walk(fields: tuple[Field, ...], prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Every field with its dotted key, each group before the fields in it."""
    for field in fields:
        yield prefix + field.name, field
        if isinstance(field.kind, Group):
            yield from walk(schema(field.kind.cls), f"{prefix}{field.name}.")


def flag_names(cls: type) -> tuple[str, ...]:
    """The dotted key of everything that can be given: the options' spelling without the `--`."""
    return tuple(key for key, field in walk(schema(cls)) if can_be_given(field))


def can_be_given(field: Field) -> bool:
    """Whether the field has an option of its own; of the groups only the optional ones have."""
    return not isinstance(field.kind, Group) or field.kind.optional


def is_switch(kind: kinds.Kind | Group) -> bool:
    """Whether `--x` stands without a value, and `--no_x` for false."""
    return isinstance(kind, kinds.Kind) and isinstance(containers.bare(kind), kinds.Bool)


def may_be_none(kind: kinds.Kind | Group) -> bool:
    """Whether None is a value of the field."""
    return isinstance(kind, containers.Optional) or (isinstance(kind, Group) and kind.optional)


def _spellings(fields: tuple[Field, ...]) -> dict[str, tuple[str, bool]]:
    found: dict[str, tuple[str, bool]] = {}
    for key, field in walk(fields):
        if not can_be_given(field):
            continue
        names = {key: False}
        if is_switch(field.kind) or may_be_none(field.kind):
            group = key.removesuffix(field.name)
            names |= {f"no_{key}": True, f"{group}no_{field.name}": True}
        for name, negated in names.items():
            if name == "help":
                raise ArgumentError(f"--{name} cannot be an argument", "Rename the field.")
            if name in found:
                raise ArgumentError(
                    f"--{name} would mean both {found[name][0]} and {key}",
                    f"Rename one of them: --no_{key} is how {key} is turned off or cleared.",
                )
            found[name] = (key, negated)
    return found


def _fields(cls: type, within: tuple[type, ...]) -> tuple[Field, ...]:
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        raise ArgumentError(
            f"{getattr(cls, '__name__', cls)} is not a dataclass",
            "Arguments are a class with @dataclasses.dataclass(frozen=True) above it.",
        )
    complete(cls)
    if cls.__setattr__ is object.__setattr__:
        raise ArgumentError(
            f"{cls.__name__} is not frozen, so what is saved could differ from what ran",
            f"Write @dataclasses.dataclass(frozen=True) above {cls.__name__}.",
        )
    hints = _hints(cls)
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar):
            raise _refused(cls, name, "an InitVar is not kept, so it")
    return tuple(
        _field(cls, field, hints[field.name], (*within, cls))
        for field in dataclasses.fields(cls)
        if field.init
    )


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except NameError as error:
        raise ArgumentError(
            f"{cls.__name__}: the name {error.name!r} in its annotations is not defined in "
            f"{cls.__module__}",
            "Define or import it at the top of the module, outside `if TYPE_CHECKING:`.",
        ) from error
    except (AttributeError, SyntaxError, TypeError) as error:
        raise ArgumentError(f"{cls.__name__}: an annotation is not a type: {error}") from error


def _field(
    cls: type, field: dataclasses.Field[Any], hint: object, within: tuple[type, ...]
) -> Field:
    inner, optional = _without_none(hint)
    kind: kinds.Kind | Group
    if isinstance(inner, type) and dataclasses.is_dataclass(inner):
        if inner in within:
            raise _refused(cls, field.name, f"{inner.__name__} inside itself")
        _fields(inner, within)
        kind = Group(inner, optional)
    else:
        try:
            kind = _kind(hint)
        except _RefusedTypeError as refused:
            raise _refused(cls, field.name, str(refused)) from None
    default: Callable[[], object] | None = None
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory
    elif field.default is not dataclasses.MISSING:
        _check_default(cls, field, kind)
        default = functools.partial(_constant, field.default)
    return Field(field.name, kind, default)


def _constant(value: object) -> object:
    return value


def _check_default(cls: type, field: dataclasses.Field[Any], kind: kinds.Kind | Group) -> None:
    value = field.default
    if isinstance(kind, Group):
        fits = type(value) is kind.cls or (kind.optional and value is None)
    else:
        try:
            restored = kind.decode(kind.encode(value))
        except ValueError:
            fits = False
        else:
            fits = restored == value or type(restored) is type(value)  # nan is not nan
    if not fits:
        label = kind.cls.__name__ if isinstance(kind, Group) else kind.label
        raise ArgumentError(
            f"{cls.__name__}.{field.name}: its default {value!r} is not of its type, {label}",
            "Write the type as X | None, or change the default."
            if value is None
            else "Change the default or the type.",
        )


def _refused(cls: type, name: str, what: str) -> ArgumentError:
    return ArgumentError(
        f"{cls.__name__}.{name}: {what} cannot be saved and restored as JSON", _CAN_BE_SAVED
    )


class _RefusedTypeError(Exception):
    """A type that is not supported; says its name."""


def _without_none(hint: object) -> tuple[object, bool]:
    """A type without its `| None`, and whether it had one."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    arms = [arm for arm in typing.get_args(hint) if arm is not types.NoneType]
    if len(arms) != 1:
        return hint, False
    return arms[0], True


def _kind(hint: object) -> kinds.Kind:
    inner, optional = _without_none(hint)
    if typing.get_origin(inner) is typing.Literal:
        return _literal(inner, optional)
    return containers.Optional(_plain(inner)) if optional else _plain(inner)


def _plain(hint: object) -> kinds.Kind:
    origin, arms = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]()
    if origin in _COLLECTIONS and arms:
        item = _kind(arms[0])
        if origin is not list and _is_unhashable(item):
            raise _RefusedTypeError(_name(hint))
        return containers.Collection(origin, item)
    if origin is tuple and len(arms) == 2 and arms[1] is Ellipsis:
        return containers.Collection(tuple, _kind(arms[0]))
    if origin is tuple and arms:
        return containers.Tuple([_kind(arm) for arm in arms])
    if origin is None and isinstance(hint, type):
        if issubclass(hint, PurePath):
            return kinds.Path(hint)
        # A combination of flags is a value without a name.
        if issubclass(hint, enum.Enum) and not issubclass(hint, enum.Flag) and len(hint):
            return kinds.Enum(hint)
        if hint in (tuple, *_COLLECTIONS):
            raise _RefusedTypeError(
                f"{hint.__name__} without the type of its items (list[int], say)"
            )
    raise _RefusedTypeError(_name(hint))


def _literal(hint: object, optional: bool) -> kinds.Kind:
    values = typing.get_args(hint)
    given = [value for value in values if value is not None]
    if not given or not all(type(value) in (str, int, bool) for value in given):
        raise _RefusedTypeError(_name(hint))
    try:
        kind = kinds.Literal(given)
    except ValueError as error:
        raise _RefusedTypeError(f"{_name(hint)}: {error}, so it") from None
    return containers.Optional(kind) if optional or len(given) < len(values) else kind


def _is_unhashable(kind: kinds.Kind) -> bool:
    if isinstance(kind, containers.Optional):
        return _is_unhashable(kind.kind)
    if isinstance(kind, containers.Tuple):
        return any(map(_is_unhashable, kind.items))
    if isinstance(kind, containers.Collection):
        return kind.cls in (list, set) or _is_unhashable(kind.item)
    return False


def _name(hint: object) -> str:
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    return str(hint).replace("typing.", "")
