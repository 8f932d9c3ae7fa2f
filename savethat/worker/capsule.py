"""A run's code capsule: stored once, and unpacked where a worker runs from it."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
from collections.abc import Iterator
from pathlib import Path

from savethat.cache import is_known, note
from savethat.code import import_paths, unpacked
from savethat.config import Config, Credentials
from savethat.remotes import open_remote
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import code_name
from savethat.worker.order import Order

# How long a capsule is taken to be where it was stored; `rm` leaves it there for longer.
_STORED_MAX_AGE = 43_200.0
# Where every job of a node finds what another one has unpacked: `scratch` may be each job's own.
_NODE_LOCAL = Path("/tmp")  # noqa: S108 # a folder of the user's own is made in it


def store_code(remote: Remote, home: DirectoryRemote, name: str) -> None:
    """Sends a capsule that lies in the home to the remote, unless it is known to be there.

    Raises:
        StorageError: it cannot be sent.
    """
    if remote is home:
        return
    known = f"{remote.url}/{name}"
    if is_known("code", known, max_age=_STORED_MAX_AGE):
        return
    stored = code_name(name)
    if not any(entry.name == stored for entry in remote.list(stored)):
        remote.put(stored, home.root / stored)
    note("code", known)


def fetch_code(remote: Remote, home: DirectoryRemote, name: str) -> Path:
    """A capsule's archive on this machine, or on the file system it shares.

    Raises:
        MissingError: it is nowhere.
        StorageError: it cannot be had.
    """
    path = home.root / code_name(name)
    if not path.is_file():
        remote.fetch(code_name(name), path)
    return path


@contextlib.contextmanager
def running_from(order: Order, credentials: Credentials | None) -> Iterator[Order]:
    """The order, with its code unpacked on this machine, once for all runs of it.

    Raises:
        StorageError: the capsule cannot be had, or is damaged.
    """
    name, config = order.launch.code, order.config
    if not name:
        os.chdir(config.root)
        yield order
        return

    def archive() -> Path:
        home = DirectoryRemote(config.local_path)
        return fetch_code(open_remote(config, credentials), home, name)

    with unpacked(archive, name, node_folder(config)) as code:
        paths = tuple(map(str, import_paths(code)))
        # Paths relative to the project lead to its data, unless it was moved away meanwhile.
        os.chdir(config.root if config.root.is_dir() else code)
        yield dataclasses.replace(order, python_path=paths, frozen=True)


def node_folder(config: Config) -> Path:
    """Where capsules are unpacked on this machine.

    Raises:
        ConfigError: no folder of this machine is usable.
    """
    root = _NODE_LOCAL if os.access(_NODE_LOCAL, os.W_OK) else config.scratch_root()
    folder = root / f"savethat-{getpass.getuser()}" / "code"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
