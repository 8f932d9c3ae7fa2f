"""The process table of this machine, asked about runs in the foreground."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import psutil
import pytest

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef
from savethat.launchers.foreground import Foreground, machine_id, this_process
from savethat.run.record import Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase


def ask(place: Place) -> Answer:
    ref = JobRef("launch", 0, place)
    return Foreground().ask(max_age=0).answers([ref])[ref]


def test_a_process_that_lives_is_running() -> None:
    answer = ask(this_process())
    assert isinstance(answer, Job)
    assert answer.phase is Phase.RUNNING


def test_a_process_id_that_was_used_again_is_another_process() -> None:
    place = this_process()
    assert isinstance(ask(dataclasses.replace(place, pid_started=1.0)), NoSuchJob)


def test_a_process_that_ended_is_gone_even_before_it_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
        place = dataclasses.replace(this_process(), pid=process.pid, pid_started=started)
        assert isinstance(ask(place), Job)
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert isinstance(ask(place), NoSuchJob)


def test_another_machine_s_processes_cannot_be_asked_about() -> None:
    place = dataclasses.replace(this_process(), machine="other", host="laptop")
    answer = ask(place)
    assert isinstance(answer, NotAsked)
    assert "laptop" in answer.why
    with pytest.raises(SchedulerError, match="laptop"):
        Foreground().cancel([JobRef("launch", 0, place)])


def test_cancel_sends_sigterm_to_that_very_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
        place = dataclasses.replace(this_process(), pid=process.pid, pid_started=started)
        Foreground().cancel([JobRef("l", 0, dataclasses.replace(place, pid_started=1.0))])
        assert process.poll() is None
        Foreground().cancel([JobRef("l", 0, place)])
        assert process.wait() == -15


def test_the_machine_is_the_same_for_every_process_on_it() -> None:
    code = "from savethat.launchers.foreground import machine_id; print(machine_id())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == machine_id()
