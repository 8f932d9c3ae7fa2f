"""The points of a sweep: every combination of the values given for a node's arguments.

A command line, a configuration file and Python each say in their own way that an argument has
several values. All of them become axes: lazy sequences of typed values, by dotted key.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from savethat.args.codec import Tree, build, decode, flatten, merge, require, to_json
from savethat.args.items import Values, read_items
from savethat.args.kinds import Kind
from savethat.args.parser import grow, options, value_of
from savethat.args.schema import Field, Group, schema, walk
from savethat.args.several import of_file, of_python
from savethat.errors import ArgumentError

T = TypeVar("T")

# A scheduler takes a few thousand jobs of one user; more points than this are a typo.
MOST_POINTS = 100_000


@dataclasses.dataclass(frozen=True)
class Grid(Generic[T]):
    """The points of a sweep, not yet made.

    Args:
        cls: the class of arguments.
        axes: the values of what was given, by dotted key; the first varies slowest.
        tree: what was given, as groups; the values in it are those of `axes`.
        zipped: whether the first values belong together, and the second ones, and so on.
    """

    cls: type[T]
    axes: dict[str, Values]
    tree: Tree
    zipped: bool

    def __len__(self) -> int:
        lengths = map(len, self.axes.values())
        return max(lengths, default=1) if self.zipped else math.prod(lengths)

    def points(self, *, sample: int | None = None, random_seed: int = 0) -> list[T]:
        """The points in their order: that of nested loops over the axes.

        Of points that are equal, the first is kept.

        Args:
            sample: how many combinations to draw; all of them if there are fewer.
            random_seed: the same seed draws the same combinations.

        Raises:
            ArgumentError: a point fails the class's own check, or there are too many.
        """
        points: dict[str, T] = {}
        for index in self._chosen(sample, random_seed):
            values = self._at(index)
            try:
                point = build(self.cls, _filled(self.tree, values, ""))
                form = json.dumps(to_json(point))
            except ArgumentError as error:
                raise ArgumentError(
                    f"{error.message}{self._where(values)}", error.hint
                ) from error.__cause__
            points.setdefault(form, point)
        return list(points.values())

    def _chosen(self, sample: int | None, random_seed: int) -> Sequence[int]:
        """The positions of the combinations to make."""
        all_of_them = range(len(self))
        count = len(self) if sample is None else min(sample, len(self))
        if count < 1:
            raise ArgumentError(
                f"{self.cls.__name__}: a sample of {sample} points", "Give --sample N, from 1."
            )
        if count > MOST_POINTS:
            raise ArgumentError(
                f"{self.cls.__name__}: {count:,} points are more than {MOST_POINTS:,}",
                "Give --sample N, or fewer values.",
            )
        if count == len(self):
            return all_of_them
        return sorted(random.Random(random_seed).sample(all_of_them, count))

    def _at(self, index: int) -> dict[str, object]:
        """The values of one combination, by dotted key."""
        values: dict[str, object] = {}
        for key, axis in reversed(self.axes.items()):
            # Each point has lists of its own: a node that changes one changes no other point.
            values[key] = copy.deepcopy(axis[index % len(axis)])
            if not self.zipped:
                index //= len(axis)
        return values

    def _where(self, values: Mapping[str, object]) -> str:
        """Where in the grid these values are, for a message."""
        fields = dict(walk(schema(self.cls)))
        differing = [
            f"{key}={_text(fields[key].kind, values[key])}"
            for key, axis in self.axes.items()
            if len(axis) > 1
        ]
        return f" (at {', '.join(differing)})" if differing else ""


def parse_grid(
    cls: type[T],
    argv: Sequence[str],
    *,
    base: Mapping[str, object] | None = None,
    zipped: bool = False,
) -> Grid[T]:
    """The points given on the command line of a sweep.

    Args:
        cls: the class of arguments.
        argv: the words after the node's name: `--lr 0.1,0.01 --seed 0..9`, say.
        base: values from a configuration file, in JSON's or TOML's types; a list is several values,
            and a string for a number or bool is read as a word. `argv` overrides them.
        zipped: pair the values up in place of combining each with each.

    Raises:
        ArgumentError: whatever is wrong with the words, `base` or `cls`.
    """
    below = decode(cls, base or {}, of_file)
    given = options(cls, argv)
    above = grow(cls, given, _of_words)
    order = [key for key, _ in flatten(base or {}) if key not in given]
    return _grid(cls, merge(below, above), [*order, *given], zipped, "--")


def make_grid(cls: type[T], values: Mapping[str, object], *, zipped: bool = False) -> Grid[T]:
    """The points given in Python.

    Args:
        cls: the class of arguments.
        values: one value or several, by field name or dotted key. A list, range, array or other
            iterable is several values; for a field that is a list itself, one of lists is.
        zipped: pair the values up in place of combining each with each.

    Raises:
        ArgumentError: whatever is wrong with `values` or `cls`.
    """
    order = [key for key, _ in flatten(values)]
    return _grid(cls, decode(cls, values, of_python), order, zipped, "")


def _grid(cls: type[T], tree: Tree, order: Iterable[str], zipped: bool, dashes: str) -> Grid[T]:
    require(cls, tree, dashes)
    found = dict(flatten(tree))
    # Not the tree's order, which brings the fields of a group together. A key of the file may be
    # gone: its group was cleared.
    axes: dict[str, Values] = {key: found[key] for key in order if key in found}
    several = {key: len(axis) for key, axis in axes.items() if len(axis) > 1}
    if zipped and len(set(several.values())) > 1:
        lengths = ", ".join(f"{dashes}{key} has {count:,}" for key, count in several.items())
        raise ArgumentError(
            f"{cls.__name__}: the values cannot be paired up: {lengths}",
            "Give each as many values as the others, or one.",
        )
    if not zipped and math.prod(several.values()) > sys.maxsize:
        raise ArgumentError(
            f"{cls.__name__}: more than {sys.maxsize:,} combinations", "Give fewer values."
        )
    return Grid(cls, axes, tree, zipped)


def _of_words(key: str, field: Field, words: list[str] | None) -> Values:
    if words is None or isinstance(field.kind, Group):
        return [value_of(key, field, words)]
    return read_items(field.kind, words)


def _filled(tree: Tree, values: Mapping[str, object], prefix: str) -> Tree:
    """The tree with these values in the place of its axes."""
    return {
        name: _filled(inner, values, f"{prefix}{name}.")
        if isinstance(inner, dict)
        else values[prefix + name]
        for name, inner in tree.items()
    }


def _text(kind: Kind | Group, value: object) -> str:
    if value is None:
        return "none"
    return repr(value) if isinstance(kind, Group) else kind.write(value)
