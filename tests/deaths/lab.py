"""The tests' own SLURM in its operator's hands: preemption, nodes that die, restarts."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil

from tests.conftest import LAB
from tests.program import await_true

# The daemons, where a user's PATH does not lead.
_SBIN = "/usr/sbin:/sbin"


class Lab:
    """A SLURM on this machine whose nodes may be killed: nobody else's jobs should be on it."""

    def __init__(self) -> None:
        self.env = {"SLURM_CONF": str(LAB / "slurm.conf")}
        nodes = self._call("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N").split()
        nodes = sorted(set(nodes), key=lambda node: (len(node), node))
        # Half of them for cells that need one for themselves.
        self.mild = nodes[: max(1, len(nodes) // 2)]
        self._hurried: set[str] = set()
        self._free: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.violent = nodes[len(self.mild) :]
        for node in self.violent:
            self._free.put(node)

    def in_use(self) -> bool:
        """Whether there are jobs, which are somebody's."""
        return bool(self._call("squeue", "-h"))

    @contextlib.contextmanager
    def node(self) -> Iterator[str]:
        """A compute node of one's own, back in order afterwards."""
        node = self._free.get()
        try:
            yield node
        finally:
            self._free.put(node)

    def jobs(self, name: str) -> dict[str, str]:
        """The jobs of this name that SLURM has not yet forgotten or ended: id and state."""
        lines = self._call("squeue", "-h", "-n", name, "-o", "%A %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def cancel(self, name: str) -> None:
        """What a user's `scancel` does to the jobs of this name, if there are any still."""
        if jobs := self.jobs(name):
            self._call("scancel", *jobs)

    def limit(self, name: str) -> None:
        """Lets a job end at its shortest time limit, one minute after its start."""
        for job in self.jobs(name):
            self._call("scontrol", "update", f"JobId={job}", "TimeLimit=1")

    def start_soon(self, name: str) -> None:
        """Starts a requeued job soon; SLURM itself holds it back for two minutes.

        Not at once: what SLURM sends once more to a node that is back would hit the new attempt.
        """
        for job, state in self.jobs(name).items():
            if state == "PENDING" and job not in self._hurried:
                self._hurried.add(job)
                self._call("scontrol", "update", f"JobId={job}", "StartTime=now+4")

    def preempt(self, node: str) -> None:
        """Sends a job that takes a whole node from those of the partition `low`."""
        script = "#!/bin/sh\nsleep 1\n"
        command = ["-p", "cpu", "-w", node, "--exclusive", "-J", "preemptor", "-o", "/dev/null"]
        self._call("sbatch", *command, stdin=script)

    def kill_node(self, node: str) -> None:
        """A power cut: of the daemon and of every process of every job there; SLURM knows of it."""
        pid = int((LAB / "run" / f"slurmd.{node}.pid").read_text())
        jobs = set(self._call("squeue", "-h", "-w", node, "-o", "%A").split())
        victims = [pid]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                title = re.match(r"slurmstepd: \[(\d+)", " ".join(process.cmdline()))
                mine = process.environ().get("SLURM_JOB_ID") in jobs
                here = process.environ().get("SLURM_CONF") == self.env["SLURM_CONF"]
                if (title and title[1] in jobs) or (mine and here):
                    victims.append(process.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # none sees another's end
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, number)
        # What SLURM does by itself, when the node has not answered for half a minute.
        self._call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=power cut")

    def revive_node(self, node: str) -> None:
        """Starts a compute node again, and waits until SLURM has it back."""
        # No machine boots faster, and what SLURM still sends to the dead one must not reach it.
        time.sleep(5)
        self._daemon("slurmd", "-N", node)
        with contextlib.suppress(subprocess.CalledProcessError):  # it is back by itself
            self._call("scontrol", "update", f"NodeName={node}", "State=RESUME")
        await_true(
            lambda: bool(
                re.fullmatch(
                    "idle|mixed|allocated|completing",
                    self._call("sinfo", "-h", "-n", node, "-p", "cpu", "-o", "%T").strip(),
                )
            ),
            lambda: f"{node} to come back",
        )

    def restart_controller(self) -> None:
        """Kills SLURM's controller, leaves it dead for a moment, and starts it again."""
        # A job that it has started and not yet written down it would start once more: it writes
        # when there is something new.
        asked = time.time()
        saved = LAB / "state" / "job_state"
        due = time.monotonic()

        def is_saved() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                due += 10
                self._call("sbatch", "--hold", "-J", "news", "-o", "/dev/null", stdin="#!/bin/sh\n")
                self.cancel("news")
            return saved.stat().st_mtime > asked

        await_true(is_saved, lambda: "slurmctld to save its state")
        pid = int((LAB / "run" / "slurmctld.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        await_true(lambda: not psutil.pid_exists(pid) or _zombie(pid), lambda: "slurmctld to die")
        time.sleep(2)  # for whoever asks it meanwhile
        self._daemon("slurmctld")
        await_true(self._answers, lambda: "slurmctld to answer")
        self.cancel("news")  # that it was cancelled may have been news that was lost

    def _answers(self) -> bool:
        """Whether the controller answers, and has heard of every compute node."""
        try:
            return "unk" not in self._call("sinfo", "-h", "-o", "%T")
        except subprocess.CalledProcessError:
            return False

    def _daemon(self, *command: str) -> None:
        env = {**os.environ, **self.env, "PATH": f"{os.environ['PATH']}:{_SBIN}"}
        subprocess.run(command, env=env, check=True, capture_output=True, text=True)

    def _call(self, *command: str, stdin: str = "") -> str:
        done = subprocess.run(
            command,
            env={**os.environ, **self.env},
            input=stdin,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout


def _zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
