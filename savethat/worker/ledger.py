"""Writes a run's marks, and its launch record where that has not reached the remote yet."""

from __future__ import annotations

import json

from savethat.errors import MissingError, StorageError, UsageError
from savethat.remotes.base import Remote, Stored
from savethat.run.layout import (
    RUNS_INFO,
    STARTED,
    launch_name,
    launches_prefix,
    mark_name,
    marks_prefix,
    parse_launch_name,
    parse_mark_name,
)
from savethat.run.record import Launch, Mark
from savethat.untrusted import JSON_LIMIT, read_json


class RemovedError(MissingError):
    """The run was removed while its worker was away: nothing of it may be written again."""


class SupersededError(RemovedError):
    """The run has gone on with a later attempt: what that one wrote is not to be touched."""


def publish(remote: Remote, launch: Launch, *, anew: bool = False) -> Stored:
    """Writes a launch record: the first thing a remote holds of a run.

    Args:
        remote: where to.
        launch: the launch.
        anew: whether there may be an older version of it, which then goes.

    Raises:
        UsageError: it is larger than what is read of a bucket.
    """
    write = remote.replace if anew else remote.put
    content = json.dumps(launch.to_json()).encode()
    if len(content) > JSON_LIMIT:
        raise UsageError(
            f"the record of a launch has at most {JSON_LIMIT} bytes, that of these "
            f"{len(launch.runs)} runs has {len(content)}",
            "launch them in several parts",
        )
    # A listing tells by their number whether all of its runs have left a mark.
    info = {RUNS_INFO: str(len(launch.runs))}
    return write(launch_name(launch.id), content, info=info)


def read_launch(remote: Remote, launch_id: str) -> Launch | None:
    """A launch record; None where there is none.

    Raises:
        StorageError: what is there is not one, or it could not be read.
    """
    name = launch_name(launch_id)
    try:
        launch = Launch.from_json(read_json(remote.read(name, limit=JSON_LIMIT)))
        if launch.id != launch_id:
            raise ValueError("its content is another launch's")
    except MissingError:
        return None
    except ValueError as error:
        raise StorageError(f"cannot read the launch record {name}: {error}") from error
    return launch


def read_mark(remote: Remote, name: str) -> Mark:
    """A mark, whole.

    Raises:
        StorageError: what is there is not one, or it could not be read.
    """
    try:
        mark = Mark.from_json(read_json(remote.read(name, limit=JSON_LIMIT)))
        if parse_mark_name(name) != (mark.key, mark.attempt, mark.mark):
            raise ValueError("its content is another run's")
    except ValueError as error:
        raise StorageError(f"cannot read the mark {name}: {error}") from error
    return mark


class Ledger:
    """The marks of one attempt of a run on one remote; this worker is their only writer.

    Args:
        remote: where the marks go.
        launch_id: the launch the attempt belongs to.
    """

    def __init__(self, remote: Remote, launch_id: str) -> None:
        self._remote = remote
        self._launch_id = launch_id
        self._started: Stored | None = None
        self._ending: Stored | None = None

    def beat(self, mark: Mark) -> None:
        """Writes the `started` mark: at first, and again as the heartbeat.

        Raises:
            RemovedError: the run is not wanted any more.
        """
        assert mark.mark == STARTED
        try:
            self._started = self._put(mark, previous=self._started)
        except MissingError:
            self._started = None
            self.require_wanted(mark.key, mark.attempt)
            self._started = self._put(mark)

    def end(self, mark: Mark) -> None:
        """Writes the ending mark, then deletes every other mark of the run.

        Again with the same mark, it is rewritten: with what has become of the run's files.

        Raises:
            RemovedError: the run is not wanted any more; the mark is taken back.
        """
        try:
            ending = self._put(mark, previous=self._ending)
        except MissingError:
            raise RemovedError(f"{mark.key} was removed while its files were sent") from None
        self._ending = ending
        if self._started is not None and not self._remote.forget(self._started):
            try:
                self.require_wanted(mark.key, mark.attempt)
            except RemovedError:
                self._remote.forget(ending)
                raise
        self._started = None
        if mark.attempt > 1:
            names = [entry.name for entry in self._remote.list(marks_prefix(mark.key))]
            self._remote.delete(name for name in names if name != ending.name)

    def require_wanted(self, key: str, attempt: int) -> None:
        """Looks whether the run is still in its launch record, and has no later attempt.

        For a worker that lost touch: it must not bring back what was removed, nor write over what
        a later attempt wrote.

        Raises:
            RemovedError: it is not wanted any more.
        """
        launch = read_launch(self._remote, self._launch_id)
        if launch is None or all(run.key != key for run in launch.runs):
            raise RemovedError(f"{key} was removed while it ran")
        for entry in self._remote.list(marks_prefix(key)):
            fact = parse_mark_name(entry.name)
            if fact is not None and fact.attempt > attempt:
                raise SupersededError(f"{key} has gone on with attempt {fact.attempt}")
        # An attempt that is launched and has not begun yet is the later one, too.
        for entry in self._remote.list(launches_prefix(key)):
            other = parse_launch_name(entry.name)
            launch = read_launch(self._remote, other) if other else None
            if launch is not None and any(
                run.key == key and run.attempt > attempt for run in launch.runs
            ):
                raise SupersededError(f"{key} has been launched again")

    def _put(self, mark: Mark, previous: Stored | None = None) -> Stored:
        return self._remote.put(
            mark_name(mark.key, mark.attempt, mark.mark),
            json.dumps(mark.to_json()).encode(),
            info=mark.to_info(),
            previous=previous,
        )
