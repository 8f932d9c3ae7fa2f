"""The fields of a record, checked one by one as they are read from JSON."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from savethat.untrusted import shortened

# What every reader of JSON takes for the same number.
_LARGEST = 2**53
_T = TypeVar("_T")
_Shape: TypeAlias = "type | tuple[type, ...]"

# What a JSON value may be, by the annotation of its field.
_SHAPES: dict[str, _Shape] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "Mapping[str, Any]": dict,
}


def fields_of(data: object, known_format: int) -> dict[str, Any]:
    """The fields of a record of a known format.

    Raises:
        ValueError: it is no record, or of another format.
    """
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    found = data.get("format")
    if type(found) is int and found > known_format:
        raise ValueError(
            f"it was made by a newer savethat (format {shortened(found)}): "
            "upgrade this one, pip install -U savethat"
        )
    if type(found) is not int or found != known_format:
        raise ValueError(f"format {shortened(found)}; this savethat reads format {known_format}")
    return {name: value for name, value in data.items() if name != "format"}


def build(cls: type[_T], data: object, made: Mapping[str, Any] | None = None) -> _T:
    """A dataclass from a JSON object; fields of later versions are ignored.

    Args:
        cls: the dataclass.
        data: the object.
        made: the fields that are made of JSON values already, in the place of those.

    Raises:
        ValueError: a value is not what its field takes, or one is missing.
    """
    if not isinstance(data, dict):
        raise ValueError(f"not a {cls.__name__}: {shortened(data)}")
    known = dict(made or {})
    for name, shape in _shapes_of(cls).items():  # type: ignore[arg-type] # a class is hashable
        if name in data and name not in known:
            value = data[name]
            # Most are texts: a listing has hundreds of thousands of them.
            plain = shape is str and type(value) is str
            known[name] = value if plain else _checked(cls, name, shape, value)
    try:
        return cls(**known)
    except TypeError as error:
        raise ValueError(f"not a {cls.__name__}: {error}") from None


@functools.cache
def _shapes_of(cls: type) -> dict[str, _Shape | None]:
    """What the fields of a dataclass may be; None for those that are always made before."""
    return {field.name: _SHAPES.get(str(field.type)) for field in dataclasses.fields(cls)}


def _checked(owner: type, name: str, shape: _Shape | None, value: Any) -> Any:
    assert shape is not None, f"{owner.__name__}.{name} is not made of JSON as it is"
    is_odd_bool = isinstance(value, bool) and shape is not bool
    is_odd_number = isinstance(value, (int, float)) and not 0 <= value <= _LARGEST
    if not isinstance(value, shape) or is_odd_bool or is_odd_number:
        raise ValueError(f"{owner.__name__}.{name} is {shortened(value)}")
    return value


def words(value: object) -> tuple[str, ...]:
    """A list of words.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"not a list of words: {shortened(value)}")
    return tuple(value)
