"""`savethat du`: what runs take of storage, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import complete_keys
from savethat.cli.ls import STORAGE_INCOMPLETE
from savethat.cli.selection import (
    filter_options,
    list_matching,
    make_filter,
    say_nothing_found,
)
from savethat.cli.session import Session, pass_session, talk
from savethat.cli.terminal import echo_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savethat.catalog.row import Row
    from savethat.catalog.usage import Usage


@click.command("du")
@click.argument("prefix", required=False, default="", shell_complete=complete_keys)
@filter_options
@click.option("--by", type=click.Choice(["node", "sweep", "user"]), help="Summed up, not a run.")
@click.option("--exact", is_flag=True, help="Ask storage, which counts old versions too.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the largest.")
@click.option("--json", "as_json", is_flag=True, help="One object a line, and no total.")
@pass_session
def command(
    session: Session,
    /,
    prefix: str,
    by: str | None,
    exact: bool,
    limit: int | None,
    as_json: bool,
    **filters: Any,
) -> int:
    """Show what runs take of storage, the largest first, and what that costs in a month.

    Answers from the same listing as ls: files and bytes as last carried out. --exact asks storage
    about every run; without filters it also shows what is stored beside the runs.
    """
    from savethat.catalog import usage

    chosen = make_filter(prefix, filters)
    rows, complete = list_matching(session, chosen)
    found = (usage.measured if exact else usage.of_runs)(session.catalog, rows)
    beside = usage.beside_runs(session.catalog, found) if exact and not chosen else []
    everything = usage.total([*found, *beside])
    if by is not None:
        found = usage.summed(found, lambda row: _common(row, by))
    if as_json:
        for each in found[:limit]:
            echo_json(each.to_json())
    elif found or beside:
        _show(session, [*found[:limit], *beside, everything], by)
    else:
        say_nothing_found(chosen)
    return 0 if complete else STORAGE_INCOMPLETE


def money(dollars: float) -> str:
    """Dollars as people read them: `$1.25`, `< $0.01`."""
    return "< $0.01" if 0 < dollars < 0.01 else f"${dollars:.2f}"


def _common(row: Row, by: str) -> str:
    return {"node": row.node, "sweep": row.sweep, "user": row.place.user}[by] or f"no {by}"


def _show(session: Session, lines: Sequence[Usage], by: str | None) -> None:
    from savethat.catalog.usage import DOLLARS_PER_TB_MONTH, FREE_BYTES, dollars
    from savethat.cli.table import print_table, size

    on_b2 = session.catalog.remote is not session.catalog.home
    header = [by or "key", "runs", "files", "size", *(["a month"] if on_b2 else [])]
    print_table(
        header,
        [
            [
                each.name,
                str(each.runs or ""),
                "" if each.files is None else str(each.files),
                size(each.bytes),
                *([money(each.dollars)] if on_b2 else []),
            ]
            for each in lines
        ],
    )
    if on_b2:
        above = max(0, lines[-1].billed - FREE_BYTES)
        talk(
            f"At ${DOLLARS_PER_TB_MONTH:g} for a terabyte and month. An account's first "
            f"{size(FREE_BYTES)} are free: if it holds nothing else, this costs "
            f"{money(dollars(above))} a month."
        )
