"""The git checkout a project lies in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from savethat.provenance.redaction import without_credentials
from savethat.provenance.tools import ToolError, ask

DIFF_LIMIT = 1_000_000
UNTRACKED_LIMIT = 1_000

# Not taking locks lets the user's own git commands go on meanwhile.
_ENVIRON = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
# A patch that applies, whatever the user's configuration makes of diffs on the screen.
_DIFF = (
    "diff",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--full-index",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


def describe_checkout(
    root: Path, version: str | None, problems: list[str]
) -> dict[str, Any] | None:
    """The checkout's commit and how it differs from it; None where `root` is in none.

    Paths are relative to the checkout's own root. See `collect` for the fields.

    Args:
        root: a folder in it.
        version: git's own.
        problems: takes sentences on what could not be had.
    """
    if shutil.which("git") is None:
        problems.append("git: there is no git on PATH")
        return None
    try:
        top = Path(_line(root, "rev-parse", "--show-toplevel"))
    except ToolError as error:
        problems.append(f"git: {root} is not in a checkout: {error}")
        return None

    def attempt(*command: str) -> tuple[bytes, bool] | None:
        try:
            return _git(top, command)
        except ToolError as error:
            problems.append(f"git {command[0]}: {error}")
            return None

    commit = _quiet(top, "rev-parse", "--verify", "HEAD")
    if commit is None:
        problems.append("git: there is no commit yet")
    diff = attempt(*_DIFF, commit or _empty_tree(top), "--")
    listed = attempt("ls-files", "--others", "--exclude-standard", "-z")
    names = None if listed is None else _names(listed[0])
    return {
        "root": str(top),
        "version": version,
        "commit": commit,
        "branch": _quiet(top, "symbolic-ref", "--short", "HEAD"),
        "remote": _remote(top),
        "dirty": _dirty(diff, names),
        "diff": None if diff is None else _whole_lines(*diff),
        "diff_cut": diff is not None and diff[1],
        "untracked": None if names is None else names[:UNTRACKED_LIMIT],
        "untracked_cut": names is not None
        and listed is not None
        and (listed[1] or len(names) > UNTRACKED_LIMIT),
    }


def _dirty(diff: tuple[bytes, bool] | None, names: list[str] | None) -> bool | None:
    if (diff and diff[0]) or names:
        return True
    return None if diff is None or names is None else False


def _empty_tree(top: Path) -> str:
    # What a repository without a commit differs from; its name depends on the hash in use.
    return _line(top, "hash-object", "-t", "tree", "/dev/null")


def _remote(top: Path) -> str | None:
    # As configured: `git remote get-url` puts in what url.*.insteadOf says, tokens too.
    try:
        answer, _ = _git(top, ("config", "-z", "--get-regexp", r"^remote\..*\.url$"))
    except ToolError:  # there is none
        return None
    entries = (entry.partition("\n") for entry in answer.decode(errors="replace").split("\0"))
    urls = {key.removeprefix("remote.").removesuffix(".url"): url for key, _, url in entries if key}
    name = "origin" if "origin" in urls else min(urls, default="")
    return without_credentials(urls[name]) if urls else None


def _quiet(folder: Path, *command: str) -> str | None:
    """As `_line`; None where git says no: there is no branch, or no commit."""
    try:
        return _line(folder, *command)
    except ToolError:
        return None


def _names(answer: bytes) -> list[str]:
    *names, _ = answer.decode(errors="replace").split("\0")
    return names


def _whole_lines(answer: bytes, cut: bool) -> str:
    # Half a line could hold half a secret, which nothing would recognise.
    whole = answer[: answer.rfind(b"\n") + 1] if cut else answer
    return whole.decode(errors="replace")


def _line(folder: Path, *command: str) -> str:
    return _git(folder, command)[0].decode(errors="replace").strip()


def _git(folder: Path, command: Sequence[str], limit: int = DIFF_LIMIT) -> tuple[bytes, bool]:
    # No file system monitor: it would leave a daemon behind.
    return ask(
        ["git", "-c", "core.fsmonitor=false", *command],
        folder=folder,
        environ=_ENVIRON,
        limit=limit,
    )
