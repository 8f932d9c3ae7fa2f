"""Several values of one argument, as the words of a sweep's command line.

A scalar's word is split at its commas, and a range stands for its numbers; a collection's word is
JSON lists with commas between them. Ranges are never written out: `0..1000000000` is as short as
it looks.
"""

from __future__ import annotations

import bisect
import dataclasses
import decimal
import itertools
import json
import math
import re
import reprlib
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol, TypeVar

from savethat.args.containers import Optional, are_json, bare
from savethat.args.kinds import Float, Int, Kind

_N = TypeVar("_N", int, Decimal)

_QUOTED_OR_PLAIN = re.compile(
    r"""\s*("(?:[^"]|"")*"|'(?:[^']|'')*')\s*(?=,|\Z)  # as in CSV: "" is a quote inside quotes
    |((?:\\,|[^,])*)""",
    re.VERBOSE,
)
_NONE_ITEM = re.compile(r"\s*none\s*(?=,|\Z)", re.IGNORECASE)
_SPACE = re.compile(r"\s*")
_JSON = json.JSONDecoder()

# Enough digits for any two floats to be subtracted without loss.
_DIGITS = 1000
_EXACT = decimal.Context(
    prec=_DIGITS, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow]
)
_ROUNDED = decimal.Context(prec=_DIGITS, traps=[])


class Values(Protocol):
    """Values by position; they need not be there before they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> object: ...


def read_items(kind: Kind, words: Sequence[str]) -> Values:
    """The values of an option's words.

    Args:
        kind: the type of each value.
        words: as `kind.read` takes them for one value.

    Raises:
        ValueError: an item is not of this type, is empty, or is too long a range.
    """
    if not kind.takes_many:
        return _scalars(kind, words[0])
    has_none = isinstance(kind, Optional) and not kind.claims_none
    if are_json(words) or (has_none and len(words) == 1 and _NONE_ITEM.match(words[0])):
        return _lists(kind, words[0])
    return [kind.read(words)]


def join(parts: Sequence[Values]) -> Values:
    """Values one after another, none of them copied.

    Raises:
        ValueError: there are none, or too many to be counted.
    """
    ends = list(itertools.accumulate(map(len, parts)))
    if not ends or not ends[-1]:
        raise ValueError("no values are given")
    if ends[-1] > sys.maxsize:
        raise _too_many()
    return parts[0] if len(parts) == 1 else _Joined(parts, ends)


def whole_range(kind: Kind, numbers: range) -> Values:
    """The values of a Python range, for an int or a float.

    Raises:
        ValueError: there are too many to be counted, or some are too large for a float.
    """
    try:
        count = len(numbers)
    except OverflowError:
        raise _too_many() from None
    if isinstance(bare(kind), Int) or not count:
        return numbers
    for end in (numbers[0], numbers[-1]):
        kind.encode(end)
    return _Steps(Decimal(numbers.start), Decimal(numbers.step), count)


@dataclasses.dataclass(frozen=True)
class _Steps:
    """Floats at equal distances, each the nearest to its decimal number: 0.3 is 0.3."""

    first: Decimal
    step: Decimal
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int, /) -> float:
        return float(_ROUNDED.fma(self.step, Decimal(position), self.first))


@dataclasses.dataclass(frozen=True)
class _Joined:
    parts: Sequence[Values]
    ends: Sequence[int]

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, position: int, /) -> object:
        part = bisect.bisect_right(self.ends, position)
        return self.parts[part][position - (self.ends[part - 1] if part else 0)]


class _Item(NamedTuple):
    text: str
    quoted: bool


def _scalars(kind: Kind, word: str) -> Values:
    has_ranges = isinstance(bare(kind), (Int, Float))
    return join(
        [
            _range(kind, item.text)
            if has_ranges and ".." in item.text and not item.quoted
            else [kind.read([item.text])]
            for item in _split(word)
        ]
    )


def _split(word: str) -> list[_Item]:
    """The items between the commas of a word."""
    items: list[_Item] = []
    comma = -1
    while comma < len(word):
        match = _QUOTED_OR_PLAIN.match(word, comma + 1)
        assert match is not None  # a plain item may be empty
        quoted, plain = match.groups()
        if quoted is not None:
            items.append(_Item(quoted[1:-1].replace(quoted[0] * 2, quoted[0]), True))
        elif plain.lstrip().startswith(('"', "'")):
            raise ValueError(f"{reprlib.repr(plain)} begins with a quote, and does not end with it")
        else:
            items.append(_Item(plain.replace("\\,", ","), False))
        comma = match.end()
    if len(items) > 1:  # a single item is what `run` would make of it
        items = [item if item.quoted else _Item(item.text.strip(), False) for item in items]
    if _Item("", False) in items:
        raise ValueError(f'an empty value in {reprlib.repr(word)}; the empty string is ""')
    return items


def _range(kind: Kind, item: str) -> Values:
    """The numbers of `first..last` or `first..last..step`, both ends included."""
    shown = f"the range {reprlib.repr(item)}"
    parts = [part.strip() for part in item.split("..")]
    # The third of three dots could be the decimal point of either number.
    if "..." in item or "" in parts or len(parts) not in (2, 3):
        raise ValueError(f"{shown} is not FIRST..LAST or FIRST..LAST..STEP")
    number = bare(kind)
    try:
        if isinstance(number, Int):
            first, step, count = _steps([number.read([part]) for part in parts], 1)
            return range(first, first + step * count, step)
        with decimal.localcontext(_EXACT):
            return _Steps(*_steps([_decimal(part) for part in parts], Decimal(1)))
    except decimal.DecimalException:
        raise ValueError(f"{shown}: its numbers have too many digits") from None
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None


def _decimal(word: str) -> Decimal:
    if not math.isfinite(Float().read([word])):
        raise ValueError(f"{word} is no finite float")
    return Decimal(word)


def _steps(numbers: Sequence[_N], one: _N) -> tuple[_N, _N, int]:
    """The first number of a range, its step, and how many numbers it has."""
    first, last = numbers[:2]
    span = last - first
    step = numbers[2] if len(numbers) > 2 else one
    if not step:
        raise ValueError("its step is 0")
    if step < 0 < span:
        raise ValueError("its step leads away from its end")
    if span < 0 < step:
        step = -step
    if len(numbers) == 2 and span % step:
        raise ValueError("steps of 1 do not meet its end: write FIRST..LAST..STEP")
    count = int(span // step) + 1
    if count > sys.maxsize:
        raise _too_many()
    return first, step, count


def _lists(kind: Kind, word: str) -> list[object]:
    """The values of a word of JSON lists, and of `none` among them where the kind has it."""
    values: list[object] = []
    comma = -1
    try:
        while comma < len(word):
            none = _NONE_ITEM.match(word, comma + 1) if isinstance(kind, Optional) else None
            if none is not None:
                values.append(None)
                comma = none.end()
                continue
            data, end = _JSON.raw_decode(word, _past_space(word, comma + 1))
            values.append(kind.decode(data))
            comma = _past_space(word, end)
            if word[comma : comma + 1] not in ("", ","):
                raise json.JSONDecodeError("a comma is missing", word, comma)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"{word!r} is not JSON lists with commas between them") from None
    return values


def _past_space(word: str, position: int) -> int:
    space = _SPACE.match(word, position)
    assert space is not None  # it may be empty
    return space.end()


def _too_many() -> ValueError:
    return ValueError(f"more than {sys.maxsize:,} values")
