"""Finds secrets wherever they may have ended up: in files, archives, processes, and a bucket.

A secret is looked for as it is, in base64 (wherever in the encoded text it begins), hex, URL and
JSON escapes, and as UTF-16; compressed files and archives are opened first.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import io
import json
import lzma
import os
import re
import tarfile
import threading
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# Archives in archives in archives are looked into, no further.
_DEPTH = 4
_LARGEST = 64_000_000
_PAUSE = 0.005


def encodings(secret: str) -> set[bytes]:
    """What to look for: the secret in every form in which it may be written down."""
    raw, escaped = secret.encode(), json.dumps(secret)[1:-1]
    forms = {
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        urllib.parse.quote(secret, safe="").encode(),
        re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote(secret, safe="")).encode(),
        escaped.encode(),
        escaped.replace("/", "\\/").encode(),
        # A line of a log, say, that was a message in JSON itself.
        json.dumps(escaped)[1:-1].encode(),
        secret.encode("utf-16-le"),
    }
    for before in range(3):
        # Base64 takes three bytes at a time: those it shares with what stands around are left out.
        encoded = base64.b64encode(b"\0" * before + raw)
        inner = encoded[(before * 8 + 5) // 6 : (before + len(raw)) // 3 * 4]
        forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


class Secrets:
    """Looks for secrets.

    Args:
        secrets: the texts that must not be found.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._pattern = re.compile(
            b"|".join(re.escape(form) for secret in secrets for form in encodings(secret))
        )

    def within(self, data: bytes, depth: int = 0) -> bool:
        """Whether a secret is in the data, or in what is packed in it."""
        if self._pattern.search(data):
            return True
        # Lines of base64, as in e-mail, and lines that JSON or a program has broken.
        if depth == 0 and self._pattern.search(re.sub(rb"\\?[\r\n]+\s*", b"", data)):
            return True
        return depth < _DEPTH and any(self.within(part, depth + 1) for part in _unpacked(data))

    def in_files(self, folders: Iterable[Path], *, since: float = 0.0) -> list[Path]:
        """The files below these folders, changed since then, that hold a secret, or are named so.

        A folder may be a file. What vanishes meanwhile is not there.
        """
        return sorted({path for path in _files(folders, since) if self._in_file(path)})

    def _in_file(self, path: Path) -> bool:
        try:
            data = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
        except OSError:
            data = b""
        return self.within(data) or self.within(os.fsencode(path.name))


def _files(folders: Iterable[Path], since: float) -> Iterator[Path]:
    for folder in folders:
        for path in [folder, *(folder.rglob("*") if folder.is_dir() else ())]:
            try:
                if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since:
                    yield path
            except OSError:
                continue


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What is packed in the data, as far as it can be unpacked."""
    readers: list[tuple[bytes, Callable[[bytes, int], bytes]]] = [
        (b"\x1f\x8b", zlib.decompressobj(zlib.MAX_WBITS | 16).decompress),
        (b"BZh", bz2.BZ2Decompressor().decompress),
        (b"\xfd7zXZ", lzma.LZMADecompressor().decompress),
        (b"\x78", zlib.decompressobj().decompress),
    ]
    with contextlib.suppress(OSError, EOFError, zlib.error, lzma.LZMAError):
        for magic, unpack in readers:
            if data.startswith(magic):
                yield unpack(data, _LARGEST)
    with contextlib.suppress(zipfile.BadZipFile, tarfile.TarError, zlib.error):
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for info in archive.infolist():
                    if info.file_size <= _LARGEST:
                        yield archive.read(info)
        if data[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    yield member.name.encode()
                    if member.isfile() and (file := tar.extractfile(member)):
                        yield file.read()


class Found(NamedTuple):
    """A process that has a secret in its argv or its environment (`where`).

    `lineage` holds the command lines of the process and of its parents.
    """

    where: str
    lineage: tuple[str, ...]


class Watch(threading.Thread):
    """Looks at all processes of the machine, again and again, while it is entered.

    Args:
        secrets: what to look for.
    """

    def __init__(self, secrets: Secrets) -> None:
        super().__init__(name="watch", daemon=True)
        self._secrets = secrets
        self._over = threading.Event()
        self._clean: set[tuple[int, bytes, bytes]] = set()
        self.found: set[Found] = set()
        # Every command line that was seen: what was watched.
        self.seen: set[str] = set()

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Looks until it is left."""
        while not self._over.is_set():
            for entry in os.scandir("/proc"):
                if entry.name.isdecimal() and int(entry.name) != os.getpid():
                    self._look(int(entry.name))
            time.sleep(_PAUSE)

    def _look(self, pid: int) -> None:
        parent = _parent(pid)
        argv = _read(pid, "cmdline")
        environ = _read(pid, "environ")
        # One that became another program in between would have the environment of the one, and
        # the name of the other.
        if not argv or _read(pid, "cmdline") != argv or (pid, argv, environ) in self._clean:
            return
        self.seen.add(_words(argv))
        places = {"argv": argv, "environment": environ}
        bad = [where for where, data in places.items() if self._secrets.within(data)]
        if bad:
            lineage = _words(argv), *_lineage(parent)
            self.found |= {Found(where, lineage) for where in bad}
        else:
            self._clean.add((pid, argv, environ))


def _lineage(pid: int) -> Iterator[str]:
    while pid > 1:
        yield _words(_read(pid, "cmdline"))
        pid = _parent(pid)


def _parent(pid: int) -> int:
    # The program's name, in parentheses, may have spaces and parentheses of its own.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _words(argv: bytes) -> str:
    return argv.replace(b"\0", b" ").decode(errors="replace").strip()
