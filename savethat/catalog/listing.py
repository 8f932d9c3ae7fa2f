"""Lists runs: the schedulers are asked first, the marks second; the status law does the rest."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from savethat.catalog.ended import Ended, EndedOnDisk, order
from savethat.catalog.reading import PARALLEL, Reading, run_entries
from savethat.catalog.row import Row
from savethat.catalog.rows import Planned, Sighting, row_of_mark, row_of_plan
from savethat.errors import StorageError, UnreachableError
from savethat.launchers.base import JobRef, Scheduler, Snapshot
from savethat.remotes.base import Entry, Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.record import Launch
from savethat.run.status import (
    Answer,
    Status,
)

if TYPE_CHECKING:
    from savethat.inputs import Inputs


Warnings = list[str]
# How many seconds old a scheduler's answer may be for who asks once.
FRESH = 5.0
_BATCH = 1_000


@dataclasses.dataclass
class Listing:
    """What was found.

    Args:
        rows: one a run, oldest first.
        warnings: one line each, for the user.
        complete: False where the storage could not be listed: then there may be more.
    """

    rows: list[Row]
    warnings: list[str]
    complete: bool = True

    def whole_rows(self, catalog: Catalog) -> list[Row]:
        """All rows whole; where one cannot be had, a warning says so and what is known stays."""
        return [*catalog.whole_rows(self.rows, self.warnings)]


@dataclasses.dataclass
class Stream:
    """What was found, where it may be any number: as in `Listing`, but rows come once."""

    rows: Iterable[Row]
    warnings: Sequence[str]
    complete: bool


class Catalog:
    """A project's runs.

    Args:
        remote: where runs are stored.
        home: the folder on this machine; the same object in a local-only project.
        schedulers: by the name a run's place gives (`foreground`, `slurm`).
    """

    def __init__(
        self, remote: Remote, home: DirectoryRemote, schedulers: Mapping[str, Scheduler]
    ) -> None:
        self.remote = remote
        self.home = home
        self.schedulers = schedulers
        # Set where a node looks at runs: the files of theirs that it reads are its inputs.
        self.inputs: Inputs | None = None

    def list(self, *, node: str = "", max_age: float = FRESH) -> Listing:
        """All runs, or those of the nodes with one class name.

        Args:
            node: the class name; empty for all.
            max_age: seconds for which another process's answer of a scheduler is good enough.
        """
        marks, snapshots, complete = self._read(node, max_age, Ended())
        return self._listing(marks, snapshots, complete=complete)

    def stream(self, *, node: str = "", max_age: float = FRESH) -> Stream:
        """As `list`, with memory that does not grow with the runs that have ended."""
        marks, snapshots, complete = self._read(node, max_age, EndedOnDisk())
        return Stream(*self._rows(marks, snapshots), complete)

    def _read(
        self, node: str, max_age: float, ended: Ended
    ) -> tuple[Reading, dict[str, Snapshot], bool]:
        snapshots = self._ask(max_age)
        marks = Reading(ended)
        complete = True
        try:
            marks.read_index(self.remote, node, synced=True)
        except StorageError as error:
            if self.remote is self.home:
                raise
            complete = False
            marks.warnings.append(f"{error.message}: what is stored there is not listed")
        if self.remote is not self.home:
            marks.read_index(self.home, node, synced=False)
        return marks, snapshots, complete

    def find(self, key: str, *, max_age: float = FRESH) -> Row | None:
        """One run by its whole key, with a constant number of calls; None where there is none.

        Raises:
            StorageError: the storage could not be asked.
        """
        snapshots = self._ask(max_age)
        return self._row(key, self._marks_of(key, self.remotes), snapshots)

    def look_up(self, key: str) -> Row | None:
        """As `find`, of a run that most likely has ended: then no scheduler is asked.

        Raises:
            StorageError: the storage could not be asked.
        """
        marks = self._marks_of(key, self.remotes)
        if key in marks.open or marks.awaited(key) is not None:
            # Its scheduler has to be asked before the marks are listed that are read with it.
            return self.find(key)
        return self._row(key, marks, {})

    def find_live(self, key: str) -> Row | None:
        """As `find`; where the remote cannot be reached, a live run is known from this machine.

        From its marks in the home, or from the order that its launcher left here. That it is over
        cannot be said without the remote.

        Raises:
            StorageError: the storage could not be asked, and the run is not known to be live.
        """
        try:
            return self.find(key, max_age=0.0)
        except UnreachableError:
            from savethat.worker.order import orders_of

            snapshots = self._ask(0.0)
            marks = self._marks_of(key, [self.home])
            for launch in orders_of(self.home.root, key):
                marks.plan(launch, self.home.now(), synced=False)
            row = self._row(key, marks, snapshots)
            if row is not None and row.status in (Status.QUEUED, Status.RUNNING):
                return row
            raise

    def whole(self, row: Row) -> Row:
        """The row with what was too large for the listing.

        Raises:
            StorageError: its mark cannot be read.
        """
        if not row.cut:
            return row
        remote = self.home if row.at_home else self.remote
        from savethat.worker.ledger import read_mark

        mark = read_mark(remote, row.mark)
        return dataclasses.replace(row, args=mark.args, result=mark.result, tags=mark.tags, cut=())

    def whole_rows(self, rows: Iterable[Row], warnings: Warnings) -> Iterator[Row]:
        """These rows whole, read several at a time.

        Where one cannot be had, a warning is added that says so, and what is known stays.
        """
        import concurrent.futures

        def read(row: Row) -> Row | StorageError:
            try:
                return self.whole(row)
            except StorageError as error:
                return error

        rows = iter(rows)
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            while batch := [*itertools.islice(rows, _BATCH)]:
                read_now = pool.map(read, [row for row in batch if row.cut])
                for row in batch:
                    found = next(read_now) if row.cut else row
                    if isinstance(found, StorageError):
                        warnings.append(f"{row.key} is not shown whole: {found.message}")
                        found = row
                    yield found

    def launch(self, launch_id: str) -> Launch | None:
        """A launch's record, wherever it is; None where it is not there any more.

        Raises:
            StorageError: what is there is not one.
        """
        from savethat.worker.ledger import read_launch

        return read_launch(self.remote, launch_id) or read_launch(self.home, launch_id)

    def files(self, row: Row) -> Iterator[Entry]:
        """A run's files, named relative to its folder."""
        remote = self.home if row.at_home else self.remote
        from savethat.remotes.pieces import whole

        for entry in whole(remote.list(f"{row.key}/")):
            yield dataclasses.replace(entry, name=entry.name.removeprefix(f"{row.key}/"))

    @property
    def remotes(self) -> Sequence[Remote]:
        """Where there are runs: the remote, and the home where that is another one."""
        return [self.remote] if self.remote is self.home else [self.remote, self.home]

    def _marks_of(self, key: str, remotes: Sequence[Remote]) -> Reading:
        marks = Reading()
        for remote in remotes:
            marks.read(remote, run_entries(remote, key), synced=remote is self.remote)
        return marks

    def _row(self, key: str, marks: Reading, snapshots: Mapping[str, Snapshot]) -> Row | None:
        rows, _ = self._rows(marks, snapshots)
        return next((row for row in rows if row.key == key), None)

    def _ask(self, max_age: float) -> dict[str, Snapshot]:
        return {name: each.ask(max_age=max_age) for name, each in self.schedulers.items()}

    def _listing(
        self, marks: Reading, snapshots: Mapping[str, Snapshot], *, complete: bool = True
    ) -> Listing:
        rows, warnings = self._rows(marks, snapshots)
        return Listing([*rows], [*warnings], complete)

    def _rows(
        self, marks: Reading, snapshots: Mapping[str, Snapshot]
    ) -> tuple[Iterable[Row], Sequence[str]]:
        """All rows, the oldest first, and the warnings."""
        open_: dict[JobRef, Sighting | Planned] = {}
        for key in marks.planned:
            # A launch record for a later attempt sets the mark aside.
            if (planned := marks.awaited(key)) is not None:
                marks.ended.drop(key)
                marks.open.pop(key, None)
                open_[_ref(planned)] = planned
        open_ |= {_ref(sighting): sighting for sighting in marks.open.values()}
        rows = marks.ended.rows()
        if open_:
            rows = heapq.merge(
                rows, sorted(self._open_rows(open_, snapshots), key=order), key=order
            )
        warnings = marks.warnings + [
            snapshot.warning
            for name, snapshot in snapshots.items()
            if snapshot.warning and any(ref.place.scheduler == name for ref in open_)
        ]
        return rows, warnings

    def _open_rows(
        self, open_: Mapping[JobRef, Sighting | Planned], snapshots: Mapping[str, Snapshot]
    ) -> Iterator[Row]:
        """The rows of runs that have not ended."""
        from savethat.catalog.traces import Traces

        traces = Traces(self.home)
        answers = _answers(snapshots, list(open_))
        now = self.remote.now()
        for ref, current in open_.items():
            answer = traces.add(ref, answers[ref]) if ref in answers else None
            if isinstance(current, Planned):
                yield row_of_plan(current, answer, now)
            else:
                yield row_of_mark(current, answer, now)


def _ref(current: Sighting | Planned) -> JobRef:
    """Whom to ask about a run that has not ended."""
    if isinstance(current, Planned):
        launch, run = current.launch, current.run
        return JobRef(
            launch.id, run.position, launch.place, launch.array_size, run.key, run.attempt
        )
    mark = current.mark
    return JobRef(mark.launch, mark.position, mark.place, mark.array_size, mark.key, mark.attempt)


def _answers(snapshots: Mapping[str, Snapshot], refs: Sequence[JobRef]) -> dict[JobRef, Answer]:
    answers: dict[JobRef, Answer] = {}
    for name, snapshot in snapshots.items():
        answers |= snapshot.answers([ref for ref in refs if ref.place.scheduler == name])
    return answers
