"""The law of ranges: every item of each, and no more calls than listing each alone would take."""

from __future__ import annotations

import bisect
import dataclasses
import random

import pytest

from savethat.remotes.ranges import (
    FULL,
    SMALL,
    Page,
    Place,
    Range,
    common_prefix,
    of_name,
    of_prefix,
    parts,
    walk,
)


@dataclasses.dataclass(frozen=True)
class Item:
    name: str
    id: str


class Listing:
    """A sorted listing with several items of some names, as a store gives it in pages."""

    def __init__(self, names: list[str], most: int = FULL) -> None:
        self.items = [Item(name, f"{number:06d}") for number, name in enumerate(sorted(names))]
        self.sizes: list[int] = []
        self._most = most

    def ask(self, place: Place, size: int) -> Page[Item]:
        self.sizes.append(size)
        size = min(size, self._most)
        start = (place.name, place.id or "")
        first = bisect.bisect_left(self.items, start, key=lambda item: (item.name, item.id))
        after = self.items[first + size : first + size + 1]
        return Page(
            self.items[first : first + size], Place(after[0].name, after[0].id) if after else None
        )

    def found(self, ranges: list[Range]) -> list[tuple[int, Item]]:
        return list(walk(ranges, self.ask))

    def within(self, ranges: list[Range]) -> list[tuple[int, Item]]:
        return [
            (number, item)
            for number, (first, stop) in enumerate(ranges)
            for item in self.items
            if first <= item.name < stop
        ]


@pytest.mark.parametrize("seed", range(30))
def test_every_item_of_each_range_is_found_once(seed: int) -> None:
    rng = random.Random(seed)
    keys = [f"{n:04d}" for n in range(400)]
    names = [f"{key}/{n}" for key in keys for n in range(rng.choice((0, 1, 3, 12)))]
    names += rng.choices(names, k=300)  # second versions
    listing = Listing(names, rng.choice((1, 7, 40, FULL)))
    density = rng.choice((0.02, 0.3, 1.0))
    wanted = [key for key in [*keys, "9999"] if rng.random() < density] or ["0001"]
    ranges = [of_prefix(f"{key}/") for key in wanted]
    assert listing.found(ranges) == listing.within(ranges)


def test_names_are_not_those_that_begin_with_them() -> None:
    listing = Listing(["log", "log", "log.1", "log/x", "lo", "loh"])
    assert [item.name for _, item in listing.found([of_name("log")])] == ["log", "log"]
    assert [item.name for _, item in listing.found([of_prefix("log")])] == [
        *("log", "log", "log.1", "log/x")
    ]


def test_a_prefix_takes_every_character_there_is() -> None:
    names = ["run/\U0010ffff\U0010ffff", "run/ ", "run/ü", "run0", "run."]
    found = Listing(names).found([of_prefix("run/")])
    assert {item.name for _, item in found} == set(names[:3])


def test_neighbours_share_their_calls() -> None:
    listing = Listing([f"{run:04d}/{file}" for run in range(1_000) for file in range(10)])
    ranges = [of_prefix(f"{run:04d}/") for run in range(1_000)]
    assert len(listing.found(ranges)) == 10_000
    assert listing.sizes == [FULL] * 10
    # When they are gone, one call says so, whatever else there is.
    left = Listing([f"{run:04d}/" for run in range(2_000, 9_000)])
    assert left.found(ranges) == []
    assert left.sizes == [FULL]


def test_what_lies_apart_takes_a_small_call_each() -> None:
    listing = Listing([f"{run:04d}/{file}" for run in range(4_000) for file in range(5)])
    ranges = [of_prefix(f"{run:04d}/") for run in range(0, 4_000, 400)]
    assert len(listing.found(ranges)) == 50
    assert listing.sizes == [FULL] + [SMALL] * 9


@pytest.mark.parametrize("every", [1, 2, 10, 70, 300])
def test_no_range_costs_more_than_alone(every: int) -> None:
    listing = Listing([f"{run:04d}/{file}" for run in range(1_200) for file in range(20)])
    wanted = range(0, 1_200, every)
    assert len(listing.found([of_prefix(f"{run:04d}/") for run in wanted])) == 20 * len(wanted)
    assert len(listing.sizes) <= len(wanted)


def test_a_large_range_is_listed_in_full_pages() -> None:
    listing = Listing([f"a/{n:05d}" for n in range(5_000)] + [f"b/{n:05d}" for n in range(5_000)])
    assert len(listing.found([of_prefix("a/"), of_prefix("b/0001")])) == 5_010
    assert listing.sizes == [FULL] * 5 + [SMALL]


def test_parts_are_neighbours_and_together_all() -> None:
    for count in (0, 1, 7, 16, 17, 1_000):
        things = list(range(count))
        divided = parts(things, 8, 8)
        assert [thing for part in divided for thing in part] == things
        assert len(divided) == min(8, max(count // 8, count > 0))


def test_what_all_start_with_bounds_a_listing() -> None:
    ranges = [of_prefix("FitOLS_2026-01-01/"), of_prefix("FitOLS_2026-02-03/")]
    assert common_prefix(ranges) == "FitOLS_2026-0"
    assert common_prefix(ranges[:1]) == "FitOLS_2026-01-01/"
