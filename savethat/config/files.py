"""TOML files, read with errors that name file and line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from savethat.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML 1.0 file.

    Raises:
        ConfigError: the file cannot be read, or is not TOML; names the file, and the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path} is not UTF-8 text (at line {line})", "save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        # At the end of the file the parser names no line.
        last = f"at line {len(data.splitlines()) or 1}, the end of the file"
        message = str(error).replace("at end of document", last)
        raise ConfigError(f"{path} is not valid TOML: {message}", "correct that line") from error
