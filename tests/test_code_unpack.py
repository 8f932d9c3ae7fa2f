from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from savethat.code import capture, clear_unused, import_paths, unpacked
from savethat.code import unpack as unpacking
from savethat.config import load
from savethat.errors import StorageError

# Asks for a capsule, notes when it has to be unpacked, and says what it found.
PROGRAM = """
import contextlib, os, sys, time
from pathlib import Path
from savethat.code import unpacked

archive, name, scratch, log, pause = sys.argv[1:]

def fetched():
    with open(log, "a") as file:
        file.write("x")
    if pause == "fetching":
        print("fetching", flush=True)
        time.sleep(600)
    return Path(archive)

with unpacked(fetched, name, Path(scratch)) as code:
    print(len(list(code.iterdir())), (code / "node.py").read_text(), flush=True)
    if pause == "using":
        sys.stdin.read()
"""


@pytest.fixture
def capsule(tmp_path: Path) -> tuple[Path, str]:
    """An archive and its name."""
    root = tmp_path / "project"
    (root / "src" / "fit").mkdir(parents=True)
    (root / "node.py").write_text("lr = 1")
    (root / "run.sh").write_text("#!/bin/sh")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("src/fit")
    (root / "src" / "fit" / "größe.py").touch()
    done = capture(load(project=root, environ={}), tmp_path / "archives", extra=())
    return done.archive, done.name


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def asked(
    capsule: tuple[Path, str], scratch: Path, log: Path, pause: str = ""
) -> subprocess.Popen[str]:
    archive, name = capsule
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(archive), name, str(scratch), str(log), pause],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def made(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> tuple[Path, str]:
    """An archive with these members, and the name for it."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    path = folder / "made.tar.gz"
    path.write_bytes(gzip.compress(plain.getvalue()))
    return path, hashlib.sha256(plain.getvalue()).hexdigest()[:32]


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def age(scratch: Path, name: str, seconds: float) -> None:
    os.utime(scratch / f"{name}.lock", (time.time() - seconds,) * 2)


# --- what comes out -------------------------------------------------------------------------


def test_tree_comes_out_as_it_went_in(capsule: tuple[Path, str], scratch: Path) -> None:
    before = os.umask(0o077)
    try:
        with unpacked(*capsule, scratch) as code:
            assert code == scratch / capsule[1]
            assert stat.S_IMODE(code.stat().st_mode) == 0o700
            assert (code / "node.py").read_text() == "lr = 1"
            assert stat.S_IMODE((code / "node.py").stat().st_mode) == 0o644
            assert stat.S_IMODE((code / "run.sh").stat().st_mode) == 0o755
            assert (code / "link").readlink() == Path("src/fit")
            assert (code / "src" / "fit" / "größe.py").is_file()
            assert time.time() - (code / "node.py").stat().st_mtime < 100
            assert import_paths(code) == (code, code / "src")
    finally:
        os.umask(before)


def test_another_project_is_no_capsule(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not an unpacked code capsule"):
        import_paths(tmp_path)
    (tmp_path / ".savethat-capsule.json").write_text('{"format": 99}')
    with pytest.raises(StorageError, match="another version"):
        import_paths(tmp_path)


def test_second_use_finds_it_and_asks_for_no_archive(
    capsule: tuple[Path, str], scratch: Path
) -> None:
    with unpacked(*capsule, scratch) as code:
        (code / "marker").touch()

    def never() -> Path:
        raise AssertionError

    with unpacked(never, capsule[1], scratch) as code, unpacked(never, capsule[1], scratch):
        assert (code / "marker").exists()


# --- many at once, and killed ones ----------------------------------------------------------


def test_a_hundred_processes_unpack_once(
    capsule: tuple[Path, str], scratch: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    processes = [asked(capsule, scratch, log) for _ in range(100)]
    answers = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 100
    assert answers == {"5 lr = 1\n"}
    assert log.read_text() == "x"
    assert {path.name for path in scratch.iterdir()} == {capsule[1], f"{capsule[1]}.lock"}


def test_process_that_is_killed_while_it_unpacks(
    capsule: tuple[Path, str], scratch: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with asked(capsule, scratch, log, "fetching") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fetching\n"
        waiting = asked(capsule, scratch, log)
        process.send_signal(signal.SIGKILL)
    assert waiting.communicate()[0] == "5 lr = 1\n"
    assert log.read_text() == "xx"


KILLED = """
import os, signal, sys
from pathlib import Path
from savethat.code import extraction, unpacked

link = extraction._link

def killed(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

extraction._link = killed
with unpacked(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])):
    pass
"""


def test_half_a_folder_is_never_taken_for_a_whole_one(
    capsule: tuple[Path, str], scratch: Path
) -> None:
    arguments = [str(capsule[0]), capsule[1], str(scratch)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (scratch / capsule[1]).exists()
    (left,) = scratch.glob(f".{capsule[1]}.*")
    assert (left / "node.py").exists()
    with unpacked(*capsule, scratch) as code:
        assert (code / "link" / "größe.py").exists()
        assert not left.exists()


def test_failure_leaves_nothing_and_the_next_may_try(
    capsule: tuple[Path, str], scratch: Path, tmp_path: Path
) -> None:
    def fails() -> Path:
        raise StorageError("no network")

    with pytest.raises(StorageError, match="no network"), unpacked(fails, capsule[1], scratch):
        pass
    assert [path.name for path in scratch.iterdir()] == [f"{capsule[1]}.lock"]
    with unpacked(*capsule, scratch) as code:
        assert code.is_dir()


# --- clearing -------------------------------------------------------------------------------


def test_unused_capsules_are_removed_when_another_context_ends(
    capsule: tuple[Path, str], scratch: Path, tmp_path: Path
) -> None:
    other = made(tmp_path, (member("a.py"), b"x"))
    with unpacked(*other, scratch):
        pass
    with unpacked(*capsule, scratch):
        age(scratch, other[1], unpacking.UNUSED_AFTER - 60)
    assert (scratch / other[1]).is_dir()
    with unpacked(*capsule, scratch):
        age(scratch, other[1], unpacking.UNUSED_AFTER + 60)
        (scratch / f".{other[1]}.left").mkdir()
    assert {path.name for path in scratch.iterdir()} == {capsule[1], f"{capsule[1]}.lock"}


def test_what_is_used_is_never_removed(
    capsule: tuple[Path, str], scratch: Path, tmp_path: Path
) -> None:
    with asked(capsule, scratch, tmp_path / "log", "using") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "5 lr = 1\n"
        age(scratch, capsule[1], 10_000)
        clear_unused(scratch, unused_for=0)
        assert (scratch / capsule[1] / "node.py").exists()
        process.kill()
    clear_unused(scratch, unused_for=9_000)
    assert list(scratch.iterdir()) == []


def test_leaving_counts_as_a_use(capsule: tuple[Path, str], scratch: Path) -> None:
    with unpacked(*capsule, scratch):
        age(scratch, capsule[1], 10_000)
    assert (scratch / capsule[1]).is_dir()
    clear_unused(scratch, unused_for=100)
    assert (scratch / capsule[1]).is_dir()
    clear_unused(scratch, unused_for=0)
    assert list(scratch.iterdir()) == []


def test_clearing_leaves_what_is_not_ours(scratch: Path) -> None:
    for name in ("other.lock", "other", f"{'a' * 32}x.lock"):
        (scratch / name).mkdir(parents=True)
    clear_unused(scratch, unused_for=0)
    assert len(list(scratch.iterdir())) == 3
    clear_unused(scratch / "missing", unused_for=0)


CLEARING = """
import sys, time
from pathlib import Path
from savethat.code import clear_unused
end = time.monotonic() + 3
while time.monotonic() < end:
    clear_unused(Path(sys.argv[1]), unused_for=0)
"""
USING = """
import sys, time
from pathlib import Path
from savethat.code import unpacked
end = time.monotonic() + 3
while time.monotonic() < end:
    with unpacked(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])) as code:
        assert (code / "node.py").read_text() == "lr = 1"
        assert (code / "link").is_dir()
"""


def test_removing_and_unpacking_again_and_again(capsule: tuple[Path, str], scratch: Path) -> None:
    arguments = [str(capsule[0]), capsule[1], str(scratch)]
    processes = [subprocess.Popen([sys.executable, "-c", USING, *arguments]) for _ in range(3)]
    processes.append(subprocess.Popen([sys.executable, "-c", CLEARING, str(scratch)]))
    assert [process.wait() for process in processes] == [0] * 4


# --- file systems and neighbours ------------------------------------------------------------


def test_file_system_without_locks(
    capsule: tuple[Path, str], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_here(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none_here)
    monkeypatch.setattr(unpacking, "UNUSED_AFTER", 0)

    def late() -> Path:
        """Another process is first meanwhile."""
        with unpacked(*capsule, scratch):
            return capsule[0]

    with unpacked(late, capsule[1], scratch) as code:
        assert (code / "node.py").exists()
    # Nobody can tell whether it is in use.
    assert {path.name for path in scratch.iterdir()} == {capsule[1], f"{capsule[1]}.lock"}


@pytest.mark.parametrize("kind", ["link", "file", "other user"])
def test_folder_that_another_user_laid_there(
    capsule: tuple[Path, str],
    scratch: Path,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scratch.mkdir()
    folder = scratch / capsule[1]
    if kind == "link":
        (tmp_path / "evil").mkdir()
        folder.symlink_to(tmp_path / "evil")
    elif kind == "file":
        folder.touch()
    else:
        folder.mkdir()
        monkeypatch.setattr("savethat.code.unpack.os.geteuid", lambda: 12345)
    with pytest.raises(StorageError, match="is not yours"), unpacked(*capsule, scratch):
        pass


def test_scratch_that_cannot_be_made(capsule: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match="cannot be unpacked"),
        unpacked(*capsule, tmp_path / "file" / "x"),
    ):
        pass


# --- archives that are not to be trusted ----------------------------------------------------

OUT = "../escaped"


@pytest.mark.parametrize(
    "members",
    [
        [(member(OUT), b"x")],
        [(member("a/../../escaped"), b"x")],
        [(member("/tmp/savethat-escaped"), b"x")],
        [(member("."), b"x")],
        [(member("l", tarfile.SYMTYPE, ".."), b""), (member("l/escaped"), b"x")],
        [(member("l", tarfile.SYMTYPE, "/tmp"), b"")],
        [(member("l", tarfile.SYMTYPE, "a/../../x"), b"")],
        [(member("d/l", tarfile.SYMTYPE, "."), b""), (member("d/l/m", tarfile.SYMTYPE, "x"), b"")],
        [
            (member("d/e/up", tarfile.SYMTYPE, "../.."), b""),
            (member("d/e/out", tarfile.SYMTYPE, "up/../escaped"), b""),
        ],
        [(member("a"), b"x"), (member("a"), b"y")],
        [(member("a"), b"x"), (member("a", tarfile.SYMTYPE, "b"), b"")],
        [(member("a", tarfile.LNKTYPE, "../../escaped"), b"")],
        [(member("a", tarfile.FIFOTYPE), b"")],
        [(member("a", tarfile.CHRTYPE), b"")],
        [(member("a", tarfile.DIRTYPE), b"")],
    ],
)
def test_archives_that_reach_out_are_refused(
    members: list[tuple[tarfile.TarInfo, bytes]], scratch: Path, tmp_path: Path
) -> None:
    archive = made(tmp_path, *members)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="damaged"), unpacked(*archive, scratch):
        pass
    after = set(tmp_path.rglob("*")) - before
    assert after <= {scratch, scratch / f"{archive[1]}.lock"}
    assert not Path("/tmp/savethat-escaped").exists()


@pytest.mark.parametrize("damage", ["content", "cut", "no gzip", "empty", "no tar", "missing"])
def test_damaged_archives_are_refused(
    damage: str, capsule: tuple[Path, str], scratch: Path
) -> None:
    path, name = capsule
    data = path.read_bytes()
    if damage == "content":
        plain = gzip.decompress(data).replace(b"lr = 1", b"lr = 2")
        path.write_bytes(gzip.compress(plain))
    elif damage == "cut":
        path.write_bytes(data[:-20])
    elif damage == "no gzip":
        path.write_bytes(b"x" * 100)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no tar":
        path.write_bytes(gzip.compress(b"x" * 2048))
        name = hashlib.sha256(b"x" * 2048).hexdigest()[:32]
    else:
        path.unlink()
    with (
        pytest.raises(StorageError, match=r"damaged|cannot be read"),
        unpacked(path, name, scratch),
    ):
        pass
    assert [one.name for one in scratch.iterdir()] == [f"{name}.lock"]


def test_name_that_is_none(capsule: tuple[Path, str], scratch: Path) -> None:
    with (
        pytest.raises(StorageError, match="not the name of a code capsule"),
        unpacked(capsule[0], "../../x", scratch),
    ):
        pass
    assert not scratch.exists()
