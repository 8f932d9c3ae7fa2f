"""The types an argument may have, and how a value of each is written down and read back.

A kind knows three spellings of a value: the Python object, its JSON form (`args.json`, `--config`)
and the words of a command line. Reading is strict and raises ValueError; what a kind reads from its
own writing equals the value.
"""

from __future__ import annotations

import enum
import json
import math
import numbers
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from typing_extensions import override

_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NON_FINITE = ("inf", "-inf", "nan")


class Kind(ABC):
    """One type of argument.

    Attributes:
        label: the type, in messages and help.
        metavar: the shape of the value, in help.
        claims_none: whether the word `none` is a value of its own, so that it cannot mean None.
        takes_many: whether the option takes any number of words; else exactly one.
    """

    label: str
    metavar: str
    claims_none = False
    takes_many = False

    @abstractmethod
    def encode(self, value: object) -> Any:
        """The JSON form of a value; ValueError if it is not of this type."""

    @abstractmethod
    def decode(self, data: object) -> object:
        """The value of a JSON form; ValueError if it is not one of this type's."""

    @abstractmethod
    def read(self, words: Sequence[str]) -> object:
        """The value of the words of a command line; ValueError if they are not one."""

    def write(self, value: object) -> str:
        """The one word that `read` takes for this value; None is not among them."""
        return json_word(self.encode(value))

    def mismatch(self, value: object) -> ValueError:
        """The error for a value that is not of this type."""
        return ValueError(f"expected {self.label}, got {reprlib.repr(value)}")


class Str(Kind):
    """str."""

    label, metavar, claims_none = "str", "STR", True

    @override
    def encode(self, value: object) -> str:
        return self.decode(value)

    @override
    def decode(self, data: object) -> str:
        if not isinstance(data, str):
            raise self.mismatch(data)
        return str.__str__(data)  # plain, of a member of a str Enum too

    @override
    def read(self, words: Sequence[str]) -> str:
        return words[0]


class Int(Kind):
    """int. Numbers of other libraries (numpy's integers) are written down as the same."""

    label, metavar = "int", "INT"

    @override
    def encode(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise self.mismatch(value)
        return int(value)

    @override
    def decode(self, data: object) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise self.mismatch(data)
        return data

    @override
    def read(self, words: Sequence[str]) -> int:
        try:
            return int(words[0])
        except ValueError:
            raise self.mismatch(words[0]) from None


class Float(Kind):
    """float. JSON has no inf and nan: they are written down as strings."""

    label, metavar = "float", "FLOAT"

    @override
    def encode(self, value: object) -> float | str:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise self.mismatch(value)
        number = self._float(value)
        return number if math.isfinite(number) else str(number)

    @override
    def decode(self, data: object) -> float:
        if isinstance(data, str) and data in _NON_FINITE:
            return float(data)
        if isinstance(data, bool) or not isinstance(data, (int, float)):
            raise self.mismatch(data)
        return self._float(data)

    @override
    def read(self, words: Sequence[str]) -> float:
        try:
            return float(words[0])
        except ValueError:
            raise self.mismatch(words[0]) from None

    def _float(self, number: numbers.Real | float) -> float:
        try:
            return float(number)
        except OverflowError:
            raise self.mismatch(number) from None


class Bool(Kind):
    """bool."""

    label, metavar = "bool", "[true|false]"

    @override
    def encode(self, value: object) -> bool:
        return self.decode(value)

    @override
    def decode(self, data: object) -> bool:
        if not isinstance(data, bool):
            raise self.mismatch(data)
        return data

    @override
    def read(self, words: Sequence[str]) -> bool:
        try:
            return _BOOLS[words[0].lower()]
        except KeyError:
            raise ValueError(f"expected true or false, got {reprlib.repr(words[0])}") from None


class Path(Kind):
    """A class of pathlib's."""

    metavar = "PATH"

    def __init__(self, cls: type[PurePath]) -> None:
        self.cls = cls
        self.label = cls.__name__

    @override
    def encode(self, value: object) -> str:
        if not isinstance(value, (str, PurePath)):
            raise self.mismatch(value)
        return str(self.cls(value))

    @override
    def decode(self, data: object) -> PurePath:
        if not isinstance(data, str):
            raise self.mismatch(data)
        return self.cls(data)

    @override
    def read(self, words: Sequence[str]) -> PurePath:
        return self.cls(words[0])

    @override
    def write(self, value: object) -> str:
        word = self.encode(value)
        return f"./{word}" if means_none(word) else word  # equal to the path, and not to `none`


class Literal(Kind):
    """One of a few strings, ints and bools."""

    def __init__(self, values: Sequence[str | int | bool]) -> None:
        self.values = values
        self.by_word = {_literal_word(value): value for value in values}
        if len(self.by_word) < len(values):
            raise ValueError("two of its values are spelled the same on a command line")
        self.label = f"one of {', '.join(self.by_word)}"
        self.metavar = f"{{{','.join(self.by_word)}}}"
        self.claims_none = any(map(means_none, self.by_word))

    @override
    def encode(self, value: object) -> str | int | bool:
        return self.decode(value)

    @override
    def decode(self, data: object) -> str | int | bool:
        for value in self.values:
            if type(value) is type(data) and value == data:
                return value
        raise self.mismatch(data)

    @override
    def read(self, words: Sequence[str]) -> str | int | bool:
        try:
            return self.by_word[words[0]]
        except KeyError:
            raise self.mismatch(words[0]) from None


class Enum(Kind):
    """An Enum: written by its member's name; read by name, or by value where only one has it."""

    def __init__(self, cls: type[enum.Enum]) -> None:
        self.cls = cls
        names = [member.name for member in cls]
        self.label = f"one of {', '.join(names)}"
        self.metavar = f"{{{','.join(names)}}}"
        self.claims_none = any(
            means_none(word) for m in cls for word in (m.name, str(m.value))
        ) or any(map(means_none, cls.__members__))

    @override
    def encode(self, value: object) -> str:
        if not isinstance(value, self.cls):
            raise self.mismatch(value)
        return value.name

    @override
    def decode(self, data: object) -> enum.Enum:
        found = [m for m in self.cls if type(m.value) is type(data) and m.value == data]
        return self._pick(data, found)

    @override
    def read(self, words: Sequence[str]) -> enum.Enum:
        return self._pick(words[0], [m for m in self.cls if str(m.value) == words[0]])

    def _pick(self, given: object, by_value: Sequence[enum.Enum]) -> enum.Enum:
        if isinstance(given, str) and given in self.cls.__members__:
            return self.cls[given]
        if len(by_value) == 1:
            return by_value[0]
        raise self.mismatch(given)


def json_word(data: object) -> str:
    """The one word for a value's JSON form: a string as it is, JSON otherwise."""
    return data if isinstance(data, str) else json.dumps(data)


def means_none(word: str) -> bool:
    """Whether a word of a command line stands for None, where that is possible."""
    return word.lower() == "none"


def _literal_word(value: str | int | bool) -> str:
    return value if isinstance(value, str) else json.dumps(value)
