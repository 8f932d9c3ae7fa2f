"""Takes an archive apart, trusting nothing in it but its hash."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from savethat.code.plan import MOST_BYTES
from savethat.errors import StorageError

_CHUNK = 1 << 20
# A capsule has at most MOST_BYTES in its files, and 512 to 1,535 bytes a file around them.
_MOST_UNPACKED = 4 * MOST_BYTES
# What only a name can be the reason of that is in the archive.
_NAMES = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EINVAL, errno.ELOOP}


def extract(archive: Path, name: str, folder: Path) -> None:
    """Writes a capsule's files into an empty folder.

    Raises:
        StorageError: the archive cannot be read, is damaged, is not that capsule, or holds what a
            capsule never does; the folder may then hold a part of it, and nothing is outside.
        OSError: the folder cannot be written.
    """
    try:
        file = archive.open("rb")
    except OSError as error:
        raise StorageError(
            f"the code capsule {archive} cannot be read: {error.strerror}"
        ) from error
    with file:
        if _hash(file, archive) != name:
            raise _damaged(archive, "its content is not what its name stands for")
        file.seek(0)
        try:
            # One pass, because to go back in what is compressed is to begin again.
            with tarfile.open(
                fileobj=gzip.GzipFile(fileobj=file), mode="r|", encoding="utf-8"
            ) as members:
                _write(members, folder, archive)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            raise _damaged(archive, str(error)) from error
        except OSError as error:
            if error.errno in _NAMES:
                raise _damaged(archive, f"it holds a name of no file: {error.strerror}") from error
            raise


def _hash(file: BinaryIO, archive: Path) -> str:
    hashed = hashlib.sha256()
    size = 0
    try:
        with gzip.GzipFile(fileobj=file) as content:
            while chunk := content.read(_CHUNK):
                hashed.update(chunk)
                size += len(chunk)
                # A few kilobytes may unpack to more than any disk has.
                if size > _MOST_UNPACKED:
                    raise _damaged(archive, "it is larger than any capsule")
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(archive, str(error)) from error
    return hashed.hexdigest()[:32]


def _write(members: tarfile.TarFile, folder: Path, archive: Path) -> None:
    links: dict[PurePosixPath, str] = {}
    made = {PurePosixPath()}
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in member.name:
            raise _damaged(archive, f"it holds a file that leads out of it: {member.name!r}")
        if member.issym():
            links[path] = member.linkname
            continue
        # Not isreg(), which takes sparse files too: a few bytes of them are a full disk.
        is_file = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
        content = members.extractfile(member) if is_file else None
        if content is None:
            raise _damaged(archive, f"it holds something that is not a file: {member.name!r}")
        if path.parent not in made:
            (folder / path.parent).mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        mode = 0o755 if member.mode & 0o100 else 0o644
        try:
            descriptor = os.open(folder / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError as error:
            raise _damaged(archive, f"it holds {member.name!r} twice") from error
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            shutil.copyfileobj(content, file, _CHUNK)
    # Last, so that nothing was written through one.
    _link(links, folder, archive)


def _link(links: dict[PurePosixPath, str], folder: Path, archive: Path) -> None:
    real = Path(os.path.realpath(folder))
    for path, target in links.items():
        by_words = Path(os.path.normpath(folder / path.parent / target))
        if (
            PurePosixPath(target).is_absolute()
            or not by_words.is_relative_to(folder)
            or any(parent in links for parent in path.parents)
        ):
            raise _damaged(archive, f"it holds a link that leads out of it: {str(path)!r}")
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.symlink_to(target)
        except FileExistsError as error:
            raise _damaged(archive, f"it holds {str(path)!r} twice") from error
    for path in links:
        # One that stays inside by its words may lead out by way of another.
        if not Path(os.path.realpath(folder / path)).is_relative_to(real):
            for link in links:
                (folder / link).unlink()
            raise _damaged(archive, f"it holds a link that leads out of it: {str(path)!r}")


def _damaged(archive: Path, why: str) -> StorageError:
    return StorageError(
        f"the code capsule {archive} is damaged: {why}",
        "remove that file; the next launch stores it again",
    )
