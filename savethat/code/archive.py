"""Captures a project's code as an archive that is named by its content."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import tempfile
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from savethat import cache
from savethat.code import manifest, tar
from savethat.code.editable import Editable, editables
from savethat.code.files import list_code
from savethat.code.packages import Package, packed
from savethat.code.plan import Item, check_size, planned
from savethat.code.reading import ContentReader, SkippedError
from savethat.config import Config
from savethat.config.expansion import expand
from savethat.errors import ConfigError, StorageError

# What changes with what savethat makes of the same files.
_VERSION = 1
# Time stamps are as coarse as 2 s on some file systems: what changed so shortly before it was
# looked at may have changed again without a trace.
_COARSE_NS = 2_500_000_000
_PART = ".savethat-part-"
_ABANDONED = 24 * 3600.0
_CHUNK = 1 << 20
_SHORTEST_SECRET = 16


@dataclasses.dataclass(frozen=True)
class Capsule:
    """A project's code at one moment.

    Args:
        name: 32 hex digits that stand for the content.
        archive: the file, `<name>.tar.gz`.
        size: bytes of all files in it.
        files: how many files and links are in it.
        warnings: what the user should know of it.
        packages: other local packages that the code imports.
    """

    name: str
    archive: Path
    size: int
    files: int
    warnings: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()


def capture(
    config: Config,
    folder: Path,
    *,
    secrets: Sequence[str] = (),
    extra: Sequence[Editable] | None = None,
) -> Capsule:
    """Captures the project's code as it is now.

    Where nothing has changed since the last time, no file is read.

    Args:
        config: the project's.
        folder: where the archive goes, unless it is there; made if it is missing.
        secrets: the project's credentials, which stand in no captured file.
        extra: other local packages to record; None: those that this process has imported.

    Raises:
        UsageError: the code is too large, cannot be read, or holds a secret.
        StorageError: the archive cannot be written.
    """
    began = time.time_ns()
    # What is shorter is no application key of B2's, and may be any word.
    secrets = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
    apart = [config.local_path, folder, *_scratch(config), *_overriding(config)]
    settings = frozenset(map(str, config.files))
    listing = list_code(config.root, config.code, apart)
    warnings: list[str] = []
    items = planned(config.root, listing.files, settings, "", warnings)
    own = {item.name for item in items}
    found = editables(config) if extra is None else extra
    packages, others = packed(config, found, own, apart, warnings)
    items = sorted(items + others)
    check_size(items, sum(item.size for item in items))
    paths = [".", "src"] if any(name.startswith("src/") for name in own) else ["."]
    head = manifest.written(paths, [one.for_manifest() for one in packages], warnings)
    fingerprint = hashlib.sha256(
        repr((_VERSION, head, sorted(secrets), str(folder), items)).encode(errors="surrogateescape")
    ).hexdigest()
    warnings = [*listing.warnings, *warnings]
    capsule = _remembered(config.root, folder, fingerprint)
    if capsule is None:
        capsule, is_steady, clock_behind = _written(folder, items, head, secrets, warnings)
        if is_steady and not _is_racy(items, began - clock_behind):
            _remember(config.root, fingerprint, capsule)
    # Names that are not UTF-8 cannot be printed as they are.
    told = tuple(warning.encode(errors="backslashreplace").decode() for warning in warnings)
    return dataclasses.replace(capsule, warnings=told, packages=tuple(packages))


def _written(
    folder: Path,
    items: Sequence[Item],
    head: bytes,
    secrets: Sequence[str],
    warnings: list[str],
) -> tuple[Capsule, bool, int]:
    """The capsule; whether no file changed meanwhile; by how many ns the folder's clock is late."""
    reader = ContentReader(secrets)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(folder)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=_PART)
        aside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                behind = max(0, time.time_ns() - os.fstat(descriptor).st_mtime_ns)
                archive = _ArchiveWriter(file)
                archive.add_file(manifest.NAME, head, 0o644)
                skipped = _fill(archive, items, reader, warnings)
                digest = archive.close()
            path = folder / f"{digest}.tar.gz"
            if _size(path) == aside.stat().st_size:
                aside.unlink()
            else:
                aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"the code cannot be frozen: {error.filename or folder}: {error.strerror}",
            "set local_path in savethat.toml to a folder you may write to",
        ) from error
    warnings += [f"changed while it was read: {name}" for name in reader.unsteady]
    capsule = Capsule(digest, path, archive.size - len(head), archive.files - 1)
    return capsule, not skipped and not reader.unsteady, behind


def _fill(
    archive: _ArchiveWriter, items: Sequence[Item], reader: ContentReader, warnings: list[str]
) -> bool:
    """Adds the items; whether some had to be skipped."""
    skipped = False
    for item in items:
        try:
            data = reader.content(item)
        except SkippedError as error:
            skipped = True
            warnings += filter(None, [str(error)])
            continue
        if item.link is not None:
            archive.add_link(item.name, item.link)
        else:
            archive.add_file(item.name, data, item.mode)
            # They may have grown since they were looked at.
            check_size(items, archive.size)
    return skipped


class _ArchiveWriter:
    """Writes a tar, compressed, whose bytes are a function of what is added."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # A gzip header without a name and a time.
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.size = self.files = 0

    def add_file(self, name: str, data: bytes, mode: int) -> None:
        """Adds a file."""
        self.size += len(data)
        self.files += 1
        self._add(tar.file_header(name, len(data), mode), data, tar.padding(len(data)))

    def add_link(self, name: str, target: str) -> None:
        """Adds a symbolic link."""
        self.files += 1
        self._add(tar.link_entry(name, target))

    def close(self) -> str:
        """Completes the file, which stays open; the name for the content."""
        self._add(tar.END)
        self._flush()
        self._file.write(self._packer.flush())
        return self._hash.hexdigest()[:32]

    def _add(self, *parts: bytes) -> None:
        self._waiting += parts
        self._waiting_bytes += sum(map(len, parts))
        if self._waiting_bytes >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._hash.update(data)
        self._file.write(self._packer.compress(data))
        self._waiting, self._waiting_bytes = [], 0


def _scratch(config: Config) -> list[Path]:
    """The folder for scratch, where it is known on this machine; runs may be there."""
    try:
        text = expand(config.scratch or "", config.root, os.environ, "scratch")
    except ConfigError:
        return []  # only a job has it
    return [config.root / text] if text else []


def _overriding(config: Config) -> list[Path]:
    """`savethat.local.toml`, or what it is called where the project's file has another name."""
    return [path for path in config.files if path.stem.endswith(".local")]


def _is_racy(items: Iterable[Item], looked_at: int) -> bool:
    """Whether a file was changed so shortly before that another change might not show."""
    return any(max(item.state[2:4]) > looked_at - _COARSE_NS for item in items)


def _remembered(root: Path, folder: Path, fingerprint: str) -> Capsule | None:
    """The capsule of exactly these files in these states, if its archive is still whole."""
    try:
        known = cache.read(_memory(root))
        path = folder / f"{known['name']}.tar.gz"
        if known["fingerprint"] != fingerprint or _size(path) != known["bytes"]:
            return None
        return Capsule(known["name"], path, known["size"], known["files"])
    # Another version's, or damaged.
    except (TypeError, KeyError, ValueError):
        return None


def _remember(root: Path, fingerprint: str, capsule: Capsule) -> None:
    known = {
        "fingerprint": fingerprint,
        "name": capsule.name,
        "bytes": _size(capsule.archive),
        "size": capsule.size,
        "files": capsule.files,
    }
    cache.write(_memory(root), known)


def _memory(root: Path) -> str:
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:24]
    return f"code-{name}.json"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _clear_abandoned(folder: Path) -> None:
    """Removes what captures left that were killed."""
    for path in folder.glob(f"{_PART}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
