"""Settings laid over each other, and what they amount to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savethat.config.expansion import expand, expand_project_root
from savethat.config.files import read_toml
from savethat.config.model import (
    DEFAULT_REALM,
    B2Config,
    CodeConfig,
    Config,
    QueueConfig,
    SlurmConfig,
    SlurmOptions,
)
from savethat.errors import ConfigError

SECRETS = ("b2_key_id", "b2_key")
_PACKAGE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_BUCKET = r"[A-Za-z0-9.-]+"
# Control characters, the backslash, and what UTF-8 cannot say.
_FORBIDDEN = r"[\x00-\x1f\x7f\\\ud800-\udfff]"
# B2's names have at most 1,024 bytes, b2sdk's 1,000 with at most 250 between two slashes: what
# is left is for the run's key and the names of its files.
_PREFIX_LIMIT = 400
_SEGMENT_LIMIT = 250


def absolute(path: Path) -> Path:
    """`path` without `..`, absolute, its symlinks kept.

    A cluster's nodes may mount the same files elsewhere: only the link's name holds on all.
    """
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 (resolve follows symlinks)


class Settings:
    """Checked settings, laid over each other, with who said each."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = environ
        self._values: dict[str, Any] = {}
        self._sources: dict[tuple[str, ...], str] = {}

    def lay(self, layer: Mapping[str, Any], source: str) -> None:
        """Put `layer`, which `source` says and `schema.check` passed, over what is there."""
        self._merge(self._values, layer, source, ())

    def _merge(
        self, below: dict[str, Any], layer: Mapping[str, Any], source: str, path: tuple[str, ...]
    ) -> None:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                self._merge(below.setdefault(key, {}), value, source, (*path, key))
            else:
                below[key] = value
                self._sources[(*path, key)] = source

    def _where(self, *path: str) -> str:
        source = self._sources[path]
        return source if source.startswith("SAVETHAT_") else f"{source}: {'.'.join(path)}"

    def text(self, key: str) -> str | None:
        """A string setting, expanded."""
        value = self._values.get(key)
        return None if value is None else self._expand(value, key)

    def _expand(self, value: str, *path: str) -> str:
        where = self._where(*path)
        expanded = expand(value, self._root, self._environ, where).strip()
        if not expanded:
            raise ConfigError(f"{where} expands to nothing", "give it a value, or leave it out")
        return expanded

    def config(self, files: tuple[Path, ...]) -> Config:
        """The configuration; `files` are those it was read from.

        Raises:
            ConfigError: a value cannot be used; names who said it, and the key.
        """
        package = self._package()
        chosen = {
            key: self._values[key]
            for key in ("scratch", "sync_every", "keep_local", "sync")
            if key in self._values
        }
        return Config(
            root=self._root,
            package=package,
            local_path=self._local_path(),
            b2=self._b2(package),
            slurm=self._slurm(),
            queue=QueueConfig(**self._values.get("queue", {})),
            code=self._code(),
            files=files,
            **chosen,
        )

    def _package(self) -> str | None:
        package = self.text("package")
        if package is None:
            return _default_package(self._root)
        if not re.fullmatch(_PACKAGE, package):
            raise ConfigError(
                f"{self._where('package')}: {package!r} is not the name of a package",
                "write it as in an import statement",
            )
        return package

    def _local_path(self) -> Path:
        text = self.text("local_path")
        if text is None:
            return self._root / "data_storage"
        try:
            return absolute(self._root / Path(text).expanduser())
        except RuntimeError as error:
            raise ConfigError(f"{self._where('local_path')}: {error}") from error

    def _b2(self, package: str | None) -> B2Config | None:
        bucket = self.text("b2_bucket")
        if bucket is None:
            # A variable may be meant for another project; a line in a file is meant for this one.
            for key in ("b2_prefix", "b2_key_id", "b2_key", "b2_realm"):
                if key in self._values and not self._sources[(key,)].startswith("SAVETHAT_"):
                    raise ConfigError(
                        f"{self._where(key)} is set, but b2_bucket is missing",
                        "set b2_bucket, or leave out every b2_ key for a local-only project",
                    )
            return None
        if not re.fullmatch(_BUCKET, bucket):
            raise ConfigError(
                f"{self._where('b2_bucket')}: {bucket!r} is not the name of a bucket",
                "give the name alone; a folder in the bucket is b2_prefix",
            )
        prefix = self.text("b2_prefix")
        if prefix is None:
            prefix = _check_prefix(package or self._root.name, "the default of b2_prefix")
        else:
            prefix = _check_prefix(prefix, self._where("b2_prefix"))
        realm = self.text("b2_realm") or DEFAULT_REALM
        if realm != DEFAULT_REALM:
            realm = _check_realm(realm, self._where("b2_realm"))
        return B2Config(bucket=bucket, prefix=prefix, realm=realm)

    def _slurm(self) -> SlurmConfig:
        table = self._values.get("slurm", {})
        options = {k: v for k, v in table.items() if k not in ("presets", "clusters", "setup")}
        setup = self._options({"setup": table.get("setup", ())}, "slurm")["setup"]
        assert isinstance(setup, tuple)
        return SlurmConfig(
            defaults=self._options(options, "slurm"),
            presets=self._named_options(table, "presets"),
            clusters=self._named_options(table, "clusters"),
            setup=setup,
        )

    def _named_options(self, slurm: Mapping[str, Any], kind: str) -> dict[str, SlurmOptions]:
        return {
            name: self._options(table, "slurm", kind, name)
            for name, table in slurm.get(kind, {}).items()
        }

    def _options(self, table: Mapping[str, Any], *path: str) -> SlurmOptions:
        options: SlurmOptions = {}
        for key, value in table.items():
            if key == "setup":
                options[key] = tuple(expand_project_root(line, self._root) for line in value)
            elif isinstance(value, str):
                options[key] = self._expand(value, *path, key)
            else:
                options[key] = value
        return options

    def _code(self) -> CodeConfig:
        table = dict(self._values.get("code", {}))
        for key in ("include", "exclude"):
            if key in table:
                table[key] = tuple(self._expand(glob, "code", key) for glob in table[key])
        return CodeConfig(**table)


def _default_package(root: Path) -> str | None:
    pyproject = root / "pyproject.toml"
    if pyproject.is_file():
        project = read_toml(pyproject).get("project", {})
        name = project.get("name") if isinstance(project, Mapping) else None
        if isinstance(name, str) and re.fullmatch(_PACKAGE, name.replace("-", "_")):
            return name.replace("-", "_")
    name = root.name.replace("-", "_")
    places = (root / name, root / "src" / name)
    return name if any((place / "__init__.py").is_file() for place in places) else None


def _check_prefix(text: str, where: str) -> str:
    prefix = text.strip("/")
    segments = prefix.split("/")
    if not prefix or any(segment in ("", ".", "..") for segment in segments):
        problem = "is not a folder's name"
    elif re.search(_FORBIDDEN, prefix):
        problem = "has a character that B2 does not allow in names"
    elif len(prefix.encode()) > _PREFIX_LIMIT or any(
        len(segment.encode()) > _SEGMENT_LIMIT for segment in segments
    ):
        problem = f"is longer than {_PREFIX_LIMIT} bytes, or {_SEGMENT_LIMIT} between two slashes"
    else:
        return prefix
    raise ConfigError(f"{where} {problem}: {text!r}", "set b2_prefix to a folder in the bucket")


def _check_realm(text: str, where: str) -> str:
    from urllib.parse import urlsplit  # 4 ms, and hardly any project has a realm

    try:
        url = urlsplit(text)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    # A name and password in it would be written wherever the configuration is.
    if not valid or "@" in text:
        raise ConfigError(
            f"{where} must be {DEFAULT_REALM!r} or the URL of a server, without a user name"
        )
    return text.rstrip("/")
