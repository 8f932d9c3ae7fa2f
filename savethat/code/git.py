"""What git says about a folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from savethat.errors import UsageError

# Those of a hook, which point to one repository whatever the folder.
_OF_A_HOOK = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS"),
    *("GIT_ICASE_PATHSPECS", "GIT_NOGLOB_PATHSPECS"),
)
_TRACKED = ("ls-files", "-z", "--cached")
_UNTRACKED = ("ls-files", "-z", "--others", "--exclude-standard")


class NoCheckoutError(Exception):
    """The folder is in no checkout, or there is no git; says which."""


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """The files that git tracks in a folder, and those it does not track and does not ignore.

    Paths are relative to `folder`. A tracked file may be missing; a folder among them, which may
    have a slash at its end, is a checkout of its own.

    Raises:
        NoCheckoutError: there is nobody to ask.
        UsageError: git is there and refuses; names the folder, with git's words.
    """
    if not (folder / ".git").exists():
        # A checkout around a project that it ignores, as one of a home folder does, has no say.
        code, _, said = _ended(_started(folder, "check-ignore", "--quiet", "."))
        if code == 0 or (code == 128 and "not a git repository" in said):
            raise NoCheckoutError("in no checkout")
    asked = [_started(folder, *_TRACKED), _started(folder, *_UNTRACKED)]
    answers = [_ended(process) for process in asked]
    for code, _, said in answers:
        if code:
            raise UsageError(
                f"git cannot list the files of {folder}: {said or f'exit code {code}'}",
                "make `git status` work there, or set capsule = false under [code]",
            )
    tracked, untracked = (
        [os.fsdecode(name) for name in answer.split(b"\0") if name] for _, answer, _ in answers
    )
    return tracked, untracked


def head_commit(folder: Path) -> str:
    """The commit that is checked out; empty where there is none."""
    try:
        code, answer, _ = _ended(_started(folder, "rev-parse", "--verify", "--quiet", "HEAD"))
    except NoCheckoutError:
        return ""
    return "" if code else answer.decode().strip()


def _started(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    # Not taking locks lets the user's own git commands go on meanwhile, and a file system monitor
    # would leave a daemon behind.
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        return subprocess.Popen(
            ["git", "-c", "core.fsmonitor=false", *command],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise NoCheckoutError(f"git cannot be run: {error.strerror}") from error


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    """Exit code, answer, and the first line of what it said."""
    answer, said = process.communicate()
    first = said.decode(errors="replace").strip().split("\n")[0]
    return process.returncode, answer, first
