"""Fills a bucket of the test server, or a folder, with finished runs, as quickly as that goes."""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from savethat.run.key import member_keys, new_key
from savethat.run.layout import mark_name
from savethat.run.record import FOREGROUND, Mark, Place
from tests.b2server.client import B2Server

_FIRST = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
_BETWEEN = datetime.timedelta(seconds=60)
_TOOK = datetime.timedelta(seconds=42)
_FILE_SIZE = 10_000


def seed_runs(
    server: B2Server,
    prefix: str,
    runs: int,
    nodes: Sequence[str] = ("FitOLS",),
    files: int = 0,
    user: str = "ada",
) -> list[str]:
    """Makes completed runs, one a minute, the nodes by turns.

    Args:
        server: in whose bucket.
        prefix: the folder in the bucket; may be empty.
        runs: how many.
        nodes: class names.
        files: how many files of 10 kB each of them has.
        user: whose they are.

    Returns:
        Their keys, oldest first.
    """
    marks = list(_marks(runs, nodes, files, user))
    within = f"{prefix}/" if prefix else ""
    # The server keeps names sorted: in order they are appended, not inserted.
    found: list[tuple[str, Mapping[str, str]]] = sorted(
        (within + mark_name(mark.key, 1, "completed"), mark.to_info()) for mark in marks
    )
    server.seed_files(found)
    names = sorted(f"{within}{mark.key}/{n:04d}.bin" for mark in marks for n in range(files))
    server.seed_files([(name, {}) for name in names], _FILE_SIZE)
    return [mark.key for mark in marks]


def seed_folder(folder: Path, runs: int, node: str = "FitOLS", user: str = "ada") -> list[str]:
    """As `seed_runs`, in a project's local folder, without files."""
    keys = []
    for mark in _marks(runs, [node], 0, user):
        path = folder / mark_name(mark.key, 1, "completed")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(mark.to_json()))
        keys.append(mark.key)
    return keys


def seed_sweeps(
    server: B2Server, prefix: str, runs: int, nodes: Sequence[str], user: str
) -> list[str]:
    """Makes completed runs, a sweep of each node: the server makes a million in half a minute.

    Args:
        server: in whose bucket.
        prefix: the folder in the bucket.
        runs: how many of each node.
        nodes: class names.
        user: whose they are.

    Returns:
        Their keys, sweep by sweep.
    """
    found = []
    for node in nodes:
        (mark,) = _marks(1, [node], 0, user)
        keys = member_keys(mark.key, runs)
        width = len(keys[0]) - len(mark.key)
        name = f"{prefix}/{mark_name(keys[0], 1, mark.mark)}"
        # They differ by their position, which ends the key.
        first, any_of_them = keys[0], f"{mark.key}{{i:0{width}d}}"
        info = dataclasses.replace(mark, key=first).to_info()
        info = {header: text.replace(first, any_of_them) for header, text in info.items()}
        server.seed(runs, name.replace(first, any_of_them), info=info)
        found += keys
    return found


def _marks(runs: int, nodes: Sequence[str], files: int, user: str) -> Iterator[Mark]:
    choices = random.Random(0).choices
    place = Place(FOREGROUND, FOREGROUND, user, host="machine")
    for number in range(runs):
        began = _FIRST + number * _BETWEEN
        node = nodes[number % len(nodes)]
        key = new_key(node, began, choices)
        yield Mark(
            key=key,
            attempt=1,
            mark="completed",
            node=f"experiments.{node}",
            launch=key,
            place=place,
            submitted_at=began,
            started_at=began,
            finished_at=began + _TOOK,
            args={"lr": 0.1, "seed": number, "dataset": "houses"},
            result={"mse": 1 / (number + 1)},
            files=files,
            bytes=files * _FILE_SIZE,
        )
