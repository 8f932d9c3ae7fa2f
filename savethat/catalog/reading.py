"""Reads what the remotes say of runs: marks and launch records, the highest attempt of each."""

from __future__ import annotations

import concurrent.futures
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from savethat.catalog.ended import Ended, Rank, rank_of
from savethat.catalog.kept import KeptPage, Said
from savethat.catalog.records import keep, recall
from savethat.catalog.row import Row
from savethat.catalog.rows import Planned, Sighting, row_of_mark
from savethat.errors import StorageError
from savethat.remotes.base import Entry, Page, Remote
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
    """What was read so far, from one remote or several; what cannot be read is a warning.

    Args:
        ended: takes the runs that have ended; None: this machine's memory does.
    """

    def __init__(self, ended: Ended | None = None) -> None:
        # What was seen of each run: its row where it has ended, else its mark.
        self.ended = ended or Ended()
        self.open: dict[str, Sighting] = {}
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
        others: list[Entry] = []
        following: str | None = start
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            while following is not None:
                asking = pool.submit(remote.page, prefix, following)
                # Read while the remote thinks.
                kept = KeptPage(remote.url, prefix, following)
                said = self._said(remote, asking.result(), kept)
                for _, row in said.rows:
                    self._see(row)
                others += said.others
                following = said.following
                # After the launch records there is nothing, as a rule.
                if not node and following is not None and following >= _BEYOND:
                    following = None
                # The next page may be as large.
                del asking, kept, said
        if node:
            others += _launches_of(remote, node)
        self.read(remote, others, synced=synced)

    def _said(self, remote: Remote, page: Page, kept: KeptPage) -> Said:
        """What a page says; what is not known yet of it is read, and kept."""
        said = kept.said(page.digest)
        if said is None:
            said = self._read_page(remote, *page.read(), kept)
            kept.learn(page.digest, said)
        return said

    def _read_page(
        self, remote: Remote, entries: Iterable[Entry], following: str | None, kept: KeptPage
    ) -> Said:
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
        return Said(rows, others, following)

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
            self._count()
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
        known = self.open.get(seen.key) if self.open else None
        if known is not None and _rank(known) >= _rank(seen):
            return
        if isinstance(seen, Row):
            if known is not None:
                del self.open[seen.key]
            self.ended.add(seen)
            return
        rank = self.ended.rank(seen.key)
        if rank is None or rank < _rank(seen):
            self.ended.drop(seen.key)
            self.open[seen.key] = seen

    def attempt(self, key: str) -> int | None:
        """The latest attempt of a run that left a mark; None where none did."""
        rank = self.ended.rank(key)
        if rank is not None:
            return rank[0]
        sighting = self.open.get(key)
        return sighting.attempt if sighting is not None else None

    def awaited(self, key: str) -> Planned | None:
        """What a launch record says of an attempt that left no mark yet, if there is one."""
        planned, attempt = self.planned.get(key), self.attempt(key)
        if planned is None or (attempt is not None and planned.run.attempt <= attempt):
            return None
        return planned

    def _count(self) -> None:
        self._by_stem.clear()
        self._by_launch.clear()
        open_ = ((key, sighting.mark.launch) for key, sighting in self.open.items())
        for key, launch in itertools.chain(self.ended.launches(), open_):
            self._by_stem[stem_of(key)] += 1
            self._by_launch[launch] += 1

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
        attempt = self.attempt(stem)
        if attempt is not None:
            return attempt >= int(number or 1)
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
    """The marks of one run, and the launch records that may name it: two listings, at once."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        listings = pool.map(
            lambda prefix: list(remote.list(prefix)), (marks_prefix(key), launches_prefix(key))
        )
        return [*itertools.chain.from_iterable(listings)]


def _rank(seen: Sighting | Row) -> Rank:
    if isinstance(seen, Row):
        return rank_of(seen)
    return seen.attempt, False, not seen.mark.left, seen.synced
