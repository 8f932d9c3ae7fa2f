"""A fork is as apart from its process as a program started anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from savethat.launchers.fork import Fork, can_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def said(call: Callable[[], None], path: Path, *, held: tuple[int, ...] = ()) -> str:
    """What a fork printed that ended well."""
    assert Fork(call, output=path, held=held).wait(30.0) == 0
    return path.read_text()


def test_its_session_is_its_own_and_its_output_goes_to_its_file(tmp_path: Path) -> None:
    def call() -> None:
        print("out", os.getsid(0) == os.getpid(), sys.stdin.read() == "")
        os.write(2, b"err\n")

    (tmp_path / "log").write_text("before\n")
    assert sorted(said(call, tmp_path / "log").split("\n")) == [
        "",
        "before",
        "err",
        "out True True",
    ]


def test_it_has_no_file_of_its_process_but_those_it_is_to_hold(tmp_path: Path) -> None:
    closed, held = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)

    def call() -> None:
        for descriptor in (closed, held):
            try:
                os.fstat(descriptor)
            except OSError:
                print("gone")
            else:
                print("there")

    assert said(call, tmp_path / "log", held=(held,)) == "gone\nthere\n"
    os.fstat(closed)
    for descriptor in (closed, held):
        os.close(descriptor)


def test_handlers_of_its_process_are_not_its_own(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        fork = Fork(lambda: time.sleep(60))
        os.kill(fork._pid, signal.SIGTERM)
        assert fork.wait(30.0) == -signal.SIGTERM
        # Asked again, it has ended in the same way.
        assert (fork.poll(), fork.wait()) == (-signal.SIGTERM, -signal.SIGTERM)
        fork.kill()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_it_does_nothing_of_what_its_process_was_about_to_do(tmp_path: Path) -> None:
    path = tmp_path / "after"
    try:
        code = Fork(lambda: sys.exit(3)).wait(30.0)
    finally:
        with path.open("a") as file:
            file.write("once\n")
    assert code == 3
    assert path.read_text() == "once\n"


def test_what_it_raises_is_printed(tmp_path: Path) -> None:
    def call() -> None:
        raise ValueError("wrong")

    assert Fork(call, output=tmp_path / "log").wait(30.0) == 1
    assert (tmp_path / "log").read_text().endswith("ValueError: wrong\n")


def test_one_that_takes_long_is_waited_for_as_long_as_asked() -> None:
    fork = Fork(lambda: time.sleep(60))
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.05)
    fork.kill()
    assert fork.wait(30.0) == -signal.SIGKILL


def test_a_process_with_threads_is_not_forked() -> None:
    code = (
        "import threading; from savethat.launchers.fork import can_fork\n"
        "print(can_fork())\n"
        "threading.Thread(target=threading.Event().wait, args=(0.1,)).start()\n"
        "print(can_fork())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    assert can_fork() is (threading.active_count() == 1)
