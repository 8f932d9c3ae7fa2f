"""The types made of other types: None or a value, and collections of values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from savethat.args.kinds import Kind, means_none


class Optional(Kind):
    """Another kind, or None: the word `none`, unless that is a value of the other kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.label = f"{kind.label} or none"
        self.metavar = kind.metavar
        self.claims_none = kind.claims_none
        self.takes_many = kind.takes_many

    @override
    def encode(self, value: object) -> Any:
        return None if value is None else self.kind.encode(value)

    @override
    def decode(self, data: object) -> object:
        return None if data is None else self.kind.decode(data)

    @override
    def read(self, words: Sequence[str]) -> object:
        if len(words) == 1 and means_none(words[0]) and not self.claims_none:
            return None
        return self.kind.read(words)

    @override
    def write(self, value: object) -> str:
        return self.kind.write(value)


class Collection(Kind):
    """A list, set, frozenset or tuple of any length: words, or one word of JSON."""

    takes_many = True

    def __init__(self, cls: type, item: Kind) -> None:
        self.cls = cls
        self.item = item
        inside = f"{item.label}, ..." if cls is tuple else item.label
        self.label = f"{cls.__name__}[{inside}]"
        self.metavar = "JSON" if item.takes_many else f"[{item.metavar} ...]"
        self.claims_none = item.claims_none

    @override
    def encode(self, value: object) -> list[Any]:
        unordered = issubclass(self.cls, (set, frozenset))
        if not isinstance(value, (set, frozenset) if unordered else (list, tuple)):
            raise self.mismatch(value)
        items = [self.item.encode(item) for item in value]
        return in_order(items) if unordered else items

    @override
    def decode(self, data: object) -> object:
        if not isinstance(data, list):
            raise self.mismatch(data)
        return self.cls(self.item.decode(item) for item in data)

    @override
    def read(self, words: Sequence[str]) -> object:
        if are_json(words):
            return self.decode(_load(words[0]))
        if self.item.takes_many and words:
            raise ValueError(f"expected {self.label} as JSON in one word, got {words[0]!r}")
        return self.cls(self.item.read([word]) for word in words)


class Tuple(Kind):
    """A tuple of fixed length: words, or one word of JSON."""

    takes_many = True

    def __init__(self, items: Sequence[Kind]) -> None:
        self.items = items
        self.label = f"tuple[{', '.join(item.label for item in items)}]"
        many = any(item.takes_many for item in items)
        self.metavar = "JSON" if many else " ".join(item.metavar for item in items)
        self.claims_none = any(item.claims_none for item in items)

    @override
    def encode(self, value: object) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) != len(self.items):
            raise self.mismatch(value)
        return [kind.encode(item) for kind, item in zip(self.items, value, strict=True)]

    @override
    def decode(self, data: object) -> tuple[object, ...]:
        if not isinstance(data, list) or len(data) != len(self.items):
            raise self.mismatch(data)
        return tuple(kind.decode(item) for kind, item in zip(self.items, data, strict=True))

    @override
    def read(self, words: Sequence[str]) -> tuple[object, ...]:
        if are_json(words):
            return self.decode(_load(words[0]))
        if any(item.takes_many for item in self.items):
            raise ValueError(f"expected {self.label} as JSON in one word, got {list(words)}")
        if len(words) != len(self.items):
            raise ValueError(f"expected {self.label}: {len(self.items)} words, got {len(words)}")
        return tuple(kind.read([word]) for kind, word in zip(self.items, words, strict=True))


def bare(kind: Kind) -> Kind:
    """The kind without its `| None`."""
    return kind.kind if isinstance(kind, Optional) else kind


def are_json(words: Sequence[str]) -> bool:
    """Whether the words of a collection are one word of JSON."""
    return len(words) == 1 and words[0].lstrip().startswith("[")


def _load(word: str) -> object:
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        raise ValueError(
            f"a word that starts with [ is read as JSON, and {word!r} is not"
        ) from None


def in_order(items: list[Any]) -> list[Any]:
    """JSON forms in an order that is the same in every process."""
    try:
        return sorted(items)
    except TypeError:  # of different types
        return sorted(items, key=json.dumps)
