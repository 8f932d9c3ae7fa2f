"""A run as Python code has it: what it is, what it returned, its files."""

from __future__ import annotations

import html
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, overload

from savethat.catalog import files, open_catalog
from savethat.catalog.filters import Filter, statuses
from savethat.catalog.listing import FRESH, Catalog
from savethat.catalog.row import Row
from savethat.errors import MissingError, NotFoundError, RunFailedError
from savethat.run.key import node_of
from savethat.run.layout import RESULT_PICKLE
from savethat.run.record import SLURM
from savethat.run.status import Status

if TYPE_CHECKING:
    from savethat.config import Config
    from savethat.node import Node

ResultT = TypeVar("ResultT")

# `wait` looks often at first, for the short jobs, and rarely later: no cluster likes to be polled,
# and a bucket is not listed for nothing. What this machine alone knows costs nobody anything.
_FIRST_LOOK, _LAST_LOOK, _LAST_LOOK_HERE = 1.0, 30.0, 2.0


class Run:
    """One run, as it was when it was listed; `refresh` looks again."""

    def __init__(self, catalog: Catalog, row: Row) -> None:
        self._catalog = catalog
        self._row = row

    def __repr__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"<Run {self.key} {self.status}{reason}>"

    @property
    def key(self) -> str:
        """The run's key."""
        return self._row.key

    @property
    def node(self) -> str:
        """The node's dotted name."""
        return self._row.node

    @property
    def status(self) -> str:
        """`queued`, `running`, `completed`, `failed`, `cancelled`, `lost` or `unknown`."""
        return self._row.status.value

    @property
    def reason(self) -> str:
        """Why; may be empty."""
        return self._row.reason

    @property
    def args(self) -> Mapping[str, Any]:
        """The arguments, as JSON has them."""
        self._row = self._catalog.whole(self._row)
        return self._row.args

    @property
    def submitted_at(self) -> datetime | None:
        """When it was launched, UTC."""
        return self._row.submitted_at

    @property
    def started_at(self) -> datetime | None:
        """When its latest attempt started, UTC."""
        return self._row.started_at

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, UTC."""
        return self._row.finished_at

    def to_json(self) -> dict[str, Any]:
        """The object `ls --json` prints."""
        self._row = self._catalog.whole(self._row)
        return self._row.to_json()

    def refresh(self) -> Run:
        """Looks again, and returns itself.

        Raises:
            NotFoundError: it has been removed.
        """
        return self._look(FRESH)

    def _look(self, max_age: float) -> Run:
        row = self._catalog.find(self.key, max_age=max_age)
        if row is None:
            raise NotFoundError(f"there is no run {self.key} any more", "savethat ls")
        self._row = row
        return self

    def _is_here(self) -> bool:
        """Whether all that is to be asked about it is on this machine."""
        local = self._catalog.remote is self._catalog.home
        return local and self._row.place.scheduler != SLURM

    def wait(self, timeout: float | None = None) -> Run:
        """Waits until it has ended, in whatever state, and returns itself.

        Args:
            timeout: seconds; None to wait for as long as it takes.

        Raises:
            TimeoutError: it has not ended by then.
        """
        pace = _Pace(timeout)
        while not self._look(pace.max_age)._row.status.finished:
            pace.rest([self])
        return self

    @overload
    def result(self, node: None = None) -> Any: ...

    @overload
    def result(self, node: type[Node[Any, ResultT]]) -> ResultT: ...

    def result(self, node: type[Node[Any, Any]] | None = None) -> Any:
        """What the node returned.

        It is unpickled, which runs code the pickle names: ask only for results of people you
        trust, and of a bucket only they can write to. `results.json` is safe to read.

        Args:
            node: the node's class, for the type checker.

        Raises:
            RunFailedError: the run did not complete.
            NotFoundError: the run is another node's.
        """
        if node is not None and self.node.rpartition(".")[2] != node.__name__:
            raise NotFoundError(f"{self.key} is a run of {self.node}, not of {node.__name__}")
        if self._row.status is not Status.COMPLETED:
            reason = f" ({self.reason})" if self.reason else ""
            raise RunFailedError(f"{self.key} is {self.status}{reason}: it has no result")
        with self.open(RESULT_PICKLE, "rb") as file:
            return pickle.load(file)

    def open(self, name: str, mode: str = "r") -> IO[Any]:
        """Opens one of its files for reading; it is fetched where it is not here.

        Raises:
            MissingError: the run has no such file.
        """
        path = files.fetch_file(self._catalog, self._row, name)
        if self._catalog.inputs is not None:
            self._catalog.inputs.used([(f"{self.key}/{name}", path)])
        return path.open(mode)

    def download(self) -> Path:
        """Brings all its files here; returns their folder."""
        folder = files.download(self._catalog, self._row)
        if self._catalog.inputs is not None:
            self._catalog.inputs.used_tree(self.key, folder)
        return folder


class _Pace:
    """How long to rest between two looks.

    Args:
        timeout: seconds for all of it; None for no end.
    """

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self._pause = _FIRST_LOOK

    @property
    def max_age(self) -> float:
        """How old a scheduler's answer may be: several who wait ask no more often than one."""
        return max(FRESH, self._pause)

    def rest(self, live: Sequence[Run]) -> None:
        """Sleeps a while for runs that have not ended.

        Raises:
            TimeoutError: the end would be over.
        """
        if self._end is not None and time.monotonic() + self._pause > self._end:
            more = f" and {len(live) - 1} more" if len(live) > 1 else ""
            raise TimeoutError(f"{live[0].key} is still {live[0].status}{more}")
        time.sleep(self._pause)
        here = all(run._is_here() for run in live)
        self._pause = min(self._pause * 1.3, _LAST_LOOK_HERE if here else _LAST_LOOK)


class Runs(Sequence[Run]):
    """Runs, which a notebook shows as a table."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> Runs: ...

    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self._runs)) or "<no runs>"

    def wait(self, timeout: float | None = None) -> Runs:
        """Waits until all of them have ended, in whatever state, and returns itself.

        Args:
            timeout: seconds for all together; None to wait for as long as it takes.

        Raises:
            TimeoutError: one has not ended by then.
        """
        pace = _Pace(timeout)
        while live := [run for run in self._runs if not run._row.status.finished]:
            pace.rest(live)
            refresh(live, max_age=pace.max_age)
        return self

    def _repr_html_(self) -> str:
        columns = ("key", "status", "reason", "started_at", "finished_at", "args")
        head = "".join(f"<th>{name}</th>" for name in columns)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(_shown(getattr(run, name)))}</td>" for name in columns)
            + "</tr>"
            for run in self._runs
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def refresh(runs: Sequence[Run], *, max_age: float = FRESH) -> None:
    """Looks again at several runs of one catalog, with one listing.

    Args:
        runs: the runs.
        max_age: how many seconds old their schedulers' answers may be.

    Raises:
        NotFoundError: one has been removed.
    """
    nodes = {node_of(run.key) for run in runs}
    catalog = runs[0]._catalog
    listing = catalog.list(node=nodes.pop() if len(nodes) == 1 else "", max_age=max_age)
    rows = {row.key: row for row in listing.rows}
    for run in runs:
        if run.key in rows:
            run._row = rows[run.key]
        elif listing.complete:
            raise NotFoundError(f"there is no run {run.key} any more", "savethat ls")


def open_run(config: Config, key: str) -> Run:
    """A run by its whole key.

    Raises:
        NotFoundError: there is none.
    """
    catalog = open_catalog(config)
    row = catalog.find(key)
    if row is None:
        raise NotFoundError(f"there is no run {key}", "savethat ls")
    return Run(catalog, row)


def iter_runs(
    catalog: Catalog,
    node: str | type[Node[Any, Any]] = "",
    *,
    only_completed: bool = False,
    after: datetime | None = None,
    before: datetime | None = None,
    tags: Sequence[str] = (),
) -> Iterator[Run]:
    """Runs, oldest first; the arguments narrow, as the filters of `ls` do.

    Args:
        catalog: the project's.
        node: a node's class, or its class name or dotted name; all where empty.
        only_completed: leave out what has no result.
        after: the earliest time of the run (finished, else started, else submitted), aware.
        before: the end of such times, exclusive.
        tags: any of them.

    Raises:
        StorageError: the storage could not be listed whole.
    """
    name = node if isinstance(node, str) else node.__name__
    chosen = Filter(
        nodes=(name,) if name else (),
        statuses=statuses((), completed=only_completed),
        after=after,
        before=before,
        tags=tuple(tags),
    )
    listing = catalog.list(node=chosen.class_name)
    if not listing.complete:
        raise MissingError("; ".join(listing.warnings))
    for row in listing.rows:
        if chosen.matches(catalog.whole(row) if chosen.reads_args else row):
            yield Run(catalog, row)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(dict(value)) if isinstance(value, Mapping) else str(value)
