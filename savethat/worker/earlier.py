"""What an attempt after the first finds of those before it: their log, or all they wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.remotes.transfer import download_tree
from savethat.remotes.walk import walk
from savethat.run.layout import JSONL_FILE, LOG_FILE, RESULT_JSON, RESULT_PICKLE
from savethat.run.record import PlannedRun
from savethat.worker.folder import RunFolder

_LOGS = frozenset({LOG_FILE, JSONL_FILE})
_RESULTS = frozenset({RESULT_PICKLE, RESULT_JSON})


def bring_back(folder: RunFolder, run: PlannedRun, remote: Remote, home: DirectoryRemote) -> None:
    """Makes the folder what the attempt begins with.

    A node that resumes finds all files but a result; for any other the folder is empty, but for the
    logs, to which each attempt adds.

    Args:
        folder: the attempt's; it may hold the files of the one before.
        run: the run.
        remote: where runs are stored.
        home: the folder that has them where the remote does not.

    Raises:
        StorageError: the earlier attempts' files cannot be had.
    """
    for name, item in list(walk(folder.path)):
        if not _stays(name, run):
            Path(item.path).unlink()
    for path in folder.path.iterdir():
        if path.is_dir() and not path.is_symlink() and not any(walk(path)):
            shutil.rmtree(path)
    prefix = f"{run.key}/"
    for source in dict.fromkeys((remote, home)):
        here = source is home and folder.path == home.root / run.key
        if not here:
            download_tree(
                source, prefix, folder.path, select=lambda name: _missing(name, folder, run)
            )


def _missing(name: str, folder: RunFolder, run: PlannedRun) -> bool:
    return _stays(name, run) and not (folder.path / name).exists()


def _stays(name: str, run: PlannedRun) -> bool:
    return name not in _RESULTS if run.resumable else name in _LOGS
