"""How the runner starts the worker of a run: as a fork of itself where it can.

A worker that is a program of its own spends longer on importing savethat than on a short run. The
runner has imported it, and runs in the same environment; so a fork of it is that worker at once.
The node's own process is started anew for each run, in any case.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from savethat.launchers.fork import Fork, can_fork

_WORKER = "savethat.worker.queued"
# What most workers import later: with these in the runner, none of them does.
_MORE = ("savethat.remotes.b2",)


class Worker(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        ...


class Workers:
    """Starts workers."""

    def __init__(self) -> None:
        self._main = _import_worker() if can_fork() else None
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
        main = self._main if python == sys.executable and self._code == _installed() else None
        if main is not None:

            def run() -> None:
                os.environ.update(environ)
                main([_WORKER, *words])

            return Fork(run, output=log, held=locks)
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


def _import_worker() -> Callable[[list[str]], None]:
    for name in _MORE:
        importlib.import_module(name)
    main: Callable[[list[str]], None] = importlib.import_module(_WORKER).main
    return main


def _installed() -> tuple[int, int]:
    """Which installation this is: another one has other files."""
    status = Path(__file__).stat()
    return status.st_ino, status.st_mtime_ns
