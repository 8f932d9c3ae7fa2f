"""Runs carried out by a supervisor process on a machine: this one's process table knows them."""

from __future__ import annotations

import functools
import hashlib
import os
import pwd
import signal
import socket
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef, Scheduler, Snapshot
from savethat.run.record import FOREGROUND, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

# Two reads of one start may differ by their rounding.
_START_TOLERANCE = 0.02
_GONE = NoSuchJob("its process is gone")


def login_name() -> str:
    """The name of the user this process runs as; their number where the system has no name."""
    # Not $USER or $LOGNAME: they can say anything, and SLURM goes by the number.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@functools.cache
def machine_id() -> str:
    """Identifies this machine's process table: a pid means the same process where this is equal.

    Cluster nodes made from one image share /etc/machine-id, so the host name counts; a container
    has a process table of its own, so its pid namespace does.
    """
    facts = []
    if sys.platform == "darwin":
        # A Mac's host name changes with the network it is on.
        facts.append(str(uuid.getnode()))
    else:
        facts.append(socket.gethostname())
        try:
            facts.append(Path("/etc/machine-id").read_text().strip())
        except OSError:
            facts.append(str(uuid.getnode()))
    try:
        facts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        facts.append("")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def this_process(scheduler: str = FOREGROUND, where: str = FOREGROUND, job_id: str = "") -> Place:
    """The place where this process is: its user, host, machine, pid and start."""
    return Place(
        scheduler=scheduler,
        where=where,
        user=login_name(),
        host=socket.gethostname(),
        machine=machine_id(),
        pid=os.getpid(),
        pid_started=process_start(os.getpid()),
        job_id=job_id,
    )


def is_alive(pid: int, started: float) -> bool:
    """Whether the process that started then still lives; a zombie does not."""
    import psutil

    try:
        alive = psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return alive and abs(process_start(pid) - started) <= _START_TOLERANCE
    except (psutil.Error, OSError, ValueError):
        return False


def terminate(pid: int, started: float) -> bool:
    """Sends SIGTERM to that process; False where it is gone already.

    Raises:
        PermissionError: it is another user's.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        # psutil looks again whether the pid is still this process before it sends.
        if abs(process_start(pid) - started) > _START_TOLERANCE:
            return False
        process.send_signal(signal.SIGTERM)
    except (psutil.NoSuchProcess, OSError):
        return False
    except psutil.AccessDenied as error:
        raise PermissionError(f"process {pid} is another user's") from error
    return True


def process_start(pid: int) -> float:
    """When a process started: on Linux in seconds since the machine did, else since the epoch.

    Linux counts from the machine's start; since the epoch, as psutil has it, all processes would
    seem to be others whenever the clock is set.

    Source: proc(5), field 22 of /proc/PID/stat, in clock ticks.
    """
    if sys.platform != "linux":
        import psutil

        return psutil.Process(pid).create_time()
    # The program's name, in parentheses, may have spaces and parentheses of its own.
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


class Foreground(Scheduler):
    """Answers for runs whose supervisor is a process of this machine."""

    def ask(self, *, max_age: float) -> Snapshot:
        """The processes alive now; asking costs too little to share answers, whatever `max_age`."""
        return _Processes()

    def cancel(self, refs: Sequence[JobRef]) -> Sequence[JobRef]:
        """Sends SIGTERM to the runs' supervisors; one that is gone already is left alone.

        Raises:
            SchedulerError: a run is not on this machine, its process is not known yet, or it is
                another user's. Nothing is sent then, but to processes before the refused one.
        """
        for ref in refs:
            why = _out_of_reach(ref.place)
            if why:
                raise SchedulerError(
                    f"{ref.launch} cannot be cancelled from here: {why}",
                    f"run savethat cancel on {ref.place.host or 'the machine it runs on'}",
                )
        for ref in refs:
            try:
                terminate(ref.place.pid, ref.place.pid_started)
            except PermissionError as error:
                raise SchedulerError(
                    f"{ref.launch} is a process of {ref.place.user}, not yours",
                    f"ask {ref.place.user} to cancel it",
                ) from error
        return []


class _Processes(Snapshot):
    """The process table when it was asked: ends between then and the marks' listing stay unseen."""

    def __init__(self) -> None:
        import psutil  # 25 ms, which a worker that only asks for its own place is spared

        self._started: dict[int, float] = {}
        for process in psutil.process_iter():
            try:
                with process.oneshot():
                    # A zombie has ended: only its parent has not looked yet.
                    if process.status() != psutil.STATUS_ZOMBIE:
                        self._started[process.pid] = process_start(process.pid)
            except (psutil.Error, OSError):
                continue

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        return {ref: self._answer(ref.place) for ref in refs}

    def _answer(self, place: Place) -> Answer:
        why = _out_of_reach(place)
        if why:
            return NotAsked(why)
        if self._alive(place):
            return Job(Phase.RUNNING, host=place.host)
        if place.user != login_name() and os.getuid() != 0:
            # Some systems hide other users' processes.
            return NotAsked(f"it was a process of {place.user}")
        return _GONE

    def _alive(self, place: Place) -> bool:
        if place.pid in self._started:
            return _same_start(self._started[place.pid], place)
        # It may have started since the table was read.
        return is_alive(place.pid, place.pid_started)


def _out_of_reach(place: Place) -> str:
    """Why this machine's process table does not know a place's process; empty where it does."""
    if place.scheduler != FOREGROUND:
        return f"it is not in the foreground of a machine but on {place.where}"
    if place.machine != machine_id():
        return f"it runs on {place.host or 'another machine'}"
    if place.pid == 0:
        return "its process is not known yet"
    return ""


def _same_start(started: float, place: Place) -> bool:
    return abs(started - place.pid_started) <= _START_TOLERANCE
