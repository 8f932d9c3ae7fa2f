"""`ls --watch` in several terminals; squeue is a script that notes that it was asked."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.program import Project, await_true
from tests.terminals import Terminal, terminals

WATCH = [sys.executable, "-m", "savethat", "ls", "--watch"]
# What a terminal is cleared with.
CLEAR = b"\x1b[2J"
NO_JOBS = "echo 'JOBID|STATE|EXEC_HOST|REASON|NAME'"


@dataclasses.dataclass
class Asked:
    """A project on a cluster, and how often its squeue was asked."""

    project: Project
    folder: Path

    def says(self, script: str) -> None:
        squeue = self.folder / "squeue"
        squeue.write_text(f'#!/bin/sh\nprintf x >>"$0.asked"\n{script}\n')
        squeue.chmod(0o755)

    def times(self) -> int:
        notes = self.folder / "squeue.asked"
        return notes.stat().st_size if notes.exists() else 0

    def watch(self, number: int) -> None:
        """Has that many terminals watch until each has shown something."""
        root, env = self.project.root, self.project.env
        with terminals(number, WATCH, cwd=root, env=env) as shown:
            await_true(lambda: all(screens(shown)), lambda: f"{screens(shown)} screens")


def screens(shown: Sequence[Terminal]) -> list[int]:
    return [terminal.shown.count(CLEAR) for terminal in shown]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    folder = tmp_path / "bin"
    folder.mkdir()
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_CLUSTER_NAME": "lab"}
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", env=env)
    return Asked(project, folder)


@pytest.mark.parametrize("script", [NO_JOBS, "exit 1"], ids=["well", "down"])
def test_the_first_of_five_terminals_asks_for_all(asked: Asked, script: str) -> None:
    asked.says(script)
    asked.watch(5)
    assert asked.times() == 1


def test_who_looks_once_sees_what_is_newer_than_those_who_watch(asked: Asked) -> None:
    asked.says(NO_JOBS)
    asked.watch(1)
    (kept,) = (asked.project.root.parent / "home").rglob("squeue-*.json")
    answer = json.loads(kept.read_text())
    kept.write_text(json.dumps({**answer, "at": answer["at"] - 10}))
    asked.watch(1)
    assert asked.times() == 1
    asked.project.run("ls", "--running")
    assert asked.times() == 2


def test_what_is_shown_stays_until_there_is_something_else(asked: Asked, tmp_path: Path) -> None:
    go = tmp_path / "go"
    asked.says(f"until [ -e {go} ]; do sleep 0.05; done; {NO_JOBS}")
    root, env = asked.project.root, asked.project.env
    with terminals(1, WATCH, cwd=root, env=env) as shown:
        await_true(lambda: asked.times() == 1, lambda: "squeue to be asked")
        assert screens(shown) == [0]
        go.touch()
        await_true(lambda: screens(shown) == [1], lambda: "a screen")
