"""One squeue for all of a user's jobs: asked, read, and shared between their processes."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from typing import Any

from savethat.errors import SchedulerError
from savethat.launchers.slurm import commands, shared
from savethat.launchers.slurm.accounting import Task, task_named
from savethat.launchers.slurm.states import read_state
from savethat.run.status import Job, NotAsked, Phase

# Job id (with the array index, by `-r`), state, reason, host, name. The name goes last, because a
# job that is not ours may have any. `-o` and not `-O`, which cuts fields.
_COMMAND = ["squeue", "--me", "-r", "-t", "all", "-o", "%i|%T|%B|%r|%j"]
# The header: what says that a user has no jobs, where an empty answer could be anything.
_HEADER = re.compile(r"^JOBID\|STATE\|[^\n]*\n", re.MULTILINE)
_JOB_ID = re.compile(r"[0-9]{1,12}(?:_([0-9]{1,12}))?")
_BEGINS_A_ROW = re.compile(r"\d+(?:_\d+)?(?:\||$)")


@dataclasses.dataclass(frozen=True)
class Row:
    """A job, or one task of an array, as squeue has it."""

    job_id: str
    state: str
    host: str
    reason: str
    name: str

    @property
    def task(self) -> Task:
        """What the run's job is known by."""
        index = self.job_id.partition("_")[2]
        return task_named(self.name, int(index) if index else None)

    @property
    def alive(self) -> bool:
        """Whether it is pending or running, or may be."""
        answer = self.answer()
        return not isinstance(answer, Job) or answer.phase is not Phase.OVER

    @property
    def pending(self) -> bool:
        """Whether it waits."""
        answer = self.answer()
        return isinstance(answer, Job) and answer.phase is Phase.PENDING

    @property
    def never_began(self) -> bool:
        """Whether it was cancelled before it had a node: SLURM names none then."""
        answer = self.answer()
        return isinstance(answer, Job) and answer.cancelled and not answer.host

    @property
    def is_vague(self) -> bool:
        """Whether the job failed in a way that the accounting tells better: with its signal."""
        return self.state == "FAILED" and self.reason == "JobLaunchFailure"

    def answer(self) -> Job | NotAsked:
        """SLURM's word on it, in ours."""
        return read_state(self.state, reason=self.reason, job_id=self.job_id, host=self.host)


@dataclasses.dataclass(frozen=True)
class Said:
    """What squeue said.

    Args:
        at: when it was asked, seconds since the epoch by the asking machine's clock.
        generation: that of the shared answers when it was asked.
        rows: the user's jobs.
    """

    at: float
    generation: str
    rows: tuple[Row, ...]


def squeue(cluster: str, began: float, max_age: float) -> Said:
    """What squeue says, to this process, or to another one of the user a short while ago.

    Args:
        cluster: this machine's.
        began: when this process began to ask.
        max_age: how many seconds old it may be; 0 always asks.

    Raises:
        SchedulerError: squeue failed, here or in another process a short while ago.
    """
    file = f"squeue-{cluster}-{os.getuid()}.json"
    kept = _kept(file, began, max_age)
    if kept is not None:
        return kept
    with shared.lock(file):
        # Others may have asked while this process waited for its turn.
        kept = _kept(file, began, max_age)
        if kept is not None:
            return kept
        at, generation = time.time(), shared.generation()
        try:
            rows = read_rows(commands.call(_COMMAND))
        except SchedulerError as error:
            shared.note_failure(file, error)
            raise
        said = Said(at, generation, tuple(rows))
        shared.write(file, dataclasses.asdict(said))
        return said


def read_rows(output: str) -> list[Row]:
    """The jobs in what squeue printed.

    Raises:
        SchedulerError: it is not whole. A job missing in it would look as if it had never been.
    """
    header = _HEADER.search(output)
    if header is None or not output.endswith("\n"):
        raise _not_understood(output[header.end() :] if header else output)
    rows = []
    for line in output[header.end() :].splitlines():
        fields = line.split("|", 4)
        if len(fields) == 5 and _JOB_ID.fullmatch(fields[0]):
            rows.append(Row(*fields))
        elif _BEGINS_A_ROW.match(line):
            raise _not_understood(line)
        # Else it belongs to the name of another program's job, which may have several lines.
    return rows


def _not_understood(text: str) -> SchedulerError:
    lines = text.strip().splitlines()
    words = repr(lines[-1][:80]) if lines else "nothing"
    return SchedulerError(f"squeue printed {words} where jobs should be", "run squeue --me to see")


def _kept(file: str, began: float, max_age: float) -> Said | None:
    """Another process's answer, where it is good enough.

    Raises:
        SchedulerError: there is none, and another process's question has failed.
    """
    content: Any = shared.read(file)
    try:
        rows = tuple(_kept_row(**row) for row in content["rows"])
        said = Said(float(content["at"]), content["generation"], rows)
    except (KeyError, TypeError, ValueError, OverflowError):
        good = False
    else:
        good = said.generation == shared.generation()
    if good and shared.is_current(said.at, began=began, max_age=max_age):
        return said
    shared.raise_failure(file, began=began, max_age=max_age)
    return None


def _kept_row(job_id: str, state: str, host: str, reason: str, name: str) -> Row:
    if _JOB_ID.fullmatch(job_id) is None:
        raise ValueError(f"not a job's id: {job_id!r}")
    return Row(job_id, str(state), str(host), str(reason), str(name))
