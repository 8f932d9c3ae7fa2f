"""A run in the foreground, from the command line to what it leaves behind."""

from __future__ import annotations

import json
import pickle
import signal
from pathlib import Path

import psutil
import pytest

from tests.program import Project, await_true


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "experiments project", home=tmp_path / "home")


def test_a_run_leaves_its_five_files_and_the_nodes_own(project: Project) -> None:
    done = project.run("run", "--tag", "first", "Add", "--a", "2")
    key = done.stdout.splitlines()[-1]
    folder = project.data / key
    assert done.stdout.splitlines()[:-1] == ["printed to stdout"]
    assert "adding 2.0 and 1.0" in done.stderr
    assert "printed to stderr" in done.stderr
    assert json.loads((folder / "args.json").read_text()) == {"a": 2.0, "b": 1.0}
    assert pickle.loads((folder / "results.pickle").read_bytes()) == {"sum": 3.0}
    assert json.loads((folder / "results.json").read_text()) == {"sum": 3.0}
    log = (folder / "output.log").read_text()
    for text in ("attempt 1 of", "adding 2.0 and 1.0", "printed to stdout", "printed to stderr"):
        assert text in log
    lines = [json.loads(line) for line in (folder / "output.jsonl").read_text().splitlines()]
    assert {"savethat", "logger", "stdout", "stderr"} == {line["source"] for line in lines}
    assert [line["level"] for line in lines if line["source"] == "logger"] == ["INFO"]
    provenance = json.loads((folder / "reproducible.json").read_text())
    assert provenance["argv"][-3:] == ["Add", "--a", "2"]
    assert (folder / "deep" / "er" / "a file #1 100% ünï+code.txt").read_text() == "hello"
    row = project.ls()[key]
    assert row["status"] == "completed"
    assert row["args"] == {"a": 2.0, "b": 1.0}
    assert row["result"] == {"sum": 3.0}
    assert row["tags"] == ["first"]
    assert row["files"] == len([path for path in folder.rglob("*") if path.is_file()])
    assert row["synced"] is True
    assert row["where"] == "foreground"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "ValueError: this went wrong"),
        ("exit", "exit code 3"),
        ("segfault", "killed by SIGSEGV"),
        ("kill", "killed by SIGKILL"),
        ("sysexit", "exit code 4"),
    ],
)
def test_an_ending_has_its_reason_and_keeps_the_files(
    project: Project, how: str, reason: str
) -> None:
    key = project.key("End", "--how", how, code=1)
    row = project.ls()[key]
    assert (row["status"], row["reason"]) == ("failed", reason)
    assert (project.data / key / "before.txt").read_text() == "written before the end"
    log = (project.data / key / "output.log").read_text()
    assert "about to end" in log
    assert reason in log


def test_an_exception_is_in_both_logs_with_the_nodes_own_traceback(project: Project) -> None:
    key = project.key("End", "--how", "raise", code=1)
    for name in ("output.log", "output.jsonl"):
        text = (project.data / key / name).read_text()
        assert "Traceback (most recent call last)" in text
        assert "nodes.py" in text
        assert "worker/child.py" not in text


def test_loguru_is_heard_whoever_imports_it_and_whenever(project: Project) -> None:
    (project.root / "experiments" / "library.py").write_text(
        "from loguru import logger\n\n\ndef work():\n    logger.info('at work')\n"
    )
    (project.root / "experiments" / "quiet.py").write_text(
        """
import dataclasses

import savethat


@dataclasses.dataclass(frozen=True)
class QuietArgs:
    pass


class Quiet(savethat.Node[QuietArgs, None]):
    def _run(self) -> None:
        from experiments.library import work

        work()
        self.logger.info("done")
"""
    )
    text = (project.data / project.key("Quiet") / "output.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    heard = [line["message"] for line in lines if line["source"] == "logger"]
    assert heard == ["at work", "done"]


def test_a_result_that_cannot_be_pickled_is_no_result(project: Project) -> None:
    key = project.key("End", "--how", "unpicklable", code=1)
    row = project.ls()[key]
    assert row["status"] == "failed"
    assert "the result cannot be pickled" in row["reason"]
    assert not (project.data / key / "results.pickle").exists()


def test_a_process_left_behind_does_not_keep_the_run_open(project: Project) -> None:
    key = project.key("End", "--how", "grandchild")
    assert project.ls()[key]["status"] == "completed"


def test_a_run_is_seen_running_from_elsewhere_and_lost_when_killed(project: Project) -> None:
    flag = project.root / "flag"
    process = project.start("run", "Sleep", "--seconds", "100", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    (row,) = project.ls().values()
    assert row["status"] == "running"
    assert project.ls("--running").keys() == {row["key"]}
    assert project.ls("--failed") == {}
    process.kill()
    process.communicate()
    (row,) = project.ls().values()
    assert row["status"] == "lost"


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGINT, "interrupted (Ctrl-C)"),
        (signal.SIGTERM, "terminated (SIGTERM)"),
        (signal.SIGHUP, "its terminal was closed (SIGHUP)"),
    ],
)
def test_a_signal_is_recorded_as_cancelled_and_the_node_cleans_up(
    project: Project, number: signal.Signals, reason: str
) -> None:
    flag = project.root / "flag"
    process = project.start("run", "Sleep", "--seconds", "100", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    process.send_signal(number)
    stdout, _ = process.communicate()
    assert process.returncode == 130
    key = stdout.splitlines()[-1]
    row = project.ls()[key]
    assert (row["status"], row["reason"]) == ("cancelled", reason)
    assert (project.data / key / "cleaned.txt").exists()


def test_the_scheduler_s_warning_calls_checkpoint_and_sets_should_stop(project: Project) -> None:
    process = project.start("run", "Warned", "--seconds", "100")
    await_true(lambda: bool(project.ls("--running")), lambda: "the run to begin")
    process.send_signal(signal.SIGUSR2)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    key = stdout.splitlines()[-1]
    assert (project.data / key / "checkpoint.txt").read_text() == "saved"
    row = project.ls()[key]
    assert row["result"] == {"value": "stopped early: True, limit: False"}


def test_runs_started_together_do_not_clash(project: Project) -> None:
    processes = [project.start("run", "Add", "--a", str(number)) for number in range(4)]
    for process in processes:
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
    rows = project.ls("--completed")
    assert sorted(row["args"]["a"] for row in rows.values()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "words", [("Adds",), ("Add",), ("Add", "--a", "two"), ("--wait", "Add", "--a", "1"), ("a b",)]
)
def test_a_run_that_comes_to_nothing_leaves_no_process_and_no_folder(
    project: Project, words: tuple[str, ...]
) -> None:
    done = project.run("run", *words, code=None)
    assert done.returncode != 0
    assert "error: " in done.stderr
    await_true(lambda: not children(project), lambda: f"{children(project)} to end")
    assert not project.data.exists()


def children(project: Project) -> list[int]:
    """The processes of nodes of the project."""
    found = []
    for process in psutil.process_iter():
        try:
            if "savethat.worker.child" in process.cmdline() and process.cwd() == str(project.root):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_python_m_my_project_is_the_same_program(project: Project) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "experiments", "nodes"],
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout == project.run("nodes").stdout


def test_pdb_runs_in_process_and_opens_the_debugger(project: Project) -> None:
    done = project.run("run", "--pdb", "End", "--how", "raise", code=1, stdin="p 6 * 7\nq\n")
    assert "42" in done.stdout
    key = done.stdout.splitlines()[-1].rpartition("(Pdb) ")[2]
    row = project.ls()[key]
    assert (row["status"], row["reason"]) == ("failed", "ValueError: this went wrong")


def test_a_project_outside_git_and_without_any_configuration_works(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", home=tmp_path / "home")
    (project.root / "savethat.toml").unlink()
    key = project.key("Add", "--a", "1")
    assert project.ls()[key]["status"] == "completed"
