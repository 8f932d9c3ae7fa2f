"""Walks a sorted listing for many ranges of names with few calls: each of them is paid for.

What lies near is listed together; gaps are jumped over. Pure: whoever walks brings the listing.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

# The most items of a page at the price of one call; and what is asked for beyond a gap after a page
# that served one range only: what comes with it is likely to be of no use.
FULL = 1_000
SMALL = 200


class Named(Protocol):
    """What a listing lists."""

    @property
    def name(self) -> str:
        """What it is sorted by."""


Item = TypeVar("Item", bound=Named)
Thing = TypeVar("Thing")


class Range(NamedTuple):
    """The names from `first` to below `stop`."""

    first: str
    stop: str


class Place(NamedTuple):
    """Where a listing goes on: at a name, and there at the item of an id (None: the first)."""

    name: str
    id: str | None = None


@dataclasses.dataclass(frozen=True)
class Page(Generic[Item]):
    """What one call brings: items by name, and where the next one goes on; None: nowhere."""

    items: Sequence[Item]
    next: Place | None


def of_prefix(prefix: str) -> Range:
    """All names that start with a prefix, which is not empty."""
    return Range(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def of_name(name: str) -> Range:
    """One name: none that a store takes sorts between it and the end."""
    return Range(name, f"{name}\0")


def common_prefix(ranges: Sequence[Range]) -> str:
    """What all names of sorted ranges start with."""
    pairs = zip(ranges[0].first, ranges[-1].first, strict=False)
    return "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def parts(things: Sequence[Thing], most: int, least: int) -> list[Sequence[Thing]]:
    """A sequence in parts, neighbours together, to be walked at the same time.

    Args:
        things: all of them.
        most: so many parts at most.
        least: so many things in a part at least, unless there are fewer.
    """
    count = max(1, min(most, len(things) // least))
    bounds = [len(things) * number // count for number in range(count + 1)]
    return [things[first:stop] for first, stop in itertools.pairwise(bounds) if first < stop]


def walk(
    ranges: Sequence[Range], ask: Callable[[Place, int], Page[Item]]
) -> Iterator[tuple[int, Item]]:
    """The items in ranges, each with its range's index.

    No range costs more calls than if it were listed alone, but one that is larger than a small
    page: it may cost one more.

    Args:
        ranges: sorted, none within another.
        ask: for the page from a place on, of so many items at most.
    """
    at, place, size = 0, Place(ranges[0].first), FULL
    while True:
        page = ask(place, size)
        before = at
        for item in page.items:
            at = _skip(ranges, at, item.name)
            if at == len(ranges):
                return
            if item.name >= ranges[at].first:
                yield at, item
        if page.next is None:
            return
        at = _skip(ranges, at, page.next.name)
        if at == len(ranges):
            return
        gap = page.next.name < ranges[at].first
        size = SMALL if gap and at - before <= 1 else FULL
        place = Place(ranges[at].first) if gap else page.next


def _skip(ranges: Sequence[Range], at: int, name: str) -> int:
    """The index, from `at` on, of the first range that a name does not lie beyond."""
    while at < len(ranges) and name >= ranges[at].stop:
        at += 1
    return at
