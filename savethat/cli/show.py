"""`savethat show`: all that is known of a run."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import complete_keys
from savethat.cli.selection import select_one
from savethat.cli.session import Session, pass_session
from savethat.cli.terminal import echo_json
from savethat.errors import StorageError
from savethat.untrusted import printable

if TYPE_CHECKING:
    from savethat.catalog.row import Row


@click.command("show")
@click.argument("key", metavar="KEY", shell_complete=complete_keys)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@pass_session
def command(session: Session, /, key: str, as_json: bool) -> None:
    """Show all that is known of a run: its state, where its files are, how to run it again.

    KEY is a whole key, an unambiguous start or end of one, or `last`.
    """
    row = session.catalog.whole(select_one(session, key))
    details = _details(session, row)
    if as_json:
        echo_json(details)
        return
    width = max(map(len, details))
    for name, value in details.items():
        for number, line in enumerate(_lines(value)):
            shown = printable(line)
            click.echo(f"{name if number == 0 else '':<{width}}  {shown}".rstrip())


def _details(session: Session, row: Row) -> dict[str, Any]:
    """The fields of `ls --json`, and what only one run is worth looking up for."""
    catalog = session.catalog
    here = session.config.local_path / row.key
    try:
        listing = [
            {"name": file.name, "bytes": file.size, "sha1": file.sha1}
            for file in catalog.files(row)
        ]
    except StorageError:
        listing = None  # it could not be asked; what is known is shown
    return {
        **row.to_json(),
        "path": str(here) if here.is_dir() else None,
        "url": f"{catalog.remote.url}/{row.key}",
        "launch": row.launch,
        "reproduces": _launch(session, row, "reproduces") or None,
        "commit": _launch(session, row, "commit") or None,
        "resources": _launch(session, row, "resources"),
        "command": shlex.join(_command(row)),
        "listing": listing,
    }


def _launch(session: Session, row: Row, field: str) -> Any:
    """What the launch record says of it; None where that is not recorded any more."""
    from savethat.worker.ledger import read_launch

    for remote in (session.catalog.remote, session.catalog.home):
        try:
            launch = read_launch(remote, row.launch)
        except (StorageError, ValueError):
            continue
        if launch is not None:
            return getattr(launch, field)
    return None


def _command(row: Row) -> list[str]:
    """What runs the same node with the same arguments again."""
    from savethat.args import command_words

    return ["savethat", "run", row.node, *command_words(row.args)]


def _lines(value: Any) -> list[str]:
    if value is None:
        return [""]
    if isinstance(value, dict):
        texts = {name: json.dumps(inner, ensure_ascii=False) for name, inner in value.items()}
        return [f"{name} = {text}" for name, text in texts.items()]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        from savethat.cli.table import size

        return [f"{file['name']}  {size(file['bytes'])}" for file in value]
    if isinstance(value, list):
        return [", ".join(map(str, value))]
    return [str(value).lower() if isinstance(value, bool) else str(value)]
