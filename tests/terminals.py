"""The same program in several pseudo-terminals at once, as a user has it who looks and looks."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


class Terminal:
    """A program that runs in a pseudo-terminal until it is ended; what it shows is kept."""

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._screen, inside = pty.openpty()
        try:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**env, "TERM": "xterm"},
                stdin=inside,
                stdout=inside,
                stderr=inside,
                start_new_session=True,
            )
        finally:
            os.close(inside)
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> bytes:
        """All that it has shown so far."""
        return b"".join(self._shown)

    def end(self) -> None:
        """Ends the program.

        Raises:
            RuntimeError: it had ended by itself; what it showed last.
        """
        ended = self._process.poll()
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._screen)
        if ended is not None:
            last = self.shown[-500:].decode(errors="replace")
            raise RuntimeError(f"it ended with {ended}: {last}")

    def _read(self) -> None:
        # The last program that has the terminal open is gone: EIO on Linux, nothing elsewhere.
        with contextlib.suppress(OSError):
            while piece := os.read(self._screen, 65_536):
                self._shown.append(piece)


@contextlib.contextmanager
def terminals(
    number: int, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> Iterator[list[Terminal]]:
    """That many terminals with the same program, for as long as the block runs."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(number):
            made.append(Terminal(command, cwd=cwd, env=env))
            stack.callback(made[-1].end)
        yield made
