"""The B2 application key: where it is looked for, and how it is kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savethat.config.files import read_toml
from savethat.config.model import KEY_VARIABLES, Config, Credentials
from savethat.config.project import read_credentials
from savethat.errors import ConfigError

_HINT = "run `savethat setup`, or set B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY"
_HEADER = "# Written by `savethat setup`: B2 application keys, by bucket.\n"


def credentials(config: Config, environ: Mapping[str, str] = os.environ) -> Credentials:
    """The application key for the project's bucket.

    The first of these that has one: `B2_APPLICATION_KEY_ID` and `B2_APPLICATION_KEY`;
    `SAVETHAT_B2_KEY_ID` and `SAVETHAT_B2_KEY`; the credentials file; `b2_key_id` and `b2_key` in
    the project's configuration files. Id and key are always taken from the same place.

    Raises:
        ConfigError: there is none, a place has only half of one, or the project has no bucket.
    """
    if config.b2 is None:
        raise ConfigError(
            f"the project at {config.root} is local-only: it needs no credentials",
            "set b2_bucket in savethat.toml to store runs on B2",
        )
    for id_name, key_name in (KEY_VARIABLES[:2], KEY_VARIABLES[2:]):
        if found := _pair(environ, id_name, key_name, "the environment"):
            return found
    path = credentials_file(environ)
    if found := _pair(_entry(_stored(path), config.b2.bucket, path), "key_id", "key", str(path)):
        return found
    named, table = read_credentials(config, environ)
    if found := _pair(table, "b2_key_id", "b2_key", named):
        return found
    raise ConfigError(f"there are no credentials for the B2 bucket {config.b2.bucket}", _HINT)


def in_environment_only(config: Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the project's key is nowhere but in the environment.

    Raises:
        ConfigError: there is none at all.
    """
    found = credentials(config, environ)
    rest = {name: text for name, text in environ.items() if name not in KEY_VARIABLES}
    try:
        return credentials(config, rest) != found
    except ConfigError:
        return True


def credentials_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where keys are kept: `SAVETHAT_CREDENTIALS`, or a file in the user's config folder."""
    if path := environ.get("SAVETHAT_CREDENTIALS"):
        return Path(path).expanduser()
    import platformdirs  # only a project with a bucket gets here

    return Path(platformdirs.user_config_dir("savethat", appauthor=False)) / "credentials.toml"


def store_credentials(
    bucket: str, credentials: Credentials, environ: Mapping[str, str] = os.environ
) -> Path:
    """Keep `credentials` for `bucket` in the credentials file, which only the user can read.

    Entries of other buckets stay; comments do not. Returns the file.

    Raises:
        ConfigError: the file that is there holds something else, or it cannot be written.
    """
    import secrets  # `savethat setup` alone gets here

    import toml  # the only place that writes TOML

    # A link that the user made to the file stays one.
    path = Path(os.path.realpath(credentials_file(environ)))
    entry = {"key_id": credentials.key_id, "key": credentials.key}
    stored = _stored(path)
    others = {name: dict(_entry(stored, name, path)) for name in stored if name != bucket}
    text = _HEADER + toml.dumps({**others, bucket: entry})
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _stored(path: Path) -> dict[str, Any]:
    return read_toml(path) if path.exists() else {}


def _entry(stored: Mapping[str, Any], bucket: str, path: Path) -> Mapping[str, Any]:
    entry = stored.get(bucket, {})
    if not isinstance(entry, Mapping) or not all(isinstance(v, str) for v in entry.values()):
        raise ConfigError(f"{path}: the entry of {bucket} is not a key_id and a key", _HINT)
    return entry


def _pair(table: Mapping[str, str], id_name: str, key_name: str, source: str) -> Credentials | None:
    key_id, key = (table.get(name, "").strip() for name in (id_name, key_name))
    if key_id and key:
        return Credentials(key_id, key)
    if key_id or key:
        there, missing = (id_name, key_name) if key_id else (key_name, id_name)
        raise ConfigError(
            f"{source} has {there} but not {missing}", f"set {missing} too, or neither"
        )
    return None
