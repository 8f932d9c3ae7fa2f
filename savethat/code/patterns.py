"""Glob patterns of `[code] include` and `exclude`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path


def matcher(patterns: Sequence[str], root: Path) -> Callable[[str], object]:
    """Says whether a path, relative to `root`, is one that a pattern names.

    As in a `.gitignore`: `*` stops at a slash and `**` does not; a pattern without a slash, or with
    one at its end only, matches a name in any folder; one that matches a folder takes everything
    below it; a slash at the end matches folders only.
    """
    if not patterns:
        return lambda path: None
    return re.compile("|".join(_regex(one) for one in normal(patterns, root)), re.DOTALL).fullmatch


def normal(patterns: Sequence[str], root: Path) -> list[str]:
    """The patterns, those that spell out `root` made relative to it.

    A pattern that holds for `root` only begins with a slash.
    """
    return [
        pattern.removeprefix(str(root)) if pattern.startswith(f"{root}/") else pattern
        for pattern in (pattern.removeprefix("./") for pattern in patterns)
    ]


def fixed_folder(pattern: str) -> str:
    """The folder that all matches of a normal pattern lie in, as far as it has no wildcards."""
    *folders, _ = pattern.lstrip("/").rstrip("/").split("/")
    fixed: list[str] = []
    for folder in folders:
        if re.search(r"[*?\[]", folder):
            break
        fixed.append(folder)
    return "/".join(fixed)


def _regex(pattern: str) -> str:
    body = pattern.rstrip("/")
    start = "" if "/" in body else "(?:.*/)?"
    end = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return start + "".join(map(_translated, _TOKEN.findall(body.lstrip("/")))) + end


_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]+\]|.", re.DOTALL)
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _translated(token: str) -> str:
    if token in _WILD:
        return _WILD[token]
    if len(token) == 1:
        return re.escape(token)
    negated = token.startswith("[!")
    # A range that runs backwards would be an error to a regular expression.
    members = re.sub(
        r"(.)-(.)",
        lambda m: m[0] if m[1] <= m[2] else f"{m[1]}{m[2]}",
        token[2 if negated else 1 : -1],
    )
    members = re.sub(r"([\\\[\]^&~|])", r"\\\1", members)
    return f"[{'^/' if negated else ''}{members}]"
