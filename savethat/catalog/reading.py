"""Reads what the remotes say of runs: marks and launch records, the highest attempt of each."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from savethat.catalog.records import keep, recall
from savethat.errors import StorageError
from savethat.remotes.base import Entry, Remote
from savethat.run.key import parse_key, stem_of
from savethat.run.layout import (
    ENDINGS,
    HIDDEN,
    INDEX,
    LAUNCHES,
    RUNS_INFO,
    MarkName,
    launches_prefix,
    marks_prefix,
    parse_launch_name,
    parse_mark_name,
)
from savethat.run.record import Launch, Mark, PlannedRun
from savethat.untrusted import JSON_LIMIT, read_json

PARALLEL = 8
_BEYOND = LAUNCHES + "\U0010ffff"
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
        launches = []
        unread: list[tuple[Entry, MarkName]] = []
        for entry in entries:
            if entry.name.startswith(INDEX):
                fact = parse_mark_name(entry.name)
                if fact is None:
                    continue
                if entry.info is None:
                    unread.append((entry, fact))
                else:
                    # The listing has brought it: a task for each would cost more than to read it.
                    self._see(entry, self._mark(remote, entry, fact), synced=synced)
            elif entry.name.startswith(LAUNCHES) and parse_launch_name(entry.name) is not None:
                launches.append(entry)
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            read = pool.map(lambda found: self._mark(remote, *found), unread)
            for (entry, _), mark in zip(unread, read, strict=True):
                self._see(entry, mark, synced=synced)
            if not launches:
                return
            self._by_stem = Counter(map(stem_of, self.seen))
            self._by_launch = Counter(sighting.mark.launch for sighting in self.seen.values())
            wanted = [entry for entry in launches if not self._all_seen(entry)]
            # Reading a file of a folder costs no call.
            costly = [entry for entry in wanted if entry.info is not None]
            known = recall(remote.url, costly) if costly else {}
            read_now = pool.map(lambda entry: self._launch(remote, entry, known), wanted)
            fresh = []
            for entry, found in zip(wanted, read_now, strict=True):
                if found is not None:
                    launch, content = found
                    self.plan(launch, entry.modified, synced=synced)
                    if entry.info is not None and entry.name not in known:
                        fresh.append((entry, content))
        if fresh:
            keep(remote.url, fresh)

    def _see(self, entry: Entry, mark: Mark | None, *, synced: bool) -> None:
        if mark is None:
            return
        sighting = Sighting(mark, entry.name, entry.modified, synced)
        known = self.seen.get(mark.key)
        if known is None or _rank(sighting) > _rank(known):
            self.seen[mark.key] = sighting

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

    def _mark(self, remote: Remote, entry: Entry, fact: MarkName) -> Mark | None:
        try:
            if entry.info is not None:
                mark = Mark.from_info(entry.info)
            else:
                mark = Mark.from_json(read_json(_content(remote, entry)))
            if fact != (mark.key, mark.attempt, mark.mark):
                raise ValueError("its content is another run's")
        except (ValueError, StorageError) as error:
            self.warnings.append(f"cannot read the mark {entry.name}: {error}")
            return None
        return mark

    def _launch(
        self, remote: Remote, entry: Entry, known: Mapping[str, bytes]
    ) -> tuple[Launch, bytes] | None:
        try:
            content = known.get(entry.name) or _content(remote, entry)
            launch = Launch.from_json(read_json(content))
            if launch.id != parse_launch_name(entry.name):
                raise ValueError("its content is another launch's")
        except (ValueError, StorageError) as error:
            self.warnings.append(f"cannot read the launch record {entry.name}: {error}")
            return None
        return launch, content


def _content(remote: Remote, entry: Entry) -> bytes:
    # What is too large is not even fetched.
    if entry.size > JSON_LIMIT:
        raise ValueError(f"it has {entry.size} bytes, more than {JSON_LIMIT}")
    return remote.read(entry.name, limit=JSON_LIMIT)


def index_entries(remote: Remote, node: str) -> Iterator[Entry]:
    """The marks and launch records of all runs, or of those of the nodes with this class name."""
    if node:
        yield from remote.list(f"{INDEX}{node}/")
        for entry in remote.list(f"{LAUNCHES}{node}_"):
            # `Fit_` is the start of the runs of `Fit_all`, too.
            parts = parse_key((parse_launch_name(entry.name) or "").partition(".")[0])
            if parts is None or parts.node == node:
                yield entry
        return
    # Both lie side by side: one listing brings them. No end is given to it, since after them there
    # is nothing on B2, and a listing with an end comes in small pages.
    for entry in remote.list(f"{HIDDEN}/", start=INDEX):
        if entry.name >= _BEYOND:
            return
        yield entry


def run_entries(remote: Remote, key: str) -> Iterable[Entry]:
    """The marks of one run, and the launch records that may name it: two listings."""
    yield from remote.list(marks_prefix(key))
    yield from remote.list(launches_prefix(key))


def _rank(sighting: Sighting) -> tuple[int, bool, bool, bool]:
    mark = sighting.mark
    return mark.attempt, mark.mark in ENDINGS, not mark.left, sighting.synced
