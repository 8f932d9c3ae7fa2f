"""The run's folder: in place under `local_path`, or in scratch until all of it is safe."""

from __future__ import annotations

import contextlib
import getpass
import glob
import shutil
import socket
from pathlib import Path

from savethat.config import Config
from savethat.errors import StorageError


class RunFolder:
    """Where an attempt writes.

    Args:
        path: the folder.
        in_scratch: whether it is to be cleared once everything in it is safe elsewhere.
    """

    def __init__(self, path: Path, *, in_scratch: bool) -> None:
        self.path = path
        self.in_scratch = in_scratch
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make the run's folder {path}: {error.strerror}",
                "set scratch or local_path in savethat.toml to a folder you may write to",
            ) from error

    @classmethod
    def in_place(cls, config: Config, key: str) -> RunFolder:
        """Under `local_path`, to stay there."""
        return cls(config.local_path / key, in_scratch=False)

    @classmethod
    def scratch(cls, config: Config, key: str, attempt: int) -> RunFolder:
        """On this machine's own disk.

        What the attempt before left here, because it was killed or found no other place for it, is
        taken over: it is newer than whatever was carried out.
        """
        parent = config.scratch_root() / f"savethat-{getpass.getuser()}"
        parent.mkdir(mode=0o700, exist_ok=True)
        path = parent / f"{key}.{attempt}"
        before = parent / f"{key}.{attempt - 1}"
        if before.is_dir() and not path.exists():
            with contextlib.suppress(OSError):
                before.rename(path)
        return cls(path, in_scratch=True)

    @property
    def address(self) -> str:
        """`host:folder`, for people."""
        return f"{socket.gethostname()}:{self.path}"

    def clear(self) -> None:
        """Removes it, when it lies in scratch; call this only when everything in it is safe."""
        if not self.in_scratch:
            return
        # What earlier attempts of the run left on this machine is superseded.
        for path in self.path.parent.glob(f"{glob.escape(self.path.stem)}.*"):
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run is there
            self.path.parent.rmdir()

    def copy_to(self, target: Path) -> None:
        """Copies its files to a folder, whole or not at all: made aside, then renamed."""
        aside = target.with_name(f".savethat-part-{target.name}")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(self.path, aside, symlinks=True)
        if target.exists():
            shutil.rmtree(target)
        aside.replace(target)
