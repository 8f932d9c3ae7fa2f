"""Reads what the remotes say of runs: marks and launch records, the highest attempt of each."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from savethat.errors import StorageError
from savethat.remotes.base import Entry, Remote
from savethat.run.key import stem_of
from savethat.run.layout import (
    ENDINGS,
    HIDDEN,
    INDEX,
    LAUNCHES,
    RUNS_INFO,
    launches_prefix,
    marks_prefix,
    parse_launch_name,
    parse_mark_name,
)
from savethat.run.record import Launch, Mark, PlannedRun
from savethat.untrusted import JSON_LIMIT, read_json

PARALLEL = 8
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A mark that was found, and where."""

    mark: Mark
    name: str
    modified: float
    synced: bool


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run that a launch record names."""

    launch: Launch
    run: PlannedRun
    modified: float
    synced: bool


class Reading:
    """What was read so far, from one remote or several; what cannot be read is a warning."""

    def __init__(self) -> None:
        self.seen: dict[str, Sighting] = {}
        # How many were seen of each stem of keys, and of each launch that a mark names.
        self._by_stem: Counter[str] = Counter()
        self._by_launch: Counter[str] = Counter()
        self.planned: dict[str, Planned] = {}
        self.warnings: list[str] = []

    def read(self, remote: Remote, entries: Iterable[Entry], *, synced: bool) -> None:
        """Reads entries of one remote's `.savethat/`."""
        marks, launches = [], []
        for entry in entries:
            if entry.name.startswith(INDEX) and parse_mark_name(entry.name) is not None:
                marks.append(entry)
            elif entry.name.startswith(LAUNCHES) and parse_launch_name(entry.name) is not None:
                launches.append(entry)
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            read = pool.map(lambda entry: self._mark(remote, entry), marks)
            for entry, mark in zip(marks, read, strict=True):
                if mark is not None:
                    self._see(Sighting(mark, entry.name, entry.modified, synced))
            self._by_stem = Counter(map(stem_of, self.seen))
            self._by_launch = Counter(sighting.mark.launch for sighting in self.seen.values())
            wanted = [entry for entry in launches if not self._all_seen(entry)]
            records = pool.map(lambda entry: self._launch(remote, entry), wanted)
            for entry, launch in zip(wanted, records, strict=True):
                if launch is not None:
                    self.plan(launch, entry.modified, synced=synced)

    def _see(self, sighting: Sighting) -> None:
        known = self.seen.get(sighting.mark.key)
        if known is None or _rank(sighting) > _rank(known):
            self.seen[sighting.mark.key] = sighting

    def plan(self, launch: Launch, modified: float, *, synced: bool) -> None:
        """Takes the runs that a launch record names."""
        for run in launch.runs:
            known = self.planned.get(run.key)
            if known is None or run.attempt > known.run.attempt:
                self.planned[run.key] = Planned(launch, run, modified, synced)

    def _all_seen(self, entry: Entry) -> bool:
        """Whether all runs of a launch have a mark already, so that its record says nothing new.

        That of one run is named as the run and its attempt; of others a listing tells the number of
        runs, where the remote keeps headers.
        """
        launch_id = parse_launch_name(entry.name)
        assert launch_id is not None
        stem, _, number = launch_id.partition(".")
        runs = (entry.info or {}).get(RUNS_INFO, "")
        # What is named otherwise is read, and then refused with a warning.
        if number and _NUMBER.fullmatch(number) is None:
            return False
        sighting = self.seen.get(stem)
        if sighting is not None:
            return sighting.mark.attempt >= int(number or 1)
        if _NUMBER.fullmatch(runs) is None:
            return False
        seen = self._by_launch[launch_id] if number else self._by_stem[stem]
        return seen >= int(runs)

    def _mark(self, remote: Remote, entry: Entry) -> Mark | None:
        try:
            if entry.info is not None:
                mark = Mark.from_info(entry.info)
            else:
                mark = Mark.from_json(self._content(remote, entry))
            fact = parse_mark_name(entry.name)
            if fact != (mark.key, mark.attempt, mark.mark):
                raise ValueError("its content is another run's")
        except (ValueError, StorageError) as error:
            self.warnings.append(f"cannot read the mark {entry.name}: {error}")
            return None
        return mark

    def _launch(self, remote: Remote, entry: Entry) -> Launch | None:
        try:
            launch = Launch.from_json(self._content(remote, entry))
            if launch.id != parse_launch_name(entry.name):
                raise ValueError("its content is another launch's")
        except (ValueError, StorageError) as error:
            self.warnings.append(f"cannot read the launch record {entry.name}: {error}")
            return None
        return launch

    @staticmethod
    def _content(remote: Remote, entry: Entry) -> Any:
        # What is too large is not even fetched.
        if entry.size > JSON_LIMIT:
            raise ValueError(f"it has {entry.size} bytes, more than {JSON_LIMIT}")
        return read_json(remote.read(entry.name, limit=JSON_LIMIT))


def index_entries(remote: Remote, node: str) -> Iterable[Entry]:
    """The marks and launch records of all runs, or of nodes whose class name starts with `node`."""
    if node:
        yield from remote.list(INDEX + node)
        yield from remote.list(LAUNCHES)
    else:
        # Both lie side by side: one listing brings them.
        yield from remote.list(HIDDEN + "/", start=INDEX, stop=LAUNCHES + "\U0010ffff")


def run_entries(remote: Remote, key: str) -> Iterable[Entry]:
    """The marks of one run, and the launch records that may name it: two listings."""
    yield from remote.list(marks_prefix(key))
    yield from remote.list(launches_prefix(key))


def _rank(sighting: Sighting) -> tuple[int, bool, bool, bool]:
    mark = sighting.mark
    return mark.attempt, mark.mark in ENDINGS, not mark.left, sighting.synced
