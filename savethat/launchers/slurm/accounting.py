"""What SLURM's accounting says of jobs the controller no longer knows. It is optional."""

from __future__ import annotations

import dataclasses
import heapq
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef
from savethat.launchers.slurm import commands, shared
from savethat.launchers.slurm.states import read_state
from savethat.run.key import parse_key
from savethat.run.layout import parse_job_name
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

# A launch, and a position in it; None for a job that is no array.
Task = tuple[str, int | None]

# More names than this make a longer question than all of the user's jobs are an answer.
_MOST_NAMES = 200
_SLACK = 86_400.0
_LONG_AGO = 90 * 86_400.0
# The name goes last: a job that is not ours may have any.
_FIELDS = "JobID,State,ExitCode,Submit,NodeList,JobName"
_HEADER = "JobID|State|"
# What sacct says for good of a cluster that keeps no accounts.
# Source: slurm_errno.c and sacct.c, SLURM 20.02 to 25.05.
_OFF = re.compile(r"accounting storage is disabled", re.IGNORECASE)
_NUMBER = "[0-9]{1,12}"
_RANGE = f"{_NUMBER}(?:-{_NUMBER}(?::{_NUMBER})?)?"
_JOB_ID = re.compile(
    rf"({_NUMBER})(?:_(?:({_NUMBER})|\[({_RANGE}(?:,{_RANGE})*)(?:%{_NUMBER})?\]))?"
)
# No launch has so many runs: see JSON_LIMIT.
_MOST_TASKS = 200_000
_KEPT = 5_000


def look_up(refs: Sequence[JobRef], *, cluster: str, max_age: float) -> list[Answer]:
    """The accounting's word on each run that squeue does not know, with one sacct for all.

    Where sacct should answer and does not, nothing says that a run was never submitted.

    Args:
        refs: what squeue did not know.
        cluster: this machine's.
        max_age: for how many seconds an answer, or a failure, is good. That a job is over is good
            for ever.
    """
    file = f"sacct-{cluster}-{os.getuid()}.json"
    began = time.time()
    names = {task_of(ref): ref.job_name for ref in refs}
    found, doubt = _current(file, names, began, max_age), ""
    if found.keys() != names.keys() and commands.installed("sacct"):
        with shared.lock(file):
            # Others may have asked while this process waited for its turn.
            found = _current(file, names, began, max_age)
            try:
                found = _learn(file, names, found, began, max_age)
            except SchedulerError as error:
                why = error.message.rpartition("; ")[2]
                doubt = f"SLURM's accounting could not be asked: {why}"
    return [
        _answer(found[task].job) if task in found else _unaccounted(ref, doubt)
        for ref, task in zip(refs, map(task_of, refs), strict=True)
    ]


def _current(file: str, tasks: Iterable[Task], began: float, max_age: float) -> dict[Task, _Entry]:
    """What is kept of these tasks, and still good."""
    known, generation = _read(file), shared.generation()
    entries = ((task, known.get(_name(task))) for task in tasks)
    return {
        task: entry
        for task, entry in entries
        if entry is not None and entry.is_good(generation, began, max_age)
    }


def _learn(
    file: str, names: Mapping[Task, str], found: dict[Task, _Entry], began: float, max_age: float
) -> dict[Task, _Entry]:
    """What was found, and sacct's word on the others; it is kept.

    Args:
        file: where.
        names: the tasks, and the names of their jobs.
        found: what need not be asked.
        began: when this process began to ask.
        max_age: how many seconds old a failure may be.

    Raises:
        SchedulerError: it could not be asked, here or in another process a short while ago.
    """
    missing = {task: name for task, name in names.items() if task not in found}
    if not missing:
        return found
    shared.raise_failure(file, began=began, max_age=max_age)
    at, generation = time.time(), shared.generation()
    try:
        rows = _ask(set(missing.values()))
    except SchedulerError as error:
        shared.note_failure(file, error)
        raise
    whole = {**found, **{task: _Entry(at, generation, rows.get(task)) for task in missing}}
    _write(file, {_name(task): entry for task, entry in whole.items()})
    return whole


def _unaccounted(ref: JobRef, doubt: str) -> Answer:
    """What squeue's silence alone means for a run."""
    if not doubt:
        return NoSuchJob()
    # Only the run's own worker says its job's id: there was a job, and squeue has it no longer.
    if ref.place.job_id:
        return NoSuchJob(f"no trace of the job; {doubt}")
    return NotAsked(doubt)


@dataclasses.dataclass(frozen=True)
class _Row:
    """A row of sacct for one task."""

    job_id: str
    state: str
    exit_code: str
    submitted: float
    host: str

    def job(self) -> Job | NotAsked:
        return read_state(self.state, exit_code=self.exit_code, job_id=self.job_id, host=self.host)


@dataclasses.dataclass(frozen=True)
class _Entry:
    """What sacct said of one task, when, and in which generation of answers.

    No job: it knows none.
    """

    at: float
    generation: str
    job: _Row | None

    def is_good(self, generation: str, began: float, max_age: float) -> bool:
        """Whether it need not be asked again: what is over stays so."""
        answer = None if self.job is None else self.job.job()
        if isinstance(answer, Job) and answer.phase is Phase.OVER:
            return True
        current = shared.is_current(self.at, began=began, max_age=max_age)
        return current and self.generation == generation


def _answer(row: _Row | None) -> Answer:
    return NoSuchJob() if row is None else row.job()


def task_of(ref: JobRef) -> Task:
    """What a run's job is known by."""
    return ref.launch, ref.position if ref.array_size else None


def task_named(name: str, index: int | None) -> Task:
    """The same, from what SLURM says of a job.

    SLURM shows an array that was cancelled before all of it began without an index, too: it is the
    job of no run.
    """
    return (name, None) if index is None else parse_job_name(name, index)


def _ask(names: set[str]) -> dict[Task, _Row]:
    """What sacct has of jobs with these names; nothing where the cluster keeps no accounts.

    Raises:
        SchedulerError: it could not be asked.
    """
    command = ["sacct", "-P", "-X", "-u", str(os.getuid()), "-o", _FIELDS]
    command += ["-S", _local_time(min(map(_launched, names)))]
    if len(names) <= _MOST_NAMES:
        command += ["--name", ",".join(sorted(names))]
    try:
        lines = commands.call(command).splitlines()
    except SchedulerError as error:
        if _OFF.search(error.message):
            return {}
        raise
    # The header comes first even where there is no job.
    if not any(line.startswith(_HEADER) for line in lines):
        raise SchedulerError(f"sacct printed {' '.join(lines)[:80]!r} where jobs should be")
    found: dict[Task, _Row] = {}
    for line in lines:
        for task, row in _rows(line):
            # A name that occurs twice was submitted twice: the later one counts.
            if task not in found or found[task].submitted <= row.submitted:
                found[task] = row
    return found


def _rows(line: str) -> Iterator[tuple[Task, _Row]]:
    """A line of sacct for each task it is about."""
    fields = line.split("|", 5)
    match = _JOB_ID.fullmatch(fields[0])
    if len(fields) < 6 or match is None:
        return
    _, state, exit_code, submit, host, name = fields
    try:
        submitted = float(submit)
    except ValueError:
        submitted = 0.0
    indices: list[int | None] = [int(match[2]) if match[2] else None]
    for index in _expand(match[3]) if match[3] else indices:
        job_id = match[1] if index is None else f"{match[1]}_{index}"
        yield task_named(name, index), _Row(job_id, state, exit_code, submitted, host)


def _expand(ranges: str) -> Iterator[int]:
    """The positions in `0-3,7,10-20:2`."""
    for part in ranges.split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        yield from range(int(first), min(int(last or first), _MOST_TASKS) + 1, int(step or 1) or 1)


def _launched(launch: str) -> float:
    parts = parse_key(launch.partition(".")[0])
    # A day for clocks, time zones and whatever else; sites bound how far back they search.
    return parts.time.timestamp() - _SLACK if parts else time.time() - _LONG_AGO


def _local_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%dT%H:%M:%S")


def _name(task: Task) -> str:
    return task[0] if task[1] is None else f"{task[0]}[{task[1]}]"


def _read(file: str) -> dict[str, _Entry]:
    content = shared.read(file)
    entries = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        try:
            at, generation, row = value
            entries[name] = _Entry(float(at), generation, None if row is None else _kept_row(row))
        except (TypeError, ValueError, OverflowError):
            continue
    return entries


def _kept_row(row: list[Any]) -> _Row:
    job_id, state, exit_code, submitted, host = row
    return _Row(str(job_id), str(state), str(exit_code), float(submitted), str(host))


def _write(file: str, entries: dict[str, _Entry]) -> None:
    """Keeps entries, and the latest of those that are kept already."""
    others = {name: entry for name, entry in _read(file).items() if name not in entries}
    room = max(0, _KEPT - len(entries))
    latest = heapq.nlargest(room, others.items(), key=lambda item: item[1].at)
    content = {}
    for name, entry in [*latest, *entries.items()]:
        row = None if entry.job is None else dataclasses.astuple(entry.job)
        content[name] = [entry.at, entry.generation, row]
    shared.write(file, content)
