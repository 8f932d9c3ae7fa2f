"""`savethat nodes`: what there is to run."""

from __future__ import annotations

import json

import click

from savethat.cli.session import Session, pass_session, warn


@click.command("nodes")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@pass_session
def command(session: Session, as_json: bool) -> None:
    """List the project's nodes."""
    from savethat.cli.completing.learning import remember_nodes
    from savethat.discovery import find_all
    from savethat.errors import ConfigError
    from savethat.node import first_line

    session.python_path  # noqa: B018 # makes the package importable
    if session.config.package is None:
        raise ConfigError(
            f"{session.config.root} names no package to look for nodes in",
            'write package = "my_project" in savethat.toml, or start one: savethat init my_project',
        )
    found = find_all(session.config.package)
    remember_nodes(session.config.root, found.nodes.values(), whole=True)
    warn(f"cannot look into {module.module}: {module.error}" for module in found.broken)
    if as_json:
        for name, cls in found.nodes.items():
            click.echo(json.dumps({"node": name, "doc": first_line(cls) or None}))
        return
    if not found.nodes:
        click.echo(f"There are no nodes in {session.config.package}.")
        return
    click.echo("Found the following executable nodes:")
    for name, cls in found.nodes.items():
        click.echo(f"  {name}  - {first_line(cls) or '[no docstring]'}")
    click.echo("Run `savethat run NODE --help` for the arguments of one.")
