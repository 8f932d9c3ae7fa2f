"""Reads what the remotes say of runs: marks and launch records, the highest attempt of each."""

from __future__ import annotations

import concurrent.futures
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from savethat.catalog.kept import KeptRuns, Known
from savethat.catalog.records import keep, recall
from savethat.catalog.row import Row
from savethat.catalog.rows import Planned, Sighting, row_of_mark
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
from savethat.run.record import Launch, Mark
from savethat.untrusted import JSON_LIMIT, read_json

PARALLEL = 8
_BEYOND = LAUNCHES + "\U0010ffff"
_ENDINGS = tuple(f".{ending}" for ending in ENDINGS)
_NUMBER = re.compile(r"[0-9]{1,9}")


class Reading:
    """What was read so far, from one remote or several; what cannot be read is a warning."""

    def __init__(self) -> None:
        # What was seen of each run: its row, where it has ended.
        self.seen: dict[str, Sighting | Row] = {}
        # How many were seen of each stem of keys, and of each launch that a mark names.
        self._by_stem: Counter[str] = Counter()
        self._by_launch: Counter[str] = Counter()
        self.planned: dict[str, Planned] = {}
        self.warnings: list[str] = []

    def read_index(self, remote: Remote, node: str, *, synced: bool) -> None:
        """Reads what one remote says of all runs, or of those of the nodes with this class name."""
        if not remote.has_pages:
            self.read(remote, _index(remote, node), synced=synced)
            return
        prefix, start = (f"{INDEX}{node}/", "") if node else (f"{HIDDEN}/", INDEX)
        # Else this and what is kept would get in each other's way.
        remote.open()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            # What is kept is read while the remote thinks about the first page.
            loading = pool.submit(KeptRuns, remote.url, prefix)
            others: list[Entry] = []
            following: str | None = start
            while following is not None:
                page = remote.page(prefix, following)
                kept, asked = loading.result(), f"{prefix}\n{following}"
                known = kept.page(asked, page.digest)
                if known is None:
                    known = self._read_page(remote, *page.read(), kept)
                    kept.learn(asked, page.digest, known)
                for _, row in known.rows:
                    self._see(row)
                others += known.others
                following = known.following
                # After the launch records there is nothing, as a rule.
                if not node and following is not None and following >= _BEYOND:
                    following = None
        kept.save()
        if node:
            others += _launches_of(remote, node)
        self.read(remote, others, synced=synced)

    def _read_page(
        self, remote: Remote, entries: Iterable[Entry], following: str | None, kept: KeptRuns
    ) -> Known:
        """What a page says that is not known yet."""
        rows: list[tuple[str, Row]] = []
        others: list[Entry] = []
        for entry in entries:
            row = kept.row(entry)
            if row is None and entry.info is not None and entry.name.endswith(_ENDINGS):
                row = self._ended(remote, entry)
            if row is not None:
                rows.append((entry.version, row))
            elif entry.name < _BEYOND:
                others.append(entry)
        return Known(rows, others, following)

    def _ended(self, remote: Remote, entry: Entry) -> Row | None:
        """The row of an ended run by its mark; None where it is none, or cannot be read."""
        fact = parse_mark_name(entry.name)
        if fact is None:
            return None
        # What is wrong with it is said when it is read among the others.
        warned = len(self.warnings)
        mark = self._mark(remote, entry, fact)
        del self.warnings[warned:]
        sighting = mark and Sighting(mark, entry.name, entry.modified, synced=True)
        return row_of_mark(sighting) if sighting else None

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
                    self._see_mark(entry, self._mark(remote, entry, fact), synced=synced)
            elif entry.name.startswith(LAUNCHES) and parse_launch_name(entry.name) is not None:
                launches.append(entry)
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            read = pool.map(lambda found: self._mark(remote, *found), unread)
            for (entry, _), mark in zip(unread, read, strict=True):
                self._see_mark(entry, mark, synced=synced)
            if not launches:
                return
            self._by_stem = Counter(map(stem_of, self.seen))
            self._by_launch = Counter(map(_launch_of, self.seen.values()))
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

    def _see_mark(self, entry: Entry, mark: Mark | None, *, synced: bool) -> None:
        if mark is not None:
            sighting = Sighting(mark, entry.name, entry.modified, synced)
            self._see(row_of_mark(sighting) if mark.mark in ENDINGS else sighting)

    def _see(self, seen: Sighting | Row) -> None:
        key = seen.key
        known = self.seen.setdefault(key, seen)
        if known is not seen and _rank(seen) > _rank(known):
            self.seen[key] = seen

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
            return sighting.attempt >= int(number or 1)
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


def _index(remote: Remote, node: str) -> Iterator[Entry]:
    """The marks and launch records of all runs, or of those of the nodes with this class name."""
    yield from remote.list(f"{INDEX}{node}/" if node else INDEX)
    yield from _launches_of(remote, node) if node else remote.list(LAUNCHES)


def _launches_of(remote: Remote, node: str) -> Iterator[Entry]:
    """The launch records of the nodes with this class name."""
    for entry in remote.list(f"{LAUNCHES}{node}_"):
        # `Fit_` is the start of the runs of `Fit_all`, too.
        parts = parse_key((parse_launch_name(entry.name) or "").partition(".")[0])
        if parts is None or parts.node == node:
            yield entry


def run_entries(remote: Remote, key: str) -> Iterable[Entry]:
    """The marks of one run, and the launch records that may name it: two listings."""
    yield from remote.list(marks_prefix(key))
    yield from remote.list(launches_prefix(key))


def _launch_of(seen: Sighting | Row) -> str:
    return seen.launch


def _rank(seen: Sighting | Row) -> tuple[int, bool, bool, bool]:
    if isinstance(seen, Row):
        return seen.attempt, True, not seen.left, not seen.at_home
    return seen.attempt, False, not seen.mark.left, seen.synced
