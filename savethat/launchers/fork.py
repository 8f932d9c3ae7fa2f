"""A fork of this process that is as apart from it as a program started anew, and starts at once.

What takes a tenth of a second to import is imported in it already.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn


def can_fork() -> bool:
    """Whether a fork of this process can go on as it likes.

    Not where it has threads, whose locks nobody would give back; and on Linux only, because
    elsewhere the system's own libraries have threads.
    """
    return sys.platform == "linux" and threading.active_count() == 1


class Fork:
    """A process that calls a function and ends; it has a session and files of its own.

    Args:
        call: the function. What it raises is printed, and its exit code is 1.
        output: what takes its stdout and stderr.
        held: file descriptors that it has from this process.

    Raises:
        OSError: no process can be started.
    """

    def __init__(
        self, call: Callable[[], None], *, output: Path = Path(os.devnull), held: Sequence[int] = ()
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # Closed by the kernel when the process has ended: that can be waited for.
        self._ended, lives = os.pipe()
        self._code: int | None = None
        # One that comes while the fork has this process's handlers still is not for them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _become(call, output, {*held, lives}, before)
        except OSError:
            os.close(self._ended)
            raise
        finally:
            os.close(lives)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        return self._look(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end.

        Raises:
            subprocess.TimeoutExpired: it has not ended in so many seconds.
        """
        if timeout is not None and not select.select([self._ended], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("a fork", timeout)
        code = self._look(0)
        assert code is not None
        return code

    def kill(self) -> None:
        """Kills it, if it lives."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)

    def _look(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self._pid, options)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
                os.close(self._ended)
        return self._code


def _become(
    call: Callable[[], None], output: Path, held: set[int], mask: Iterable[int]
) -> NoReturn:
    """Is the fork from here on, to its end."""
    code = 1
    try:
        _leave(output, held)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        call()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Nothing of what this process was about to do is done here, not at its exit either.
        os._exit(code)


def _leave(output: Path, held: set[int]) -> None:
    """Leaves the other process's session, signals and files."""
    os.setsid()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for standard, descriptor in ((0, null), (1, target), (2, target)):
        os.dup2(descriptor, standard)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    # Objects that have one of these files never close another in its place: the frames that hold
    # them are below this one to the end.
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in held:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(descriptor)
