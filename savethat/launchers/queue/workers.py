"""How the runner starts the worker of a run: as a fork of itself where it can.

A worker that is a program of its own spends longer on importing savethat than on a short run. The
runner has imported it, and runs in the same environment; so a fork of it is that worker at once.
The node's own process is started anew for each run, in any case.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import savethat

_WORKER = "savethat.worker.queued"
# What most workers import later: with these in the runner, none of them does.
_MORE = ("savethat.remotes.b2",)


class Worker(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        ...


class Workers:
    """Starts workers, from a process with one thread."""

    def __init__(self) -> None:
        # Elsewhere a fork is not safe: the system's own libraries have threads.
        self._main = _import_worker() if sys.platform == "linux" else None
        self._code = _installed()

    def start(
        self,
        python: str,
        words: Sequence[str],
        *,
        environ: Mapping[str, str],
        log: Path,
        locks: Sequence[int],
    ) -> Worker:
        """Starts a worker, which goes on when this process is killed.

        Args:
            python: the interpreter that it is to run in.
            words: its arguments.
            environ: what its environment has beside this process's.
            log: the file that takes what it prints.
            locks: file descriptors that it is to hold; it inherits no others.

        Raises:
            OSError: no process can be started.
        """
        # After an upgrade its nodes would speak another savethat's language.
        if self._main is not None and python == sys.executable and self._code == _installed():
            return _Fork(self._main, words, environ, log, locks)
        with log.open("ab") as output:
            return subprocess.Popen(
                [python, "-u", "-m", _WORKER, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environ},
                pass_fds=locks,
                start_new_session=True,
            )


class _Fork:
    """A worker that is a fork of this process."""

    def __init__(
        self,
        main: Callable[[list[str]], None],
        words: Sequence[str],
        environ: Mapping[str, str],
        log: Path,
        locks: Sequence[int],
    ) -> None:
        def run() -> None:
            _leave_runner(log, locks)
            os.environ.update(environ)
            main([_WORKER, *words])

        self._process = multiprocessing.get_context("fork").Process(target=run)
        self._process.start()

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        return self._process.exitcode


def _leave_runner(log: Path, locks: Sequence[int]) -> None:
    """Makes a fork what a program started anew would be: its own session, files and signals."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for standard in (1, 2):
        os.dup2(output, standard)
    # Objects of the runner that have such a file are never closed in here: its frames, which hold
    # them, are below this one until the process ends.
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in locks:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(descriptor)


def _import_worker() -> Callable[[list[str]], None]:
    for name in _MORE:
        importlib.import_module(name)
    main: Callable[[list[str]], None] = importlib.import_module(_WORKER).main
    return main


def _installed() -> tuple[int, int]:
    """Which installation this is: another one has other files."""
    status = Path(savethat.__file__).stat()
    return status.st_ino, status.st_mtime_ns
