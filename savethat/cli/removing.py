"""What the commands that remove runs share: removing them, and saying what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from savethat.cli.session import Session, count, talk

if TYPE_CHECKING:
    from savethat.catalog.removal import Removed
    from savethat.catalog.row import Row


def remove_runs(session: Session, rows: Sequence[Row]) -> int:
    """Removes finished runs everywhere, and says so; 1 where anything is left."""
    from savethat.catalog import removal
    from savethat.cli.completing.learning import forget_keys

    done = removal.remove(session.catalog, rows)
    forget_keys(session.config.root, {row.key for row in rows} - {key for key, _ in done.left})
    return say_removed(done)


def say_removed(done: Removed) -> int:
    """Says what was deleted; 1 where anything is left."""
    from savethat.cli.table import size

    talk(f"Deleted {count(done.runs, 'run')}, {count(done.versions, 'file')}, {size(done.bytes)}.")
    return say_left(done.left)


def say_skipped(skipped: Sequence[tuple[Row, str]]) -> None:
    """Says which runs are left alone, each with why."""
    for row, why in skipped:
        talk(f"skipped: {row.key} {why}")


def say_left(left: Sequence[tuple[str, str]]) -> int:
    """Says what could not be removed, each with why; 1 where there is anything."""
    for key, why in left:
        talk(f"left: {key}: {why}")
    return 1 if left else 0
