"""What the commands of one call share: the project, opened when first asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from savethat.untrusted import printable

if TYPE_CHECKING:
    from pathlib import Path

    from savethat.catalog.listing import Catalog
    from savethat.config import Config


class Session:
    """One call of the program.

    Args:
        project: as given with `--project`.
        package, env_file: as `run_main` was given them.
        debug: whether errors keep their traceback.
    """

    def __init__(
        self,
        project: Path | None = None,
        package: str | None = None,
        env_file: Path | None = None,
        *,
        debug: bool = False,
    ) -> None:
        self.project = project
        self.package = package
        self.env_file = env_file
        self.debug = debug

    @functools.cached_property
    def config(self) -> Config:
        """The project's configuration.

        Raises:
            ConfigError: it is wrong.
        """
        from savethat.config import load

        overrides = {"package": self.package} if self.package is not None else {}
        return load(env_file=self.env_file, project=self.project, overrides=overrides)

    @functools.cached_property
    def python_path(self) -> list[str]:
        """What makes the project importable; it is importable here from now on."""
        from savethat.discovery import add_to_path

        return add_to_path(self.config.root)

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The project's runs."""
        from savethat.catalog import open_catalog

        return open_catalog(self.config)

    @property
    def has_no_runs(self) -> bool:
        """Whether there is no run for certain: no bucket, and nothing was ever kept here."""
        from savethat.run.layout import HIDDEN

        if self.config.b2 is not None:
            return False
        try:
            (self.config.local_path / HIDDEN).stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # whoever lists says why
        return False

    @property
    def user(self) -> str:
        """Who asks."""
        from savethat.launchers.foreground import login_name

        return login_name()


pass_session = click.make_pass_decorator(Session)


def talk(message: str) -> None:
    """Says something to the user: on stderr, because stdout is for answers."""
    # It may name what others have named.
    click.echo(printable(message, lines=True), err=True)


def count(number: int, noun: str) -> str:
    """So many of something, for people: `1 run`, `2 runs`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def warn(messages: Iterable[str]) -> None:
    """Warns the user, a line a message."""
    for message in messages:
        click.echo(f"{click.style('warning:', fg='yellow')} {printable(message)}", err=True)
