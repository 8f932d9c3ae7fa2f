from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import psutil
import pytest

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef
from savethat.launchers.foreground import (
    Foreground,
    login_name,
    machine_id,
    process_start,
    this_process,
)
from savethat.run.record import SLURM, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

_CHILD = "import sys; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that ends when its stdin does."""
    with start() as process:
        yield process
        process.kill()


def start() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert _pipe(process.stdout).readline() == "up\n"
    return process


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def place_of(process: subprocess.Popen[str]) -> Place:
    started = process_start(process.pid)
    return dataclasses.replace(this_process(), pid=process.pid, pid_started=started)


def answer(place: Place) -> Answer:
    ref = JobRef("Fit", 0, place)
    return Foreground().ask(max_age=0).answers([ref])[ref]


def test_this_process_says_who_and_where_it_is() -> None:
    place = this_process()
    assert (place.user, place.pid, place.machine) == (login_name(), os.getpid(), machine_id())
    assert place.scheduler == place.where == "foreground"
    assert answer(place) == Job(Phase.RUNNING, host=place.host)


def test_another_interpreter_on_this_machine_gives_it_the_same_identity() -> None:
    code = "from savethat.launchers.foreground import machine_id; print(machine_id())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == machine_id()


def test_a_living_supervisor_runs(child: subprocess.Popen[str]) -> None:
    assert answer(place_of(child)) == Job(Phase.RUNNING, host=place_of(child).host)


def test_one_that_ended_is_gone_even_while_nobody_has_reaped_it(
    child: subprocess.Popen[str],
) -> None:
    place = place_of(child)
    _pipe(child.stdin).close()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    zombie = answer(place)
    child.wait()
    assert zombie == answer(place) == NoSuchJob("its process is gone")


def test_a_pid_used_again_is_another_process(child: subprocess.Popen[str]) -> None:
    place = place_of(child)
    used_again = dataclasses.replace(place, pid_started=place.pid_started - 3600)
    assert answer(used_again) == NoSuchJob("its process is gone")


def test_the_answer_is_of_the_moment_it_was_asked(child: subprocess.Popen[str]) -> None:
    # A run that ends after the asking shows its mark; it must not look lost instead.
    ref = JobRef("Fit", 0, place_of(child))
    snapshot = Foreground().ask(max_age=0)
    child.kill()
    child.wait()
    assert isinstance(snapshot.answers([ref])[ref], Job)


def test_a_run_that_starts_after_the_asking_is_seen() -> None:
    snapshot = Foreground().ask(max_age=0)
    with start() as later:
        ref = JobRef("Fit", 0, place_of(later))
        assert isinstance(snapshot.answers([ref])[ref], Job)
        later.kill()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"machine": "0" * 16, "host": "elsewhere"}, "it runs on elsewhere"),
        ({"pid": 0}, "its process is not known yet"),
        (
            {"scheduler": SLURM, "where": "mila"},
            "it is not in the foreground of a machine but on mila",
        ),
    ],
)
def test_what_this_process_table_cannot_know_was_not_asked(
    change: dict[str, object], why: str
) -> None:
    place = dataclasses.replace(this_process(), **change)  # type: ignore[arg-type] # by name
    assert answer(place) == NotAsked(why)
    with pytest.raises(SchedulerError, match=why):
        Foreground().cancel([JobRef("Fit", 0, place)])


def test_cancelling_ends_the_supervisor_and_no_other(child: subprocess.Popen[str]) -> None:
    place = place_of(child)
    other = dataclasses.replace(place, pid_started=place.pid_started - 3600)
    Foreground().cancel([JobRef("Fit", 0, other)])
    assert child.poll() is None
    Foreground().cancel([JobRef("Fit", 0, place)])
    assert child.wait() == -signal.SIGTERM
    Foreground().cancel([JobRef("Fit", 0, place)])
