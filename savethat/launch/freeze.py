"""Freezes the project's code at launch, where its configuration does not say otherwise."""

from __future__ import annotations

import dataclasses

from savethat import logs
from savethat.code import capture, head_commit
from savethat.config import Config
from savethat.errors import StorageError
from savethat.launch.plan import bucket_key
from savethat.remotes import open_remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import CODE, code_name
from savethat.run.record import Launch
from savethat.worker.capsule import store_code


def freeze(config: Config) -> str:
    """Captures the code as it is now, into `local_path`; the capsule's name, or none.

    Raises:
        UsageError: it is too large, or a file holds the project's key.
        StorageError: the archive cannot be written.
    """
    if not config.code.capsule:
        return ""
    secret = bucket_key(config)
    capsule = capture(config, config.local_path / CODE, secrets=[secret.key] if secret else [])
    for warning in capsule.warnings:
        logs.logger.warning("code: {}", warning)
    return capsule.name


def frozen(config: Config, launch: Launch) -> Launch:
    """The launch with the code it is to run from, and the commit that is checked out."""
    if launch.code:
        return launch
    return dataclasses.replace(launch, code=freeze(config), commit=head_commit(config.root))


def keep_code(config: Config, launch: Launch) -> list[str]:
    """Sends a launch's capsule to the remote, once; warnings for the user.

    After the launch was accepted: one that was refused leaves nothing there. Workers have the one
    in `local_path`; what cannot be sent now goes with the next launch of the same code, or `sync`.
    """
    home = DirectoryRemote(config.local_path)
    if not launch.code or config.b2 is None or not (home.root / code_name(launch.code)).is_file():
        return []
    try:
        store_code(open_remote(config, bucket_key(config)), home, launch.code)
    except StorageError as error:
        return [f"{error.message}: the code is kept in {config.local_path} for now"]
    return []
