"""Every run with its true state: listed, selected, pulled, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savethat.catalog.listing import Catalog
    from savethat.config import Config
    from savethat.remotes.base import Remote
    from savethat.remotes.directory import DirectoryRemote


def open_catalog(config: Config) -> Catalog:
    """The runs of a project; asks nothing yet.

    Raises:
        ConfigError: the project is on B2 and there are no credentials.
    """
    from savethat.config import credentials
    from savethat.launchers.queue import revive
    from savethat.remotes import open_remote
    from savethat.remotes.directory import DirectoryRemote

    # Whoever looks at runs sees to it that those that wait here are carried out.
    revive()
    home = DirectoryRemote(config.local_path)
    remote = open_remote(config, credentials(config)) if config.b2 is not None else home
    return catalog_of(remote, home)


def catalog_of(remote: Remote, home: DirectoryRemote) -> Catalog:
    """The runs that a remote and the folder on this machine hold."""
    from savethat.catalog.listing import Catalog
    from savethat.launchers import schedulers

    return Catalog(remote, home, schedulers())
