"""TOML files, read with errors that name file and line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from savethat.errors import ConfigError
from savethat.untrusted import check_bounds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# People write such files by hand.
_LIMIT = 1024 * 1024
# tomllib's memory grows with the square of the number of a key's parts.
_PARTS = 64
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = rf"""(?<![\w"'-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{_PARTS},}}"""


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML 1.0 file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or is far larger or more deeply nested
            than any that people write; names the file, and the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _LIMIT:
        raise ConfigError(f"{path} is too large: more than {_LIMIT} bytes", _NOT_OURS)
    try:
        text = data.decode()
        if text.count(".") >= _PARTS and re.search(_LONG_KEY, text):
            raise ValueError("a key has too many parts")
        document = tomllib.loads(text)
        check_bounds(document)
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
    except (ValueError, RecursionError) as error:
        why = "it is too deeply nested" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{path} cannot be read: {why}", _NOT_OURS) from error
    return document


_NOT_OURS = "look whether it is the file that is meant"
