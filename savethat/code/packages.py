"""Other local packages as a part of the capsule."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from savethat.code.editable import Editable
from savethat.code.files import list_code
from savethat.code.manifest import PACKAGES
from savethat.code.plan import Item, planned
from savethat.code.secrets import is_secret
from savethat.config import CodeConfig, Config
from savethat.errors import UsageError

MOST_PACKAGE_BYTES = 10_000_000


@dataclasses.dataclass(frozen=True)
class Package:
    """Another local package that the project's code imports.

    Args:
        name: of the distribution.
        version: of the distribution.
        folder: where its code is on this machine.
        url: the same as it was recorded when it was installed.
        captured: whether its files are in the capsule.
        paths: what belongs on `sys.path` for it, relative to the capsule.
    """

    name: str
    version: str
    folder: Path
    url: str
    captured: bool
    paths: tuple[str, ...]

    def for_manifest(self) -> dict[str, Any]:
        """What does not depend on the machine."""
        return {
            "name": self.name,
            "version": self.version,
            "captured": self.captured,
            "paths": list(self.paths),
        }


def packed(
    config: Config,
    extra: Sequence[Editable],
    own: Container[str],
    apart: Sequence[Path],
    warnings: list[str],
) -> tuple[list[Package], list[Item]]:
    """The packages, and the items of those that are captured.

    Args:
        config: the project's.
        extra: the packages.
        own: the names of the project's files that are in the capsule.
        apart: folders that never enter.
        warnings: gets why a package is not captured.
    """
    root = Path(os.path.realpath(config.root))
    packages, items = [], []
    for one in extra:
        if one.folder.is_relative_to(root):
            missing = [p for p in one.modules if str(p.relative_to(root)) not in own]
            why = f"{missing[0]} is not among the project's files" if missing else ""
            prefix, base = "", root
        else:
            prefix, base = f"{PACKAGES}/{one.name}/", one.folder
            found, why = _items(one, prefix, [*apart, root], warnings)
            items += found
        if not one.paths or not all(path.is_relative_to(base) for path in one.paths):
            why = "an import hook finds its modules"
        if why:
            items = [item for item in items if not prefix or not item.name.startswith(prefix)]
            warnings.append(f"the package {one.name} is not frozen: {why}")
        paths = () if why else tuple(f"{prefix}{p.relative_to(base)}" for p in one.paths)
        paths = tuple(path.removesuffix("/.") for path in paths)
        packages.append(Package(one.name, one.version, one.folder, one.url, not why, paths))
    return packages, items


def _items(
    one: Editable, prefix: str, apart: Sequence[Path], warnings: list[str]
) -> tuple[list[Item], str]:
    """The items of a package; or none, and why."""
    try:
        files = dict(list_code(one.folder, CodeConfig(), apart).files)
        # Compiled modules and generated versions, which git ignores: without them it would not
        # be the package that is imported here.
        for path in one.modules:
            name = str(path.relative_to(one.folder))
            if name not in files and not is_secret(name):
                files[name] = path.lstat()
    except (UsageError, OSError) as error:
        return [], str(error)
    items = planned(one.folder, files, frozenset(), prefix, warnings)
    size = sum(item.size for item in items)
    if size > MOST_PACKAGE_BYTES:
        most = MOST_PACKAGE_BYTES // 1_000_000
        return [], f"its files have {size / 1e6:.1f} MB, more than {most} MB"
    return items, ""
