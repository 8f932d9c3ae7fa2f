"""Batch scripts, and their submission: the one home of submitit.

Importing submitit takes 0.2 s: import this module only where something is submitted.

submitit writes the script, calls sbatch and reads the job's id. The job runs savethat's worker by
its command line; nothing is pickled. What is used of submitit beside its public names is in
`Batch` alone, and `tests/launchers/test_batch.py` notices when it moves.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from savethat.errors import SchedulerError
from savethat.launchers.output import output_pattern
from savethat.launchers.processes import INSIDE_A_RUN
from savethat.launchers.slurm import commands, shared
from savethat.launchers.slurm.arrays import Chunk, ranges
from savethat.launchers.slurm.known import OWNED
from savethat.launchers.slurm.leftovers import (
    SBATCH_LOCK,
    SCRIPT_PREFIX,
    SUBMIT_TIMEOUT,
    UnansweredError,
)
from savethat.launchers.slurm.options import Request

_JOB_ID = re.compile(r"^(\d+)(?:;.*)?$", re.MULTILINE)
# The warning ahead of the time limit may come before the worker is ready for it (SLURM's timer is
# up to 60 s early), and would end the shell or a starting Python; whoever installs a handler for
# it gets it. The same goes for USR1, which sites send for the same purpose.
_IGNORE_WARNING = "trap '' USR1 USR2"
# Variables such as SBATCH_PARTITION overrule a batch script: those of what is asked for are unset.
# All that sbatch says goes to one stream: submitit would print stderr to ours. `timeout` and
# `flock` are part of coreutils and util-linux, which every machine with SLURM has.
_SBATCH = f'unset $2; exec flock "$3" timeout {SUBMIT_TIMEOUT} sbatch --parsable "$1" 2>&1'
_VARIABLES = {"array": "ARRAY_INX", "time": "TIMELIMIT", "mem": "MEM_PER_NODE"}
_TIMED_OUT = 124
# Source: slurm_errno.c (ESLURM_ACCOUNTING_POLICY) and the names of limits that sbatch prints.
_LIMIT = re.compile(r"job submit limit|Max\w*Submit\w*|Submit\w*Limit", re.IGNORECASE)


class RefusedByLimitError(SchedulerError):
    """SLURM takes no more jobs of this user now; it may later, or fewer at a time."""


class Batch(submitit.SlurmExecutor):
    """One job or job array: submitit's executor with our command instead of pickles.

    Args:
        chunk: its name, and which indices of the array.
        request: the resources.
        folder: where the script and what the jobs print are kept, on the shared file system.
        chdir: where the jobs start.
        max_parallel: the most tasks of the array at a time; 0: SLURM's choice.
        after: ids of the jobs that must have ended before this one begins.
        hidden: environment variables that the job is not to get.
    """

    def __init__(
        self,
        chunk: Chunk,
        request: Request,
        folder: Path,
        chdir: Path,
        max_parallel: int = 0,
        after: Sequence[str] = (),
        hidden: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self._request = request
        # A job is no part of the run that may have submitted it.
        self._hidden = (*hidden, INSIDE_A_RUN)
        options: dict[str, Any] = {
            **request.options,
            "chdir": str(chdir),
            "output": output_pattern(self.folder, array=chunk.indices is not None),
            "signal": request.signal,
        }
        if chunk.indices is not None:
            limit = f"%{max_parallel}" if max_parallel else ""
            options["array"] = ranges(chunk.indices) + limit
        if after:
            own = options.get("dependency")
            chained = f"afterany:{':'.join(after)}"
            options["dependency"] = f"{own},{chained}" if own else chained
        self.update_parameters(
            job_name=chunk.name,
            # submitit's defaults for these would overrule the site's.
            time=None,
            nodes=None,
            wckey=None,
            stderr_to_stdout=True,
            setup=[_IGNORE_WARNING, *request.setup],
            use_srun=False,
            additional_parameters=options,
        )

    @classmethod
    def affinity(cls) -> int:
        """Available: a dry run needs no SLURM, and who submits has looked for sbatch."""
        return 2

    def text(self, command: Sequence[str]) -> str:
        """The batch script; `exec`, so that the job's signals reach the worker itself."""
        return str(self._make_submission_file_text(f"exec {shlex.join(command)}", ""))

    def send(self, command: Sequence[str]) -> str:
        """Hands the script to sbatch; returns the job's id.

        Raises:
            RefusedByLimitError: there are too many jobs.
            UnansweredError: sbatch did not answer in time.
            SchedulerError: sbatch refused it. Nothing is left behind then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._sbatch(command)
        finally:
            # sbatch may have accepted the job before it failed.
            shared.forget_answers()

    def _sbatch(self, command: Sequence[str]) -> str:
        before = set(self.folder.iterdir())
        try:
            job = self._submit_command(f"exec {shlex.join(command)}")
        except FailedJobError as error:
            raise _refused(error) from error
        except FailedSubmissionError as error:
            raise SchedulerError(f"sbatch named no job: {error}", "see squeue --me") from error
        finally:
            for path in set(self.folder.iterdir()) - before:
                # The script under its first name: left by a failure, or a link to its final one.
                if path.name.startswith(SCRIPT_PREFIX):
                    path.unlink()
        return str(job.job_id)

    def _num_tasks(self) -> int:
        return 1

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        options = sorted({*OWNED, *self._request.options})
        names = [_VARIABLES.get(name, name.upper().replace("-", "_")) for name in options]
        variables = " ".join([*(f"SBATCH_{name}" for name in names), *self._hidden])
        lock = str(self.folder / SBATCH_LOCK)
        return ["/bin/sh", "-c", _SBATCH, "sbatch", str(submission_file_path), variables, lock]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        text = string if isinstance(string, str) else string.decode(errors="replace")
        match = _JOB_ID.search(text)
        if match is None:
            raise FailedSubmissionError(text.strip() or "it printed nothing")
        return match[1]


def _refused(error: FailedJobError) -> SchedulerError:
    cause = error.__cause__
    output = getattr(cause, "output", None) or ""
    if getattr(cause, "returncode", None) == _TIMED_OUT:
        return UnansweredError(
            f"sbatch did not answer within {SUBMIT_TIMEOUT} s", "see whether sinfo answers"
        )
    words = commands.own_words(output) or "it gave no reason"
    if _LIMIT.search(output):
        message = f"sbatch takes no more jobs now: {words}"
        return RefusedByLimitError(message, "the same again, later")
    return SchedulerError(f"sbatch refused the job: {words}", "correct the options; see man sbatch")
