"""What a run read from storage, by SHA-1: `inputs.json` in its folder.

    {"format": 1, "files": [{"key": ..., "size": ..., "sha1": ...}, ...], "left_out": 0}

The files are in the order of first use. One that changed between two uses is there twice.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from savethat import logs
from savethat.errors import StorageError
from savethat.remotes.names import is_part, part_name
from savethat.remotes.source import FileSource
from savethat.remotes.walk import walk
from savethat.run.layout import INPUTS_FILE
from savethat.untrusted import read_json

FORMAT = 1
# A record is to stay small, and hashing more files than that would hold the node up.
LIMIT = 10_000


@dataclasses.dataclass(frozen=True)
class Input:
    """One file that was read.

    Args:
        key: its key in storage.
        size: bytes.
        sha1: of its content when it was first used, hexadecimal.
    """

    key: str
    size: int
    sha1: str


@dataclasses.dataclass(frozen=True)
class InputsRecord:
    """The content of `inputs.json`.

    Args:
        files: in order of first use.
        left_out: how many more files were read than are named.
    """

    files: tuple[Input, ...] = ()
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """The record as it is stored."""
        files = [dataclasses.asdict(file) for file in self.files]
        return {"format": FORMAT, "files": files, "left_out": self.left_out}

    @classmethod
    def from_json(cls, data: object) -> InputsRecord:
        """The record read back.

        Raises:
            ValueError: it is something else: a node may write a file of this name itself.
        """
        try:
            if not isinstance(data, dict) or data["format"] != FORMAT:
                raise ValueError("not a record of inputs of a format known here")
            files = tuple(Input(file["key"], file["size"], file["sha1"]) for file in data["files"])
            record = cls(files, data["left_out"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a record of inputs: {error}") from None
        words = [word for file in files for word in (file.key, file.sha1)]
        numbers = [record.left_out, *(file.size for file in files)]
        if not all(isinstance(word, str) for word in words) or any(
            type(number) is not int for number in numbers
        ):
            raise ValueError("not a record of inputs: a field is of another type")
        return record


class Inputs:
    """Records what a node reads from storage; safe to use from several threads.

    A file is hashed when it is used, not later: by then the node may have changed it. It is hashed
    once, and again only where its size or time of modification is another.

    Args:
        run: the run's key; its own files are no inputs.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._files: dict[tuple[str, str], Input] = {}
        self._known: dict[str, tuple[int, int]] = {}
        self._written: set[str] = set()
        # Hashes of names: those of a million files would fill the node's memory.
        self._left_out: set[int] = set()

    def used(self, files: Iterable[tuple[str, Path]]) -> None:
        """Records files that the node is about to read.

        Args:
            files: keys, with where each lies on this machine.
        """
        for key, path in files:
            if not self._is_own(key):
                self._use(key, path)

    def used_tree(self, key: str, path: Path) -> None:
        """Records a local file, or all files below a local folder."""
        if not path.is_dir():
            self.used([(key, path)])
            return
        found = ((f"{key}/{name}", Path(item.path)) for name, item in walk(path))
        self.used((name, file) for name, file in found if file.is_file() and not is_part(name))

    def wrote(self, key: str) -> None:
        """Takes note that the node itself writes this file: read back, it is no input."""
        with self._lock:
            self._written.add(key)

    def record(self) -> InputsRecord:
        """All that was recorded so far."""
        with self._lock:
            return InputsRecord(tuple(self._files.values()), len(self._left_out))

    def save(self, folder: Path) -> None:
        """Writes `inputs.json` into the run's folder, where anything was read.

        What an earlier attempt recorded there stays in front: this attempt went on from it. A file
        of that name which the node wrote stays as it is. Nothing here ends a run: what goes wrong
        is a line in its log.
        """
        record = self.record()
        path = folder / INPUTS_FILE
        if not record.files:
            return
        try:
            if path.exists():
                record = _joined(InputsRecord.from_json(read_json(path.read_bytes())), record)
            aside = folder / part_name()
            aside.write_text(json.dumps(record.to_json(), indent=1), encoding="utf-8")
            aside.replace(path)
        except ValueError:
            logs.logger.warning("{} is the node's own: what it read is not recorded", INPUTS_FILE)
        except OSError as error:
            logs.logger.warning("what the node read is not recorded: {}", error)

    def _is_own(self, key: str) -> bool:
        return key.startswith(f"{self._run}/") or key in self._written

    def _use(self, key: str, path: Path) -> None:
        try:
            status = path.stat()
            looks = status.st_size, status.st_mtime_ns
            with self._lock:
                if self._known.get(key) == looks:
                    return
                if len(self._files) >= LIMIT:
                    self._left_out.add(hash(key))
                    return
            with FileSource(path) as source:
                found = Input(key, source.size, source.sha1())
        except (OSError, StorageError) as error:
            logs.logger.warning("{} is not recorded as read: {}", key, error)
            return
        with self._lock:
            self._known[key] = looks
            self._files.setdefault((key, found.sha1), found)


def _joined(earlier: InputsRecord, later: InputsRecord) -> InputsRecord:
    files = {(file.key, file.sha1): file for file in (*earlier.files, *later.files)}
    kept = tuple(files.values())[:LIMIT]
    left_out = earlier.left_out + later.left_out + len(files) - len(kept)
    return InputsRecord(kept, left_out)
