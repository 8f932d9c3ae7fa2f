"""What an attempt after the first finds of those before it: their log, or all they wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

from savethat.errors import UnreachableError
from savethat.remotes.base import Entry, Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.remotes.pieces import modified, whole
from savethat.remotes.transfer import SAME_TIME, fetch_tree
from savethat.remotes.walk import walk
from savethat.run.layout import JSONL_FILE, LOG_FILE, RESULT_JSON, RESULT_PICKLE
from savethat.run.record import PlannedRun
from savethat.worker.folder import RunFolder

_LOGS = frozenset({LOG_FILE, JSONL_FILE})
# A server tells its time, and that of its files, in whole seconds.
_BLUR = 3.0
_RESULTS = frozenset({RESULT_PICKLE, RESULT_JSON})


def bring_back(folder: RunFolder, run: PlannedRun, remote: Remote, home: DirectoryRemote) -> None:
    """Makes the folder what the attempt begins with.

    A node that resumes finds all files but a result; for any other the folder is empty, but for the
    logs, to which each attempt adds.

    Args:
        folder: the attempt's; it may hold the files of the one before.
        run: the run.
        remote: where runs are stored.
        home: the folder that took them while the remote could not be reached.

    Raises:
        StorageError: the earlier attempts' files cannot be had.
    """
    for name, item in list(walk(folder.path)):
        if not _stays(name, run):
            Path(item.path).unlink()
    for path in folder.path.iterdir():
        if path.is_dir() and not path.is_symlink() and not any(walk(path)):
            shutil.rmtree(path)
    _fetch_missing(folder, run, remote, home)


def _fetch_missing(
    folder: RunFolder, run: PlannedRun, remote: Remote, home: DirectoryRemote
) -> None:
    """Brings files from where they were written last: while one could not be reached, in the other.

    Ages are compared, each by its own clock, since times of two clocks cannot be. Of two as old the
    one of the later source counts: it takes files when the one before it has just failed.
    """
    prefix = f"{run.key}/"
    sources = [remote] if remote is home else [remote, home]
    found: dict[str, tuple[float, Remote, Entry]] = {}
    for source in sources:
        if isinstance(source, DirectoryRemote) and folder.path == source.root / run.key:
            continue
        try:
            entries = whole(source.list(prefix))
        except UnreachableError:
            # What lies here, or took the run while the remote could not be reached, will do.
            if run.resumable and not any(walk(folder.path)) and not any(home.list(prefix)):
                raise
            continue
        for entry in entries:
            age = source.now() - entry.modified
            if entry.name not in found or age < found[entry.name][0] + _BLUR:
                found[entry.name] = (age, source, entry)
    wanted = [
        (source, entry)
        for _, source, entry in found.values()
        if _lacks(folder, entry, entry.name.removeprefix(prefix), run)
    ]
    for source in sources:
        entries = [entry for place, entry in wanted if place is source]
        fetch_tree(source, entries, prefix, folder.path)


def _lacks(folder: RunFolder, entry: Entry, name: str, run: PlannedRun) -> bool:
    """Whether the folder has no such file, or an older one: it may have been downloaded once."""
    if not _stays(name, run):
        return False
    try:
        return (folder.path / name).stat().st_mtime < modified(entry) - SAME_TIME
    except OSError:
        return True


def _stays(name: str, run: PlannedRun) -> bool:
    return name not in _RESULTS if run.resumable else name in _LOGS
