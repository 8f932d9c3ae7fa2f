"""Other local packages that this process has imported: editable installs, as PEP 610 has them."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from savethat.config import Config


@dataclasses.dataclass(frozen=True)
class Editable:
    """An editable install.

    Args:
        name: of the distribution.
        version: of the distribution.
        folder: where its code is, absolute.
        url: the same as it was recorded.
        modules: the files of its modules that were imported, absolute.
        paths: the folders they are found through, as on `sys.path`; empty where an import hook
            finds them in another way.
    """

    name: str
    version: str
    folder: Path
    url: str
    modules: tuple[Path, ...]
    paths: tuple[Path, ...]


def editables(config: Config) -> tuple[Editable, ...]:
    """Those that this process has imported from, without the project itself and savethat."""
    root = Path(os.path.realpath(config.root))
    found = []
    modules: list[tuple[str, Path]] | None = None
    for name, version, url, folder in _installed():
        if folder == root or name == "savethat":
            continue
        if modules is None:
            modules = list(_imported())
        own = [(module, path) for module, path in modules if path.is_relative_to(folder)]
        # The project's own modules, where it lies in the package's folder.
        if root.is_relative_to(folder):
            own = [(module, path) for module, path in own if not path.is_relative_to(root)]
        if own:
            paths = {base for module, path in own if (base := _base(module, path))}
            files = sorted({path for _, path in own})
            found.append(Editable(name, version, folder, url, tuple(files), tuple(sorted(paths))))
    return tuple(sorted(found, key=lambda one: one.name))


def _installed() -> Iterator[tuple[str, str, str, Path]]:
    """Name, version, URL and folder of every editable install."""
    for distribution in metadata.distributions():
        try:
            text = distribution.read_text("direct_url.json")
            if not text:
                continue
            origin = json.loads(text)
            url = str(origin["url"])
            if not origin.get("dir_info", {}).get("editable") or not url.startswith("file:"):
                continue
            folder = Path(os.path.realpath(unquote(urlsplit(url).path)))
            yield distribution.metadata["Name"], distribution.version, url, folder
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not as PEP 610 has it: it is none


def _imported() -> Iterator[tuple[str, Path]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and name != "__main__":
            yield name, Path(os.path.realpath(file))


def _base(module: str, path: Path) -> Path | None:
    """The folder on `sys.path` through which `path` is found as `module`."""
    parts = module.split(".")
    is_package = path.name.startswith("__init__.")
    folder = path.parent.parent if is_package else path.parent
    last = path.parent.name if is_package else path.name.partition(".")[0]
    above = Path(*parts[:-1])
    if last != parts[-1] or Path(*folder.parts[len(folder.parts) - len(above.parts) :]) != above:
        return None
    return folder.parents[len(above.parts) - 1] if above.parts else folder
