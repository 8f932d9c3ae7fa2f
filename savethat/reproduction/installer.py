"""The programs that make environments and fill them: uv where there is one, else venv and pip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from savethat.config import KEY_VARIABLES
from savethat.errors import SavethatError
from savethat.provenance.redaction import redacted
from savethat.reproduction.requirements import canonical

Say = Callable[[str], None]

# How much of what a program said is shown where it failed.
_LINES = 15
# They would make the new environment's Python import from elsewhere.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_BLAME = re.compile(r"error|failed|no matching|could not|because", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

HERE = "--here takes the present environment"


class InstallError(Exception):
    """A program failed.

    Args:
        lines: the last it said, without secrets.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def culprit(self, names: Sequence[str]) -> str:
        """Which of the packages the program complains of; empty where that is not clear."""
        for line in filter(_BLAME.search, self.lines):
            words = {canonical(word.partition("==")[0]) for word in _WORD.findall(line)}
            if found := [name for name in names if name in words]:
                return found[0]
        return ""


class Installer:
    """Makes one virtual environment and installs packages into it, never what they depend on.

    Args:
        env: the environment's folder.
    """

    def __init__(self, env: Path) -> None:
        self._env = env
        self._uv = shutil.which("uv")
        self.python = env / "bin" / "python"

    def create(self, python: Path | None, minor: str) -> None:
        """Makes the environment, which holds no packages but those that all have.

        Args:
            python: the interpreter; None to leave it to uv, which may fetch one.
            minor: `3.12`.

        Raises:
            SavethatError: there is no such interpreter.
            InstallError: it could not be made.
        """
        if self._uv is not None:
            self._run([self._uv, "venv", "--python", str(python or minor), str(self._env)])
        elif python is not None:
            self._run([str(python), "-m", "venv", str(self._env)])
        else:
            raise SavethatError(
                f"there is no Python {minor}: no python{minor} on PATH, and none of pyenv",
                f"install it, or uv, which fetches it; {HERE}",
            )

    def install(self, *what: str) -> None:
        """Installs what options and arguments of `pip install` say.

        Raises:
            InstallError: it could not be installed.
        """
        if self._uv is not None:
            command = [self._uv, "pip", "install", "--python", str(self.python)]
        else:
            # A user's own configuration may say --user, which no virtual environment takes.
            command = [str(self.python), "-m", "pip", "install", "--no-input", "--no-user"]
            command += ["--disable-pip-version-check", "--progress-bar", "off"]
        self._run([*command, "--no-deps", *what])

    def uninstall(self, name: str) -> None:
        """Takes a package out again.

        Raises:
            InstallError: it could not be taken out.
        """
        if self._uv is not None:
            self._run([self._uv, "pip", "uninstall", "--python", str(self.python), name])
        else:
            self._run([str(self.python), "-m", "pip", "uninstall", "--yes", name])

    def try_import(self, *modules: str) -> None:
        """Imports modules in the environment.

        Raises:
            InstallError: one does not import.
        """
        self._run([str(self.python), "-c", f"import {', '.join(modules)}"])

    def _run(self, command: Sequence[str]) -> None:
        left_out = (*_FOREIGN, *KEY_VARIABLES)
        environ = {name: value for name, value in os.environ.items() if name not in left_out}
        try:
            done = subprocess.run(
                command,
                # No project's settings apply, as those of the current folder would.
                cwd=self._env.parent,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            raise InstallError([f"{command[0]} cannot be run: {error.strerror}"]) from error
        if done.returncode != 0:
            raise InstallError(_last_lines(done.stdout.decode(errors="replace")))


def _last_lines(said: str) -> list[str]:
    lines = [line.rstrip() for line in said.splitlines() if line.strip()][-_LINES:]
    return [*map(str, redacted({"argv": [], "lines": lines}, ())["lines"])]
