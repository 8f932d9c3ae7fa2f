"""What a launch's folder tells of runs without a word of their own: what waits, and last lines."""

from __future__ import annotations

import dataclasses

from savethat.launchers.base import JobRef
from savethat.launchers.output import job_output, last_line, queue_output
from savethat.launchers.slurm.waiting import Waiting, read_waiting
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import launch_folder
from savethat.run.record import QUEUE, SLURM
from savethat.run.status import Answer, Job, NoSuchJob, Phase


class Traces:
    """Reads launches' folders on this machine, each file once.

    Args:
        home: the folder that holds them.
    """

    def __init__(self, home: DirectoryRemote) -> None:
        self._home = home
        self._waiting: dict[str, Waiting | None] = {}

    def add(self, ref: JobRef, answer: Answer) -> Answer:
        """The scheduler's answer, with what is known here beside it."""
        if isinstance(answer, NoSuchJob):
            waiting = self._read_waiting(ref.launch) if ref.place.scheduler == SLURM else None
            if waiting is not None and ref.position in waiting.positions:
                return Job(Phase.PENDING, f"not submitted yet, savethat sync: {waiting.why}")
            return NoSuchJob(self._last_words(ref) or answer.trace)
        if isinstance(answer, Job) and answer.phase is Phase.OVER and not answer.cancelled:
            reason = ": ".join(filter(None, (answer.reason, self._last_words(ref))))
            return dataclasses.replace(answer, reason=reason)
        return answer

    def _read_waiting(self, launch: str) -> Waiting | None:
        if launch not in self._waiting:
            self._waiting[launch] = read_waiting(self._home.root / launch_folder(launch))
        return self._waiting[launch]

    def _last_words(self, ref: JobRef) -> str:
        folder = self._home.root / launch_folder(ref.launch)
        if ref.place.scheduler == SLURM:
            return last_line(job_output(folder, ref.launch, ref.position, ref.array_size))
        if ref.place.scheduler == QUEUE:
            return last_line(queue_output(folder, ref.position))
        return ""
