"""What a run's record says of its environment, as an installer can be asked for it.

A record is read from a bucket that others may write to: names, versions and addresses are taken
only where they look like such, so that none can become an option of the installer.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from savethat.errors import SavethatError

# Other packages of an environment are there because someone asked for them; these come with it.
SEEDED = frozenset({"pip", "setuptools", "wheel"})
OWN = "savethat"

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_PYTHON = re.compile(r"(3\.\d+)(\.\d+)?\S*")
_URL = re.compile(r"(https?|ssh|git)://[^\s;#]+")
_COMMIT = re.compile(r"[0-9A-Za-z]+")
_FOLDER = re.compile(r"[^\s;#&]+")
# Where conda's packages were built, on machines of others. They are on the index, too.
_CONDA = re.compile(r"/(feedstock_root|croot|conda-bld|_build_env)/")


@dataclasses.dataclass(frozen=True)
class LocalPackage:
    """A package that was installed from a folder or a file of the machine.

    Args:
        name: the package's.
        version: that it had.
        path: the folder, or the wheel.
        editable: whether it was imported from there.
    """

    name: str
    version: str
    path: Path
    editable: bool


@dataclasses.dataclass(frozen=True)
class Requirements:
    """An environment, as recorded.

    Args:
        python: `3.12`.
        python_version: `3.12.1`.
        pinned: by name, the line that asks an installer for exactly this package.
        local: those from this machine's folders.
        seeded: of the packages that environments come with, the versions.
        own: the version of savethat; None where it was not installed.
        differences: sentences on what cannot be had as it was.
    """

    python: str
    python_version: str
    pinned: Mapping[str, str]
    local: tuple[LocalPackage, ...] = ()
    seeded: Mapping[str, str] = dataclasses.field(default_factory=dict)
    own: str | None = None
    differences: tuple[str, ...] = ()


def canonical(name: str) -> str:
    """A package's name as installers compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(provenance: Mapping[str, Any]) -> Requirements:
    """What a run's `reproducible.json` says of its environment.

    Raises:
        SavethatError: it names no Python or no packages, or what it names is not what it should be.
    """
    python, packages = provenance.get("python"), provenance.get("packages")
    version = str(python.get("version")) if isinstance(python, Mapping) else ""
    match = _PYTHON.fullmatch(version)
    if match is None or not isinstance(packages, Mapping) or not packages:
        raise _unusable("it names no Python 3, or no packages")
    origins = provenance.get("direct_urls")
    found = _Found()
    for name, package_version in packages.items():
        if not isinstance(package_version, str) or not (
            _NAME.fullmatch(name) and _VERSION.fullmatch(package_version)
        ):
            raise _unusable(f"{name!r} {package_version!r} is no package")
        origin = origins.get(name) if isinstance(origins, Mapping) else None
        found.add(name, package_version, origin if isinstance(origin, Mapping) else {})
    return Requirements(
        match[1],
        version,
        dict(sorted(found.pinned.items())),
        tuple(sorted(found.local, key=lambda package: package.name)),
        found.seeded,
        found.own,
        tuple(found.differences),
    )


class _Found:
    def __init__(self) -> None:
        self.pinned: dict[str, str] = {}
        self.local: list[LocalPackage] = []
        self.seeded: dict[str, str] = {}
        self.own: str | None = None
        self.differences: list[str] = []

    def add(self, name: str, version: str, origin: Mapping[str, Any]) -> None:
        """Takes in a recorded package."""
        key = canonical(name)
        url, commit = str(origin.get("url") or ""), origin.get("commit")
        if key == OWN:
            self.own = version
        elif key in SEEDED:
            self.seeded[key] = version
        elif not url:
            self.pinned[key] = f"{key}=={version}"
        elif url.startswith("file://"):
            self._add_local(key, version, url, editable=bool(origin.get("editable")))
        elif not _URL.fullmatch(url) or not (commit is None or _COMMIT.fullmatch(str(commit))):
            self.differences.append(f"{name} {version} is left out: {url} is no address")
        elif commit is None:
            self.pinned[key] = f"{key} @ {url}"
        else:
            folder = str(origin.get("subdirectory") or "")
            below = f"#subdirectory={folder}" if _FOLDER.fullmatch(folder) else ""
            self.pinned[key] = f"{key} @ git+{url}@{commit}{below}"

    def _add_local(self, key: str, version: str, url: str, *, editable: bool) -> None:
        path = Path(unquote(urlsplit(url).path))
        if path.exists():
            self.local.append(LocalPackage(key, version, path, editable))
        elif _CONDA.search(str(path)) and not editable:
            self.pinned[key] = f"{key}=={version}"
        else:
            self.differences.append(f"{key} {version} is left out: {path} is not there any more")


def _unusable(why: str) -> SavethatError:
    return SavethatError(
        f"the run's record does not tell its environment: {why}",
        "--here takes the present environment",
    )
