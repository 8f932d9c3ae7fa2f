"""Freezes the project's code at launch, where its configuration does not say otherwise."""

from __future__ import annotations

import contextlib
import dataclasses

from savethat.code import capture, head_commit
from savethat.config import Config
from savethat.errors import UnreachableError
from savethat.launch.plan import bucket_key
from savethat.logs import logger
from savethat.remotes import open_remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import CODE
from savethat.run.record import Launch
from savethat.worker.capsule import store_code


def freeze(config: Config) -> str:
    """Captures the code as it is now and stores it, once; the capsule's name, or none.

    Where B2 cannot be reached the capsule stays in `local_path`, from where `savethat sync` sends
    it.

    Raises:
        UsageError: it is too large, or a file holds the project's key.
        StorageError: B2 refused it.
    """
    if not config.code.capsule:
        return ""
    secret = bucket_key(config)
    secrets = [secret.key] if secret else []
    home = DirectoryRemote(config.local_path)
    capsule = capture(config, home.root / CODE, secrets=secrets)
    for warning in capsule.warnings:
        logger.warning("code: {}", warning)
    remote = open_remote(config, secret) if config.b2 else home
    # The launch record will not get there either, and says so.
    with contextlib.suppress(UnreachableError):
        store_code(remote, home, capsule.name)
    return capsule.name


def frozen(config: Config, launch: Launch) -> Launch:
    """The launch with the code it is to run from, and the commit that is checked out."""
    if launch.code:
        return launch
    return dataclasses.replace(launch, code=freeze(config), commit=head_commit(config.root))
