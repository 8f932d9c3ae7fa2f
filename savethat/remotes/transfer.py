"""Many files at a time: a folder to a remote and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from savethat import logs
from savethat.errors import StorageError, UnreachableError
from savethat.remotes import pieces
from savethat.remotes.base import Entry, Progress, Remote
from savethat.remotes.names import check_name
from savethat.remotes.progress import progress_bar
from savethat.remotes.source import FileSource
from savethat.remotes.walk import is_inside

# As many as help anywhere; how many a remote really does at a time is for it to say.
_WORKERS = 32
# Seconds: the header has no more digits.
SAME_TIME = 0.002

# Shows how far a transfer of so many bytes is.
Bar = Callable[[str, int], AbstractContextManager[Progress]]

T = TypeVar("T")


def for_each(work: Callable[[T], None], items: Iterable[T]) -> None:
    """Calls `work` with each item, up to 32 at a time.

    Raises:
        StorageError: the first error, once all others are through. Where the remote cannot be
            reached, what has not begun by then is not tried.
    """
    first: BaseException | None = None
    with ThreadPoolExecutor(_WORKERS) as pool:
        pending = {pool.submit(work, item) for item in items}
        while pending:
            done, pending = wait(pending, return_when=FIRST_EXCEPTION)
            for error in (future.exception() for future in done if not future.cancelled()):
                first = first or error
                if error and (
                    isinstance(error, UnreachableError) or not isinstance(error, StorageError)
                ):
                    for future in pending:
                        future.cancel()
    if first:
        raise first


def upload_tree(remote: Remote, folder: Path, name: str, *, bar: Bar = progress_bar) -> int:
    """Stores the files below a folder as `name`/...; those that are there already are not sent.

    Nothing on the remote is removed but older versions of what is sent, and pieces that continued
    them. What cannot be stored is left out with a warning: see `savethat.remotes.walk.storable`.

    Args:
        remote: where to.
        folder: what to store.
        name: the folder's name on the remote.
        bar: shows how far it is.

    Returns:
        How many files are stored there now, of those below `folder`.

    Raises:
        StorageError: the first thing that went wrong, after all other files were sent.
    """
    files, left_out = pieces.sendable(folder)
    for item, why in left_out:
        logs.logger.warning("{}/{} is not stored: {}", folder, item, why)
    there = {entry.name: entry for entry in remote.list(f"{name}/")}
    total = sum(path.stat().st_size for _, path in files)
    with bar(f"upload {name}", total) as progress:

        def send(file: tuple[str, Path]) -> None:
            upload_file(remote, file[1], f"{name}/{file[0]}", there, progress)

        for_each(send, files)
    sent = {f"{name}/{item}" for item, _ in files}
    remote.delete([entry for entry in there if pieces.file_of(entry) in sent])
    return len(files)


def upload_file(
    remote: Remote, path: Path, name: str, there: Mapping[str, Entry], progress: Progress
) -> None:
    """Stores one file unless it is there already.

    Args:
        remote: where to.
        path: what to store.
        name: its name on the remote.
        there: what the remote holds under this name, by name.
        progress: told how many bytes went out.
    """
    entry = there.get(name)
    if entry is None:
        remote.put(name, path, progress=progress)
    elif is_same(entry, path):
        progress(entry.size)
    else:
        remote.replace(name, path, progress=progress)


def download_tree(
    remote: Remote,
    prefix: str,
    target: Path,
    *,
    select: Callable[[str], bool] | None = None,
    bar: Bar = progress_bar,
) -> list[Entry]:
    """Brings the files below `prefix` into a folder: lists them and calls `fetch_tree`.

    Args:
        remote: where from.
        prefix: a folder on the remote, ending in `/`.
        target: the folder; made when the first file arrives.
        select: of the names below `prefix`, those wanted; None for all.
        bar: shows how far it is.

    Returns:
        The files that are in the folder now.
    """
    found = pieces.whole(remote.list(prefix))
    entries = [entry for entry in found if not select or select(entry.name[len(prefix) :])]
    fetch_tree(remote, entries, prefix, target, bar=bar)
    return entries


def fetch_tree(
    remote: Remote,
    entries: Sequence[Entry],
    prefix: str,
    target: Path,
    *,
    bar: Bar = progress_bar,
) -> None:
    """Brings listed files below `prefix` into a folder; what is there already is not fetched.

    Nothing in the folder is removed. Of a listing of objects, `pieces.whole` makes one of files.

    Raises:
        StorageError: the first thing that went wrong, after all other files were fetched; also
            where an object's name would lie outside the folder.
    """
    with bar(f"download {prefix.rstrip('/')}", sum(entry.size for entry in entries)) as progress:

        def fetch(entry: Entry) -> None:
            # The bucket is not ours alone: neither a name such as ../x nor a link that a node made
            # in the folder must lead out of it.
            name = entry.name[len(prefix) :]
            check_name(name)
            if not is_inside(target, (target / name).parent):
                raise StorageError(
                    f"{name} lies behind a link that leads out of {target}",
                    "replace the link by a folder",
                )
            fetch_file(remote, entry, target / name, progress)

        for_each(fetch, entries)


def fetch_file(remote: Remote, entry: Entry, target: Path, progress: Progress) -> None:
    """Brings one file to a local one unless it is there already."""
    if is_same(entry, target):
        progress(entry.size)
    else:
        pieces.fetch(remote, entry, target, progress=progress)


def is_same(entry: Entry, path: Path) -> bool:
    """Whether a local file is what the entry says: its size, and its time or its SHA-1.

    The content is read only where the time differs.
    """
    try:
        status = path.stat()
    except OSError:
        return False
    if not path.is_file() or status.st_size != entry.size:
        return False
    if abs(status.st_mtime - pieces.modified(entry)) < SAME_TIME:
        return True
    with FileSource(path) as file:
        return entry.sha1 is not None and file.sha1() == entry.sha1
