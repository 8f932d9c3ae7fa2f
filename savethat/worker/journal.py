"""The run's log, written by the supervisor alone: `output.log`, `output.jsonl` and the terminal."""

from __future__ import annotations

import codecs
import dataclasses
import errno
import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from savethat.logs import Line, now_line
from savethat.run.layout import JSONL_FILE, LOG_FILE
from savethat.untrusted import REDACTED
from savethat.worker.live import LiveLog


class Terminal:
    """Where a foreground run is seen: stdout goes to stdout, all else to stderr.

    Args:
        colour: whether log levels are coloured on stderr.
        apart: whether stdout goes to stderr, too: where it is for other answers.
    """

    def __init__(self, *, colour: bool, apart: bool = False) -> None:
        self._colour = colour
        self._apart = apart

    def show(self, line: Line) -> None:
        """Prints a line of the log."""
        self.write("stderr", (line.as_text(colour=self._colour) + "\n").encode())

    def write(self, source: str, data: bytes) -> None:
        """Passes on what the node wrote to its stdout or stderr, as it is."""
        on_stdout = source == "stdout" and not self._apart
        stream: TextIO = sys.stdout if on_stdout else sys.stderr
        try:
            stream.flush()
            stream.buffer.write(data)
            stream.buffer.flush()
        # The reader went away (`savethat run … | head`): the run goes on, and is saved.
        except BrokenPipeError:
            pass


class Journal:
    """Writes lines, from any thread, as they come.

    A disk that is full ends no run: lines are lost then, and the next that can be written says so.

    Args:
        folder: the run's.
        terminal: None where nobody watches.
        live: a copy of `output.log` for people elsewhere, as it grows; None where the folder itself
            can be read.
        secret: what no line is to have in it, whoever wrote it; empty for nothing.
    """

    def __init__(
        self,
        folder: Path,
        terminal: Terminal | None = None,
        live: LiveLog | None = None,
        *,
        secret: str = "",
    ) -> None:
        self._secret = secret
        self._terminal = terminal
        self._live = live
        self._lock = threading.Lock()
        # An attempt adds to what the attempts before it wrote.
        self._files = {name: _LogFile(folder / name) for name in (LOG_FILE, JSONL_FILE)}
        self._streams = {name: _Stream() for name in ("stdout", "stderr")}

    def line(self, line: Line, *, show: bool = True) -> None:
        """Adds a line."""
        if self._secret and self._secret in line.message:
            message = line.message.replace(self._secret, REDACTED)
            line = dataclasses.replace(line, message=message)
        with self._lock:
            text = line.as_text() + "\n"
            self._files[LOG_FILE].write(line, Line.as_text)
            if self._live is not None:
                self._live.write(text)
            self._files[JSONL_FILE].write(line, Line.as_json)
            if show and self._terminal is not None:
                self._terminal.show(line)

    def event(self, message: str, level: str = "INFO", *, show: bool = False) -> None:
        """Adds a line of savethat's own: an attempt begins, a file cannot be sent."""
        self.line(now_line("savethat", message, level), show=show)

    def stream(self, source: str, data: bytes) -> None:
        """Adds what the node wrote to its stdout or stderr; lines are completed across calls."""
        if self._terminal is not None:
            self._terminal.write(source, data)
        for text in self._streams[source].feed(data):
            self.line(now_line(source, text), show=False)

    def close(self) -> None:
        """Ends unfinished lines and closes the files."""
        for source, stream in self._streams.items():
            for text in stream.feed(b"", final=True):
                self.line(now_line(source, text), show=False)
        for file in self._files.values():
            file.close()


class _LogFile:
    """One of the log's files; what cannot be written is counted, and said as soon as it can."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None
        self._lost = 0
        self._why = ""

    def write(self, line: Line, form: Callable[[Line], str]) -> None:
        lines = [line]
        if self._lost:
            text = f"{self._lost} lines are missing here: {self._why}"
            lines.insert(0, now_line("savethat", text, "WARNING"))
        data = "".join(form(line) + "\n" for line in lines).encode("utf-8", "backslashreplace")
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            size = self._file.tell()
            if self._file.write(data) != len(data):  # the disk took a part of it
                self._file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._lost += 1
            self._why = error.strerror or str(error)
            self.close()  # the next line tries anew
        else:
            self._lost = 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Stream:
    """Cuts bytes into lines; of one that was rewritten (a progress bar) the last state counts."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""

    def feed(self, data: bytes, *, final: bool = False) -> list[str]:
        self._rest += self._decoder.decode(data, final)
        *lines, self._rest = self._rest.split("\n")
        if final and self._rest:
            lines.append(self._rest)
            self._rest = ""
        # A progress bar without a newline must not grow in memory for hours.
        self._rest = self._rest[self._rest.rfind("\r", 0, -1) + 1 :]
        return [line.rstrip("\r").rpartition("\r")[2] for line in lines]
