"""Who may submit a launch: one process at a time, on every machine that shares its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from savethat.errors import RefusedError

_LOCK = "lock"
# How long to wait for another process that submits the same launch.
_PATIENCE = 10.0


@contextlib.contextmanager
def submitting(folder: Path) -> Iterator[None]:
    """Held while a launch is submitted, or taken back; its folder is made.

    Raises:
        RefusedError: another process is submitting it.
    """
    with lock(folder / _LOCK, f"another process is submitting {folder.name}", timeout=_PATIENCE):
        yield


@contextlib.contextmanager
def lock(path: Path, taken: str, *, timeout: float) -> Iterator[None]:
    """Held by one process at a time; it ends with the process, however that ends.

    Where the file system has no locks it is not held at all.

    Args:
        path: the lock's file; its folder is made.
        taken: what to say where another process has it.
        timeout: seconds to wait for it.

    Raises:
        RefusedError: another process has it.
    """
    # Imported here: it takes half as long as all of `savethat --help`.
    import filelock

    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(filelock.FileLock(path, timeout=timeout, mode=0o600))
        except filelock.Timeout:
            raise RefusedError(taken, "wait until it is done, then the same again") from None
        except (OSError, NotImplementedError):
            pass
        yield
