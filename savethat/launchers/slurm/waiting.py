"""Runs of a launch that SLURM does not take yet: a file in the launch's folder names them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from savethat.untrusted import read_json

_FILE = "waiting.json"


@dataclasses.dataclass(frozen=True)
class Waiting:
    """What is still to be submitted.

    Args:
        positions: of the runs in their launch.
        why: in SLURM's words.
    """

    positions: tuple[int, ...]
    why: str


def write_waiting(folder: Path, waiting: Waiting | None) -> None:
    """Notes what waits, written aside and renamed; None: nothing does any more."""
    path = folder / _FILE
    if waiting is None:
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(f".savethat-part-{path.name}")
    aside.write_text(json.dumps(dataclasses.asdict(waiting)))
    aside.replace(path)


def read_waiting(folder: Path) -> Waiting | None:
    """What waits; None where nothing does, or where that cannot be read."""
    try:
        data = read_json((folder / _FILE).read_bytes())
        return Waiting(tuple(map(int, data["positions"])), str(data["why"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def launches_waiting(jobs: Path) -> Iterator[str]:
    """The ids of the launches, below the folder of all of them, of which runs wait."""
    for path in sorted(jobs.glob(f"*/{_FILE}")):
        yield path.parent.name
