"""`savethat code`: unpacks what ran."""

from __future__ import annotations

from pathlib import Path

import click

from savethat.cli.completing import complete_keys
from savethat.cli.selection import select_one
from savethat.cli.session import Session, pass_session, talk
from savethat.errors import NotFoundError, RefusedError, StorageError


@click.command("code")
@click.argument("key", metavar="KEY", shell_complete=complete_keys)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@pass_session
def command(session: Session, /, key: str, folder: Path | None) -> None:
    """Unpack the code that a run ran from into DIR, by default a folder named as the code.

    KEY is a whole key, an unambiguous start or end of one, or `last`. Prints the folder.
    """
    from savethat.code.extraction import extract
    from savethat.worker.capsule import fetch_code

    row = select_one(session, key)
    if not row.code:
        raise NotFoundError(
            f"the code of {row.key} was not frozen", f"savethat show {row.key} tells its commit"
        )
    target = folder or Path(f"code-{row.code[:8]}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RefusedError(f"{target} is there already", "name another folder")
    catalog = session.catalog
    archive = fetch_code(catalog.remote, catalog.home, row.code)
    try:
        target.mkdir(parents=True, exist_ok=True)
        extract(archive, row.code, target)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}") from error
    talk(f"the code of {row.key}")
    click.echo(target)
