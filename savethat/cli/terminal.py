"""What words from outside may do to a terminal: a log may colour them, all else only show them."""

from __future__ import annotations

import codecs
import functools
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from savethat.untrusted import printable, printable_json

if TYPE_CHECKING:
    from json import JSONEncoder

# Colours and weights, as `less -R` passes them through, and what progress bars go back with.
_KEPT = r"(\x1b\[[0-9;:]{0,40}m|[\r\b])"
# The start of a sequence, which the next piece may complete.
_UNFINISHED = r"\x1b(\[[0-9;:]{0,40})?\Z"


def echo_json(value: Any) -> None:
    """Prints a value as JSON in one line."""
    click.echo(json_line(value))


def json_line(value: Any) -> str:
    """A value as JSON in one line."""
    return printable_json(_encoder().encode(value))


@functools.cache
def _encoder() -> JSONEncoder:
    """What writes a value; to make it takes as long as to write one."""
    import json

    return json.JSONEncoder(ensure_ascii=False)


class TerminalLog:
    """A log, piece by piece as it is read, made fit for a terminal.

    Colours, line ends, tabs, carriage returns and backspaces stay. Every other control sequence,
    which could set the terminal's title, its clipboard or what its keys send, is shown escaped.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        self._held = ""

    def fit(self, piece: bytes, *, last: bool = False) -> str:
        """The next piece; what is not complete at its end comes with the one after, if any."""
        text = self._held + self._decode(piece, last)
        unfinished = None if last else re.search(_UNFINISHED, text)
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        # What was split by stands between the parts.
        parts = enumerate(re.split(_KEPT, text[:end]))
        return "".join(
            part if number % 2 else printable(part, lines=True) for number, part in parts
        )


class LogOutput:
    """Writes a log to stdout: to a terminal as `TerminalLog` has it, elsewhere as it is."""

    def __init__(self) -> None:
        self._terminal = TerminalLog() if sys.stdout.isatty() else None

    def write(self, piece: bytes, *, last: bool = False) -> None:
        """Writes the next piece."""
        if self._terminal is None:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(self._terminal.fit(piece, last=last))
            sys.stdout.flush()
