"""Where a project is, and from its files, the environment and options to one `Config`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savethat.config.files import read_toml
from savethat.config.model import PROJECT_DIR, Config
from savethat.config.schema import check, from_environment
from savethat.config.settings import SECRETS, Settings, absolute
from savethat.errors import ConfigError

FILE_NAME = "savethat.toml"
_ROOT_SIGNS = ("pyproject.toml", "setup.py", ".git")
_OPTIONS = "the given options"


def load(
    start: Path | None = None,
    *,
    env_file: Path | None = None,
    project: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration of the project that `start` lies in.

    The project root is the nearest folder upward with a `savethat.toml`; where there is none, the
    nearest with a `pyproject.toml`, `setup.py` or `.git`; else `start`. `savethat.toml` is
    overridden by `savethat.local.toml`, that by `SAVETHAT_<KEY>` variables, those by `overrides`.
    Tables are merged key by key, lists replaced.

    Args:
        start: where to look from; the current folder if None.
        env_file: the `savethat.toml` itself: its folder is the root, nothing is searched for.
        project: where to look from, as the user asked for it: goes before both.
        overrides: as in the file; a value of None counts as not given.
        environ: for `SAVETHAT_<KEY>` and the variables in settings.

    Raises:
        ConfigError: names the file, and the key or line.
    """
    root, main = _locate(start, env_file, project)
    local = main.with_name(f"{main.stem}.local{main.suffix}")
    files = tuple(path for path in (main, local) if path.is_file())
    settings = Settings(root, environ)
    for path in files:
        settings.lay(check(read_toml(path), str(path)), str(path))
    for key, (variable, value) in from_environment(environ).items():
        settings.lay({key: value}, variable)
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    for key in SECRETS:
        if key in given:
            raise ConfigError(
                f"{_OPTIONS}: {key} is not taken as an option", "run `savethat setup`"
            )
    settings.lay(check(given, _OPTIONS), _OPTIONS)
    return settings.config(files)


def project_dir() -> Path:
    """The folder of the project: in a node, of the project it was launched from.

    A queued node's code runs from a frozen copy, so that `__file__` lies there; this is where its
    data lies. Elsewhere it is what `savethat` commands take as the project.

    Raises:
        ConfigError: the project's configuration is wrong.
    """
    if folder := os.environ.get(PROJECT_DIR):
        return Path(folder)
    return load().root


def read_credentials(config: Config, environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """What the configuration files say of `b2_key_id` and `b2_key`, expanded, and who says it."""
    settings = Settings(config.root, environ)
    files = [path for path in config.files if path.is_file()]
    for path in files:
        settings.lay(check(read_toml(path), str(path)), str(path))
    found = {key: settings.text(key) for key in SECRETS}
    named = " and ".join(map(str, files))
    return named, {key: value for key, value in found.items() if value is not None}


def _locate(start: Path | None, env_file: Path | None, project: Path | None) -> tuple[Path, Path]:
    """The project root and its configuration file, which need not exist."""
    if project is None and env_file is not None:
        path = absolute(env_file)
        if path.is_dir():
            path /= FILE_NAME
        if not path.is_file():
            raise ConfigError(
                f"{path}: there is no such configuration file",
                "create it, or name none: it is then searched for, and everything has a default",
            )
        return path.parent, path
    if project is not None and not project.is_dir():
        raise ConfigError(f"{project}: there is no such project folder")
    folder = absolute(project or start or Path())
    above = (folder, *folder.parents)
    for signs in ((FILE_NAME,), _ROOT_SIGNS):
        for candidate in above:
            if any((candidate / sign).exists() for sign in signs):
                return candidate, candidate / FILE_NAME
    return folder, folder / FILE_NAME
