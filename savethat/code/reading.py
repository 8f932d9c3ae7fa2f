"""The content of a file as it enters a capsule."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from savethat.code.plan import Item
from savethat.code.secrets import without_keys
from savethat.errors import UsageError

# A file that is being written is looked at so many times, with a pause in between.
_LOOKS, _PAUSE = 5, 0.01
# Two changes within this time may leave the same time stamp.
_TICK_NS = 50_000_000


class SkippedError(Exception):
    """The file does not enter; says why, or nothing where it is simply gone."""


class ContentReader:
    """Reads files, and refuses what may not enter.

    Args:
        secrets: what stands in no file.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets if secret.strip()]
        self.unsteady: list[str] = []

    def content(self, item: Item) -> bytes:
        """What enters.

        Raises:
            SkippedError: nothing does.
            UsageError: the file cannot be read, or a secret stands in it.
        """
        data = b"" if item.link is not None else self._read(item)
        if item.settings:
            try:
                text = without_keys(data.decode())
            except UnicodeDecodeError:
                text = None
            if text is None:
                raise SkippedError(f"left out, as it is not valid TOML: {item.name}")
            data = text.encode()
        words = f"{item.name}\n{item.link or ''}".encode(errors="surrogateescape")
        for secret in self._secrets:
            if secret in data or secret in words:
                raise UsageError(
                    f"{item.path} holds the project's B2 credentials: it would be stored with the "
                    "code",
                    f'take them out, or put "{item.name}" into `[code] exclude` in savethat.toml',
                )
        return data

    def _read(self, item: Item) -> bytes:
        """The file in one of its states; notes it where another process keeps changing it."""
        data = previous = None
        try:
            for look in range(_LOOKS):
                if look:
                    time.sleep(_PAUSE)
                with open(item.path, "rb", buffering=0) as file:  # noqa: PTH123 (twice as fast)
                    before = os.fstat(file.fileno())
                    data = file.read()
                    after = os.fstat(file.fileno())
                still = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
                    after.st_size,
                    after.st_mtime_ns,
                    after.st_ctime_ns,
                )
                settled = time.time_ns() - after.st_mtime_ns > _TICK_NS
                if (still and settled) or data == previous:
                    return data
                previous = data
        except FileNotFoundError:
            raise SkippedError from None
        except OSError as error:
            raise UsageError(
                f"{item.path} cannot be read: {error.strerror}",
                "make it readable, or add it to .gitignore or to `[code] exclude`",
            ) from error
        self.unsteady.append(item.name)
        assert data is not None
        return data
