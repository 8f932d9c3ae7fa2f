"""Runs as a table: for a terminal with colours and fitted, for a pipe plain and whole."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from savethat.catalog.row import Row, flatten
from savethat.errors import UsageError
from savethat.run.status import Status
from savethat.untrusted import printable

if TYPE_CHECKING:
    from savethat.remotes.base import Entry

STYLES = {
    Status.QUEUED: "cyan",
    Status.RUNNING: "blue",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "yellow",
    Status.LOST: "magenta",
    Status.UNKNOWN: "bright_black",
}


def cells(row: Row) -> dict[str, Any]:
    """Everything a run can be sorted and shown by: `ls --json`'s fields, `args.*`, `result.*`."""
    data = row.to_json()
    flat = dict(data)
    # A short name tells runs of different code apart, and fits a table.
    flat["code"] = short_code(row.code)
    for name in ("args", "result"):
        if data[name] is not None:
            flat |= flatten(data[name], name)
    return flat


def short_code(name: str) -> str | None:
    """A capsule's name as people read it; None where the code was not frozen."""
    return name[:8] or None


def sort(rows: Iterable[Row], column: str) -> list[Row]:
    """Rows by a column, `-column` for descending; rows without a value come last.

    Raises:
        UsageError: no row has such a column.
    """
    name = column.removeprefix("-")
    keyed = [(cells(row), row) for row in rows]
    if keyed and not any(name in cell for cell, _ in keyed):
        known = sorted({known for cell, _ in keyed for known in cell})
        raise UsageError(f"no run has a column {name}", f"one of {', '.join(known)}")
    having = [(cell[name], row) for cell, row in keyed if cell.get(name) is not None]
    # Values of one column may be of several types over a year of runs.
    having.sort(key=lambda item: _sortable(item[0]), reverse=column.startswith("-"))
    return [row for _, row in having] + [row for cell, row in keyed if cell.get(name) is None]


def differing(rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns of arguments that are not the same in all rows."""
    flat = [flatten(row.args, "args") for row in rows]
    names = dict.fromkeys(name for each in flat for name in each)
    return tuple(name for name in names if len({repr(each.get(name)) for each in flat}) > 1)


def show(rows: Sequence[Row], columns: Sequence[str], *, absolute: bool) -> None:
    """Prints the table to stdout."""
    header = ["key", "status", "reason", "when", "duration", "where", "size", *columns]
    now = datetime.now(timezone.utc)
    lines = [_line(row, columns, now, absolute=absolute) for row in rows]
    print_table(header, lines, [STYLES[row.status] for row in rows])


def print_table(
    header: Sequence[str], lines: Sequence[Sequence[str]], status_styles: Sequence[str] = ()
) -> None:
    """Prints a table to stdout: plain and whole in a pipe, fitted on a terminal.

    Args:
        header: the columns' names.
        lines: the cells of each line.
        status_styles: the colour of the column `status` in each line.
    """
    columns = [_printable(column) for column in zip(header, *lines, strict=True)]
    if not sys.stdout.isatty():
        widths = (max(map(len, column)) for column in columns)
        template = "  ".join(f"%-{width}s" for width in widths)
        # There may be many thousands.
        text = [(template % line).rstrip() for line in zip(*columns, strict=True)]
        sys.stdout.write("\n".join(text) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    header, *lines = zip(*columns, strict=True)
    for name in header:
        # A plain string would be read as rich's markup, and the names of arguments are anybody's.
        table.add_column(Text(name), no_wrap=name in ("key", "status"), overflow="fold")
    for number, line in enumerate(lines):
        style = status_styles[number] if status_styles else ""
        cells = zip(header, line, strict=True)
        table.add_row(*(Text(cell, style if name == "status" else "") for name, cell in cells))
    Console(highlight=False).print(table)


def show_files(key: str, entries: Iterable[Entry]) -> None:
    """Prints a run's files, a line each."""
    for entry in entries:
        sys.stdout.write(f"{key}/{printable(entry.name)}  {size(entry.size)}\n")


@functools.lru_cache(maxsize=1_000)
def size(count: int | None) -> str:
    """Bytes as people read them: `3.2 MB`."""
    if count is None:
        return ""
    from rich.filesize import decimal

    return decimal(count)


def duration(seconds: float | None) -> str:
    """Seconds as people read them: `4 s`, `3 min`, `2.5 h`, `1.5 d`."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _line(row: Row, columns: Sequence[str], now: datetime, *, absolute: bool) -> list[str]:
    found = cells(row) if columns else {}
    when = row.when
    return [
        row.key,
        row.status.value,
        row.reason + (" (not synced)" if row.synced is False else ""),
        when.strftime("%Y-%m-%d %H:%M:%S") if absolute else _ago(now, when),
        duration(row.duration_s),
        row.place.where,
        size(row.bytes),
        *(_cell(found.get(column)) for column in columns),
    ]


def _printable(column: tuple[str, ...]) -> Sequence[str]:
    """A column's cells, as a terminal only shows them."""
    return column if "".join(column).isprintable() else [printable(cell) for cell in column]


def _ago(now: datetime, when: datetime) -> str:
    return f"{duration(max(0.0, (now - when).total_seconds()))} ago"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sortable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, (bool, int, float)):
        try:
            return 0, float(value), ""
        except OverflowError:  # an integer that no float can be
            return 0, math.copysign(math.inf, value), ""
    return 1, 0.0, str(value)
