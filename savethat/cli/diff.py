"""`savethat diff`: in what two runs differ."""

from __future__ import annotations

import click

from savethat.cli.comparing import show_comparison, tolerance_option
from savethat.cli.completing import complete_keys
from savethat.cli.selection import select_one
from savethat.cli.session import Session, pass_session


@click.command("diff")
@click.argument("first", metavar="KEY", shell_complete=complete_keys)
@click.argument("second", metavar="KEY", shell_complete=complete_keys)
@tolerance_option
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@pass_session
def command(session: Session, /, first: str, second: str, tolerance: float, as_json: bool) -> int:
    """Compare two runs: code, arguments, packages, machine, inputs, results and files.

    Exits 0 where nothing differs but time and place, 1 where something does.
    """
    a, b = select_one(session, first), select_one(session, second)
    return 0 if show_comparison(session, a, b, tolerance, as_json=as_json).same else 1
