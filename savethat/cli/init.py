"""`savethat init NAME`: a new project."""

from __future__ import annotations

from pathlib import Path

import click

from savethat.cli.session import talk


@click.command("init")
@click.argument("name")
def command(name: str) -> None:
    """Make a new project, in a folder NAME below this one.

    It holds a package with an example node, its test, and everything set up. Needs no network.
    """
    from savethat.scaffold import create_project

    path = create_project(name, Path.cwd())
    talk(f"Made {path}. Next:")
    talk(f"  cd {path.name}")
    talk("  savethat nodes")
    click.echo(path)
