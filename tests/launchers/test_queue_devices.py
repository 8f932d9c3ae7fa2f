from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from savethat.config import QueueConfig
from savethat.launchers.queue import devices
from savethat.launchers.queue.devices import cores, gpus_of, take
from tests.program import await_true

# Takes GPUs as a user with a narrow umask, says which, and keeps them until its stdin ends.
_TAKER = """
import os, sys
from pathlib import Path
from savethat.launchers.queue import devices
devices._LOCKS, user = Path(sys.argv[1]), int(sys.argv[2])
os.umask(0o077)
if user != os.geteuid():
    os.setgroups([]); os.setgid(user); os.setuid(user)
held = devices.take(gpus=1, of_gpus=(0, 1), cpus=0, of_cores=())
print(held.gpus if held else None, flush=True)
sys.stdin.read()
"""
# Other users, where these tests may become them; else the same user twice.
ANNA, BOB = (64001, 64002) if os.geteuid() == 0 else (os.geteuid(), os.geteuid())


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the locks are; like /tmp its parent is everybody's, and nobody has made it yet."""
    parent = Path(tempfile.mkdtemp(prefix="savethat-test-", dir="/tmp"))
    parent.chmod(0o1777)
    monkeypatch.setattr(devices, "_LOCKS", parent / "devices")
    yield parent / "devices"
    shutil.rmtree(parent)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nvidia-smi, as yet empty."""
    path = tmp_path / "bin" / "nvidia-smi"
    path.parent.mkdir()
    path.touch(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return path


def take_gpus(count: int, of: tuple[int, ...] = (0, 1)) -> devices.Held | None:
    return take(gpus=count, of_gpus=of, cpus=0, of_cores=())


def must(held: devices.Held | None) -> devices.Held:
    assert held is not None
    return held


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        ("", ()),
        ("2", (2,)),
        (" 3, 1 ,2", (3, 1, 2)),
        ("0,1,1,0", (0, 1)),
        ("-1", ()),
        ("1,-1,2", (1,)),
        ("NoDevFiles", ()),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", ()),
    ],
)
def test_gpus_are_those_cuda_is_told_of(program: Path, visible: str, gpus: tuple[int, ...]) -> None:
    program.write_text("#!/bin/sh\nseq 0 7\n")
    environ = {"CUDA_VISIBLE_DEVICES": visible}
    assert gpus_of(QueueConfig(), environ) == gpus
    assert gpus_of(QueueConfig(gpus=(5, 6, 5)), environ) == (5, 6)
    assert gpus_of(QueueConfig(gpus=()), environ) == ()


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        ("echo 0; echo 1; echo 3", (0, 1, 3)),
        ("test $* = --query-gpu=index --format=csv,noheader || echo 4", (4,)),
        ("echo 0; exit 9", ()),
        ("echo No devices were found", ()),
        ("exec sleep 1000", ()),
        ("", ()),
    ],
)
def test_else_those_nvidia_smi_lists(
    program: Path, script: str, gpus: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_ASK_TIMEOUT", 0.3 if "sleep" in script else 30.0)
    program.write_text(f"#!/bin/sh\n{script}\n")
    assert gpus_of(QueueConfig(), {}) == gpus
    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]


def test_without_nvidia_smi_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert gpus_of(QueueConfig(), {}) == ()


def test_the_cores_are_those_this_process_may_use() -> None:
    assert len(cores()) >= 1
    if hasattr(os, "sched_getaffinity"):
        assert set(cores()) == os.sched_getaffinity(0)


def test_a_device_is_taken_once(locks: Path) -> None:
    first = must(take(gpus=1, of_gpus=(4, 7), cpus=2, of_cores=(0, 1, 2)))
    assert (first.gpus, first.cores, len(first.locks)) == ((4,), (0, 1), 3)
    second = must(take_gpus(1, (4, 7)))
    assert second.gpus == (7,)
    assert take_gpus(1, (4, 7)) is None
    second.close()
    first.close()
    assert must(take_gpus(2, (4, 7))).gpus == (4, 7)


def test_whoever_asks_for_nothing_gets_it(locks: Path) -> None:
    assert take(gpus=0, of_gpus=(0,), cpus=0, of_cores=(0,)) == devices.Held()
    assert not locks.exists()


def test_too_few_are_not_taken_at_all(locks: Path) -> None:
    before = psutil.Process().num_fds()
    core = must(take(gpus=0, of_gpus=(), cpus=1, of_cores=(1,)))
    assert take_gpus(3) is None
    assert take(gpus=2, of_gpus=(0, 1), cpus=2, of_cores=(0, 1)) is None
    assert take(gpus=1, of_gpus=(), cpus=0, of_cores=()) is None
    core.close()
    assert psutil.Process().num_fds() == before
    held = must(take(gpus=2, of_gpus=(0, 1), cpus=2, of_cores=(0, 1)))
    held.close()


def test_a_lock_is_held_until_the_last_process_that_has_it_is_gone(locks: Path) -> None:
    held = must(take_gpus(1, (0,)))
    # The way of a run: the runner takes it, the worker and its child inherit it.
    child = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=held.locks,
        start_new_session=True,
    )
    with child, _pipe(child.stdout) as said:
        grandchild = int(said.readline())
        held.close()
        assert take_gpus(1, (0,)) is None
        child.kill()
        child.wait()
        assert take_gpus(1, (0,)) is None
        os.kill(grandchild, signal.SIGKILL)
        await_true(lambda: free((0,)), lambda: "the lock of processes that are gone")


def free(gpus: tuple[int, ...]) -> bool:
    held = take_gpus(len(gpus), gpus)
    if held is not None:
        held.close()
    return held is not None


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextlib.contextmanager
def taken(locks: Path, user: int) -> Iterator[str]:
    """Another user's process that takes a GPU and keeps it; which one it says that it has."""
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKER, str(locks), str(user)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield _pipe(process.stdout).readline().strip()


@pytest.mark.parametrize(("one", "other"), [(ANNA, BOB), (BOB, ANNA), (ANNA, os.geteuid())])
def test_users_respect_each_other_s_locks_and_none_shuts_another_out(
    locks: Path, one: int, other: int
) -> None:
    with taken(locks, one) as first:
        assert first == "(0,)"
        with taken(locks, other) as second:
            assert second == "(1,)"
            with taken(locks, one) as third:
                assert third == "None"
            assert take_gpus(1) is None
    with taken(locks, other) as first, taken(locks, one) as second:
        assert (first, second) == ("(0,)", "(1,)")
    assert free((0, 1))


def test_locks_are_everybody_s_and_outlast_the_cleaning_of_tmp(locks: Path) -> None:
    umask = os.umask(0o077)
    try:
        must(take_gpus(1)).close()
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(umask)
    assert stat.S_IMODE(locks.stat().st_mode) == 0o1777
    mode = stat.S_IMODE((locks / "gpu-0.lock").stat().st_mode)
    assert mode & 0o777 == 0o644
    if sys.platform == "linux":
        # Source: systemd-tmpfiles' dir_cleanup, which passes by files with the sticky bit.
        assert mode & stat.S_ISVTX


def test_what_cannot_be_opened_counts_as_taken_and_no_link_is_followed(
    locks: Path, tmp_path: Path
) -> None:
    locks.mkdir()
    (locks / "gpu-0.lock").symlink_to(tmp_path / "made")
    assert must(take_gpus(1)).gpus == (1,)
    assert take_gpus(2) is None
    assert not (tmp_path / "made").exists()


def test_a_place_that_is_no_folder_gives_no_devices(locks: Path) -> None:
    locks.touch()
    assert take_gpus(1) is None
