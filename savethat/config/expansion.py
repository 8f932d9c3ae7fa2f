"""Variables in settings: `$NAME` and `${NAME}`; `$$` is a literal `$`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from savethat.errors import ConfigError

# Compiled when one is first met: most settings have no variable, and each takes half a millisecond.
_VARIABLE = (
    r"\$(?:(?P<dollar>\$)|\{(?P<braced>[A-Za-z_]\w*)\}|(?P<plain>[A-Za-z_]\w*)|(?P<broken>\{))"
)
_PROJECT_ROOT = r"\$(?:\{PROJECT_ROOT\}|PROJECT_ROOT\b)"


def expand(text: str, root: Path, environ: Mapping[str, str], where: str) -> str:
    """`text` with its variables replaced; `PROJECT_ROOT` is `root`, whatever the environment says.

    Args:
        text: what the setting says.
        root: the project root.
        environ: the environment of the process that uses the setting.
        where: file and key, for the error.

    Raises:
        ConfigError: a variable is not set, or `${` is not followed by a name and `}`.
    """

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["broken"]:
            raise ConfigError(f"{where}: ${{ is not followed by a variable's name and }}", _LITERAL)
        name = match["braced"] or match["plain"]
        if name == "PROJECT_ROOT":
            return str(root)
        if name not in environ:
            raise ConfigError(f"{where}: the environment variable {name} is not set", _UNSET)
        return environ[name]

    return re.sub(_VARIABLE, value, text, flags=re.ASCII) if "$" in text else text


def expand_project_root(text: str, root: Path) -> str:
    """`text` with only `PROJECT_ROOT` replaced: in shell lines the other `$` are the shell's."""
    return re.sub(_PROJECT_ROOT, lambda _: str(root), text, flags=re.ASCII)


_LITERAL = "write $$ for a literal $"
_UNSET = f"set it, or {_LITERAL}"
