"""What a node and a notebook use: files by key, in a local folder and in the remote."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import itertools
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from savethat.config import credentials, load
from savethat.errors import MissingError, StorageError, UsageError
from savethat.inputs import Inputs
from savethat.remotes import open_remote
from savethat.remotes.base import Entry, Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.remotes.pieces import find, whole
from savethat.remotes.progress import progress_bar
from savethat.remotes.transfer import Bar, fetch_file, fetch_tree, upload_file, upload_tree
from savethat.run.layout import HIDDEN

if TYPE_CHECKING:
    from savethat.catalog.run import Run, Runs
    from savethat.node import Node

# How many of a folder's names are looked at to find the near ones of a misspelt key.
_NEAR = 1_000


class Storage:
    """Files and folders by key, kept in a local folder and in the project's remote.

    A key is a path below the storage, with `/` between its parts: `datasets/iris`, as `str` or
    `PurePath`. It means the same file or folder here and in the remote. In a local-only project
    both are the same folder: what is there needs no transfer.

    Links: a key that names a link is followed. Below a folder, a link to a file of that folder is
    stored as the file's content; links that lead out of the folder, links to folders, FIFOs and
    sockets are left out with a warning. Empty folders are not stored.

    Args:
        local: the local folder.
        remote: where files are sent to and fetched from.
        bar: shows how far a transfer is.
        inputs: records what is read, where a run is to tell of it.
    """

    def __init__(
        self,
        local: Path,
        remote: Remote,
        *,
        bar: Bar = progress_bar,
        inputs: Inputs | None = None,
    ) -> None:
        self.local = local.absolute()
        self.remote = remote
        self._bar = bar
        self._inputs = inputs
        self._local_only = isinstance(remote, DirectoryRemote) and remote.root == self.local

    def __repr__(self) -> str:
        return f"Storage({str(self.local)!r}, {self.remote.url!r})"

    def __truediv__(self, key: str | PurePath) -> Path:
        """The local path of `key`, whether anything is there or not.

        Raises:
            UsageError: the key leads out of the storage, or is savethat's own.
        """
        return self.local / _name(key)

    def open(
        self, key: str | PurePath, mode: str = "r", *, encoding: str | None = None, **options: Any
    ) -> IO[Any]:
        """Opens the local file of `key`; to read one that is not here, it is fetched first.

        What is written stays local until `upload`. Text is UTF-8.

        Args:
            key: a file.
            mode: as the built-in `open` takes it; writing makes the folders on the way.
            encoding: of text.
            options: the built-in `open`'s others.

        Raises:
            MissingError: there is no such file to read, neither here nor in the remote.
            UsageError: the key leads out of the storage, or is savethat's own.
        """
        path = self / key
        if "r" in mode:
            if not path.exists():
                self.download(key)
            elif self._inputs is not None and path.is_file():
                self._inputs.used([(_name(key), path)])
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._inputs is not None:
                self._inputs.wrote(_name(key))
        if "b" not in mode:
            encoding = encoding or "utf-8"
        return path.open(mode, encoding=encoding, **options)

    def upload(self, key: str | PurePath) -> Path:
        """Sends a local file or folder to the remote; what is there already is not sent again.

        Nothing in the remote is removed but older versions of what is sent.

        Returns:
            The local path.

        Raises:
            MissingError: there is no such file or folder here.
            StorageError: the first thing that went wrong, after all other files were sent.
            UsageError: the key leads out of the storage, or is savethat's own.
        """
        name = _name(key)
        path = self.local / name
        if not path.exists():
            raise self._missing(name, self.local, self._near_local(name))
        if self._local_only:
            return path
        if path.is_dir():
            upload_tree(self.remote, path, name, bar=self._bar)
            return path
        with self._bar(f"upload {name}", path.stat().st_size) as progress:
            there = {entry.name: entry for entry in self._exactly(name)}
            upload_file(self.remote, path, name, there, progress)
        return path

    def download(self, key: str | PurePath) -> Path:
        """Brings a file or folder from the remote; what is here already is not fetched again.

        A file is here when size and modification time, or size and SHA-1, are the same. Files
        arrive whole or not at all, and of several processes that want the same key one fetches
        while the others wait. Local files that the remote does not have stay.

        Returns:
            The local path.

        Raises:
            MissingError: there is no such file or folder in the remote; then nothing is made here.
            StorageError: the first thing that went wrong, after all other files were fetched.
            UsageError: the key leads out of the storage, or is savethat's own.
        """
        name = _name(key)
        path = self.local / name
        if self._local_only:
            if not path.exists():
                raise self._missing(name, self.local, self._near_local(name))
            if self._inputs is not None:
                self._inputs.used_tree(name, path)
            return path
        # Asked before the lock, which is a file: a key that is misspelt is to leave none.
        prefix, entries = "", self._exactly(name)
        if not entries:
            prefix, entries = f"{name}/", whole(self.remote.list(f"{name}/"))
        if not entries:
            raise self._missing(name, self.remote.url, self._near_remote(name))
        with self._locked(name):
            if prefix:
                fetch_tree(self.remote, entries, prefix, path, bar=self._bar)
            else:
                with self._bar(f"download {name}", entries[0].size) as progress:
                    fetch_file(self.remote, entries[0], path, progress)
        if self._inputs is not None:
            # Of a folder, what the remote has: other files may lie in it here.
            self._inputs.used((entry.name, self.local / entry.name) for entry in entries)
        return path

    def ls(self, key: str | PurePath = "") -> list[str]:
        """The names in a local folder, sorted; folders end in `/`.

        Raises:
            MissingError: there is no such folder here.
            UsageError: the key leads out of the storage, or is savethat's own.
        """
        name = _name(key, root=True)
        path = self.local / name
        if name and not path.exists():
            raise self._missing(name, self.local, self._near_local(name))
        return _local_names(path)

    def remote_ls(self, key: str | PurePath = "") -> list[str]:
        """The names in a folder of the remote, sorted; folders end in `/`.

        All files below the folder are listed for it: B2 bills one transaction for 1,000 of them.

        Raises:
            MissingError: there is no such folder in the remote.
            UsageError: the key leads out of the storage, or is savethat's own.
        """
        name = _name(key, root=True)
        prefix = f"{name}/" if name else ""
        names = _one_level(self.remote.list(prefix), prefix)
        if name and not names:
            if self._exactly(name):
                return [PurePosixPath(name).name]
            raise self._missing(name, self.remote.url, self._near_remote(name))
        return names

    def remove(self, key: str | PurePath, *, local: bool = True, remote: bool = False) -> None:
        """Deletes a file or folder: here, in the remote (all versions), or both.

        Raises:
            MissingError: there is no such file or folder in any of the places it was to go from.
            UsageError: the key leads out of the storage, or is savethat's own.
        """
        name = _name(key)
        path = self.local / name
        found = False
        if remote:
            file, folder = self.remote.delete([name]), self.remote.delete_prefix(f"{name}/")
            found = file.versions + folder.versions > 0
        if local and (path.exists() or path.is_symlink()):
            found = True
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except OSError as error:
                raise StorageError(f"{path} cannot be removed: {error.strerror}") from error
        if not found:
            places = [str(self.local)] if local else []
            places += [self.remote.url] if remote and not self._local_only else []
            raise self._missing(name, " or ".join(places), self._near_local(name) if local else [])

    def find_runs(
        self,
        node: str | type[Node[Any, Any]] = "",
        *,
        only_completed: bool = False,
        after: datetime | None = None,
        before: datetime | None = None,
        tags: Sequence[str] = (),
    ) -> Runs:
        """The project's runs, oldest first, with their true state; a notebook shows a table.

        Args:
            node: a node's class, or its class name or dotted name; all nodes where empty.
            only_completed: leave out what has no result.
            after: the earliest time (finished, else started, else submitted), aware.
            before: the end of such times, exclusive, aware.
            tags: with any of these.

        Raises:
            StorageError: the storage could not be listed whole.
        """
        # The one step up of this module: what everyone looks for on a storage is a listing.
        from savethat.catalog.run import Runs

        return Runs(
            self.iter_runs(
                node, only_completed=only_completed, after=after, before=before, tags=tags
            )
        )

    def iter_runs(self, node: str | type[Node[Any, Any]] = "", **filters: Any) -> Iterator[Run]:
        """The runs `find_runs` finds, one after the other; it takes the same arguments."""
        from savethat.catalog import catalog_of
        from savethat.catalog.run import iter_runs

        home = DirectoryRemote(self.local)
        remote = home if self._local_only else self.remote
        catalog = catalog_of(remote, home)
        catalog.inputs = self._inputs
        return iter_runs(catalog, node, **filters)

    def _exactly(self, name: str) -> list[Entry]:
        """The object of that name, if there is one."""
        entry = find(self.remote, name)
        return [] if entry is None else [entry]

    def _missing(self, name: str, place: Path | str, near: Iterable[str]) -> MissingError:
        parent, _, last = name.rpartition("/")
        close = difflib.get_close_matches(last, [item.rstrip("/") for item in near])
        found = ", ".join(f"{parent}/{item}" if parent else item for item in close)
        hint = f"did you mean {found}?" if found else ""
        return MissingError(f"there is no {name} in {place}", hint)

    def _near_local(self, name: str) -> list[str]:
        return _local_names((self.local / name).parent)

    def _near_remote(self, name: str) -> list[str]:
        parent, slash, _ = name.rpartition("/")
        prefix = parent + slash
        return _one_level(itertools.islice(self.remote.list(prefix), _NEAR), prefix)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keeps other processes from fetching the same key; where files cannot be locked, not."""
        import filelock

        folder = self.local / HIDDEN / "locks"
        digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
        lock = filelock.FileLock(folder / f"{digest}.lock")
        with contextlib.ExitStack() as stack:
            # Some shared file systems have no locks. Without one a file is fetched more than
            # once, but still arrives whole.
            with contextlib.suppress(OSError, NotImplementedError):
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock)
            yield


def get_storage(env_file: str | Path | None = None) -> Storage:
    """The storage of a project.

    Args:
        env_file: its savethat.toml; None: searched for from the current folder upward.

    Raises:
        ConfigError: the configuration is wrong, or the credentials are missing.
    """
    config = load(env_file=Path(env_file) if env_file is not None else None)
    secret = credentials(config) if config.b2 is not None else None
    return Storage(config.local_path, open_remote(config, secret))


def _name(key: str | PurePath, *, root: bool = False) -> str:
    """The key as an object's name; `root` allows the storage itself, as the empty name."""
    if not isinstance(key, (str, PurePath)):
        raise UsageError(f"a key is a str or a PurePath, not {type(key).__name__}")
    path = PurePosixPath(key if isinstance(key, str) else key.as_posix())
    if path.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise UsageError(f"the key {str(key)!r} leads out of the storage", "keys are relative")
    name = "/".join(path.parts)
    if not name and not root:
        raise UsageError("the key is empty", "name a file or folder")
    if path.parts[:1] == (HIDDEN,):
        raise UsageError(f"the key {name} is savethat's own", f"take a name outside {HIDDEN}")
    return name


def _local_names(folder: Path) -> list[str]:
    if folder.is_file():
        return [folder.name]
    if not folder.is_dir():
        return []
    names = (f"{item.name}/" if item.is_dir() else item.name for item in folder.iterdir())
    return sorted(name for name in names if not name.startswith(HIDDEN))


def _one_level(entries: Iterable[Entry], prefix: str) -> list[str]:
    rests = (entry.name[len(prefix) :].partition("/") for entry in entries)
    names = {first + slash for first, slash, _ in rests}
    return sorted(name for name in names if not name.startswith(HIDDEN))
