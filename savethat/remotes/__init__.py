"""Where runs are kept: one contract (`base`), a folder (`directory`) and Backblaze B2 (`b2`).

`names` says what an object may be called, `source` reads a file that may change meanwhile, `walk`
finds the files below a folder, `transfer` moves many at a time (`pace` says how many) and
`progress` shows it. `patience` is how long a remote may go on. The modules named `b2_`, which `b2`
imports at its first call, are the home of urllib3 (`b2_engine`, what is done often) and of b2sdk
(`b2_sdk`, what is rare); `b2_retry` states what is asked again, and for how long.
"""

from __future__ import annotations

from savethat.config import Config, Credentials
from savethat.errors import ConfigError
from savethat.remotes.base import Deleted, Entry, Progress, Remote, Stored

__all__ = ["Deleted", "Entry", "Progress", "Remote", "Stored", "open_remote"]


def open_remote(config: Config, credentials: Credentials | None) -> Remote:
    """Where the project's runs are kept: its bucket, or `local_path` where it has none.

    Nothing is asked yet.

    Args:
        config: the project's settings.
        credentials: the bucket's key; not needed without a bucket.

    Raises:
        ConfigError: there is a bucket and no key.
    """
    if config.b2 is None:
        from savethat.remotes.directory import DirectoryRemote

        return DirectoryRemote(config.local_path)
    if credentials is None:
        raise ConfigError(
            f"there are no credentials for the B2 bucket {config.b2.bucket}", "run `savethat setup`"
        )
    from savethat.remotes.b2 import B2Remote

    b2 = config.b2
    return B2Remote(b2.bucket, b2.prefix, b2.realm, credentials.key_id, credentials.key)
