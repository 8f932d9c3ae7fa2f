"""Unpacks a capsule once per machine, for as long as somebody runs from it.

<scratch>/<name>/       the code; complete whenever it is there
<scratch>/<name>.lock   locked, shared, by whoever uses it; alone, by who unpacks or removes it;
                        its time stamp says when it was last used
<scratch>/.<name>.*     being unpacked or removed; of a process that was killed, if nobody holds
                        the lock alone
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from savethat.code.extraction import extract
from savethat.code.locks import Lock
from savethat.errors import StorageError

# How long an unpacked capsule waits for the next run of it, in seconds.
UNUSED_AFTER = 600.0

_NAME = re.compile(r"[0-9a-f]{32}")


@contextlib.contextmanager
def unpacked(archive: Path | Callable[[], Path], name: str, scratch: Path) -> Iterator[Path]:
    """The folder with the capsule's code, which stays there while the context is open.

    Any number of processes may ask at once: one unpacks, the others wait for it. When the context
    ends, capsules in `scratch` that nobody has used for a while are removed.

    Args:
        archive: its file, or what gives it; called only if it is to be unpacked.
        name: the capsule's.
        scratch: where capsules are unpacked on this machine; made if it is missing.

    Raises:
        StorageError: the archive is damaged, is not that capsule's, or cannot be unpacked.
    """
    if not _NAME.fullmatch(name):
        raise StorageError(f"{name!r} is not the name of a code capsule")
    folder = scratch / name
    try:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _held(folder, archive)
    except OSError as error:
        raise StorageError(
            f"the code cannot be unpacked in {scratch}: {error.strerror}",
            "set scratch in savethat.toml to a folder you may write to",
        ) from error
    try:
        yield folder
    finally:
        lock.touch()
        lock.release()
        clear_unused(scratch, unused_for=UNUSED_AFTER)


def clear_unused(scratch: Path, *, unused_for: float) -> None:
    """Removes the capsules in a folder that nobody uses, nor has for so many seconds.

    What cannot be removed stays.
    """
    for path in sorted(scratch.glob("*.lock")):
        if _NAME.fullmatch(path.stem) and _is_older(path, unused_for):
            with contextlib.suppress(OSError):
                _clear(path, unused_for)


def _clear(path: Path, unused_for: float) -> None:
    lock = Lock.alone(path, wait=False)
    if lock is None:
        return
    try:
        # Somebody may have come and gone since its time was looked at.
        if not _is_older(path, unused_for):
            return
        folder = path.with_suffix("")
        if folder.is_dir():
            # Half a folder must not be taken for a whole one.
            folder.rename(_aside(folder) / "removed")
        if _clear_asides(folder):
            path.unlink()
    finally:
        lock.release()


def _held(folder: Path, archive: Path | Callable[[], Path]) -> Lock:
    """A shared lock on the folder, which is there."""
    path = folder.with_name(f"{folder.name}.lock")
    while True:
        lock = Lock.shared(path)
        with contextlib.ExitStack() as until_it_is_known:
            until_it_is_known.callback(lock.release)
            if _is_ours(folder):
                until_it_is_known.pop_all()
                lock.touch()
                return lock
        # A shared lock cannot become one alone without others coming in between: they may have
        # unpacked it by then. For the same reason it does not become a shared one again.
        alone = Lock.alone(path, wait=True)
        assert alone is not None
        try:
            if not _is_ours(folder):
                if alone.is_held:
                    _clear_asides(folder)
                _unpack(archive() if callable(archive) else archive, folder)
            alone.touch()
        finally:
            alone.release()


def _unpack(archive: Path, folder: Path) -> None:
    aside = _aside(folder)
    try:
        extract(archive, folder.name, aside)
        try:
            aside.rename(folder)
        except OSError:
            # Where there are no locks another process may have been first.
            if not _is_ours(folder):
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))


def _clear_asides(folder: Path) -> bool:
    """Removes what was left half done; whether nothing is left of it."""
    for path in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(path, ignore_errors=True)
    return not any(folder.parent.glob(f".{folder.name}.*"))


def _is_ours(folder: Path) -> bool:
    """Whether it is there.

    Raises:
        StorageError: it is another user's: what is in it would be run.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StorageError(
            f"{folder} is not yours", "set scratch in savethat.toml to a folder of your own"
        )
    return True


def _is_older(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime >= seconds
    except OSError:
        return False
