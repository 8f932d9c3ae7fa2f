"""Selects runs: filters that narrow each other, and keys by their start or end."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from savethat.config import parse_duration
from savethat.errors import NotFoundError, UsageError
from savethat.run.status import UNSUCCESSFUL, Status

if TYPE_CHECKING:
    from savethat.catalog.row import Row

LAST = "last"


@dataclasses.dataclass(frozen=True)
class Filter:
    """Which runs are meant: different fields narrow, the values of one widen, an empty one is none.

    Args:
        prefix: a plain start of the key.
        nodes: class names or dotted names, exact.
        statuses: any of them.
        after, before: bounds of the run's time (finished, else started, else submitted), aware.
        args: `(name, value)` as typed: any of the values given for a name, for every name.
        tags, sweeps: any of them.
        users: any of them; `all` for everybody's.
    """

    prefix: str = ""
    nodes: tuple[str, ...] = ()
    statuses: frozenset[Status] = frozenset()
    after: datetime | None = None
    before: datetime | None = None
    args: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    sweeps: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it selects anything: a filter that says nothing selects all."""
        return self != Filter()

    def matches(self, row: Row) -> bool:
        """Whether a run is meant."""
        return (
            row.key.startswith(self.prefix)
            and (not self.nodes or bool({row.node, row.node.rpartition(".")[2]} & {*self.nodes}))
            and (not self.statuses or row.status in self.statuses)
            and (self.after is None or row.when >= self.after)
            and (self.before is None or row.when < self.before)
            and self._matches_args(row)
            and (not self.tags or bool({*row.tags} & {*self.tags}))
            and (not self.sweeps or row.sweep in self.sweeps)
            and (not self.users or "all" in self.users or row.place.user in self.users)
        )

    @property
    def class_name(self) -> str:
        """The start of the class name of all runs it can match; empty where there are several."""
        names = {node.rpartition(".")[2] for node in self.nodes}
        if len(names) == 1:
            return names.pop()
        stem = re.match(r"(.*?)_\d{4}-", self.prefix)
        return stem[1] if stem else ""

    @property
    def reads_args(self) -> bool:
        """Whether it looks at arguments, or at what else a listing may have cut."""
        return bool(self.args or self.tags)

    def _matches_args(self, row: Row) -> bool:
        wanted: dict[str, list[str]] = {}
        for name, value in self.args:
            wanted.setdefault(name, []).append(value)
        if not wanted:
            return True
        from savethat.catalog.row import flatten

        present = {
            column.removeprefix("args."): value
            for column, value in flatten(row.args, "args").items()
        }
        return all(
            name in present and any(same_value(present[name], text) for text in texts)
            for name, texts in wanted.items()
        )


def same_value(value: Any, text: str) -> bool:
    """Whether a JSON value is what a user typed: `0.1`, `1e-1`, `true`, `[64, 64]`, `none`."""
    if isinstance(value, bool):
        return text.lower() in (("true", "yes", "1") if value else ("false", "no", "0"))
    if value is None:
        return text.lower() in ("none", "null", "")
    if isinstance(value, (int, float)):
        try:
            return float(text) == value
        except ValueError:
            return False
    if isinstance(value, (list, tuple)):
        words = text.strip("[]() ").replace(",", " ").split()
        return len(words) == len(value) and all(
            same_value(inner, word.strip("\"'")) for inner, word in zip(value, words, strict=True)
        )
    return str(value) == text


def parse_time(text: str, now: datetime) -> datetime:
    """A moment: ISO 8601 (UTC unless it has an offset), or an age before `now` (`30d`).

    Raises:
        UsageError: it is neither.
    """
    with contextlib.suppress(UsageError):
        return now - parse_age(text)
    try:
        # Python 3.10 does not read the Z of UTC.
        time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time", "write 2026-11-23, 2026-11-23T08:05, or an age such as 30d"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def parse_age(text: str) -> timedelta:
    """An age: `90` and `90m` are minutes, then `3h`, `2d`, `1w`.

    Raises:
        UsageError: it is none.
    """
    try:
        return timedelta(seconds=parse_duration(text, unit="m"))
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not an age", "write 90 or 90m (minutes), 3h, 2d or 1w"
        ) from None


def parse_status(text: str) -> Status:
    """A status by its name.

    Raises:
        UsageError: there is no such status.
    """
    try:
        return Status(text.lower())
    except ValueError:
        import difflib  # only a mistake needs it

        names = [status.value for status in Status]
        near = difflib.get_close_matches(text.lower(), names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(names)}"
        raise UsageError(f"there is no status {text!r}", hint) from None


def statuses(
    named: Iterable[Status],
    *,
    completed: bool = False,
    failed: bool = False,
    running: bool = False,
    queued: bool = False,
) -> frozenset[Status]:
    """The statuses meant by `--status` and its short forms, which widen each other."""
    meant = set(named)
    if completed:
        meant.add(Status.COMPLETED)
    if failed:
        meant |= UNSUCCESSFUL
    if running:
        meant.add(Status.RUNNING)
    if queued:
        meant.add(Status.QUEUED)
    return frozenset(meant)


def resolve(rows: Sequence[Row], text: str) -> Row:
    """The run a user names: a whole key, an unambiguous start or end of one, or `last`.

    Args:
        rows: all runs, oldest first.
        text: as typed.

    Raises:
        NotFoundError: none matches, or several do.
    """
    if text == LAST:
        if not rows:
            raise NotFoundError("there is no run yet", "savethat run NODE")
        return rows[-1]
    exact = [row for row in rows if row.key == text]
    matches = exact or [row for row in rows if row.key.startswith(text) or row.key.endswith(text)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = ", ".join(row.key for row in matches[:5])
        more = f" and {len(matches) - 5} more" if len(matches) > 5 else ""
        raise NotFoundError(f"{text} is ambiguous: {some}{more}", "give more of the key")
    import difflib

    near = difflib.get_close_matches(text, [row.key for row in rows], n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(near)}?" if near else "savethat ls"
    raise NotFoundError(f"there is no run {text}", hint)
