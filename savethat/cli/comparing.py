"""Shows in what two runs differ: for `diff` and `reproduce`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from savethat.cli.session import Session, talk
from savethat.cli.terminal import echo_json

if TYPE_CHECKING:
    from savethat.catalog.comparison import Comparison
    from savethat.catalog.row import Row

tolerance_option = click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    default=0.0,
    metavar="T",
    help="Numbers count as equal within it, absolute and relative.",
)


def show_comparison(
    session: Session, a: Row, b: Row, tolerance: float, *, as_json: bool
) -> Comparison:
    """Compares two runs and prints in what they differ: as a table, or as JSON.

    Raises:
        StorageError: their files cannot be read.
    """
    from savethat.catalog.comparison import compare
    from savethat.cli.table import print_table
    from savethat.reproduction.facts import facts_of

    catalog = session.catalog
    comparison = compare(facts_of(catalog, a), facts_of(catalog, b), tolerance=tolerance)
    if as_json:
        echo_json(comparison.to_json())
        return comparison
    rows = comparison.rows()
    if rows:
        print_table(["what", "name", a.key, b.key], [list(row) for row in rows])
    if comparison.same:
        talk("equal; they differ in time and place only")
    else:
        equal = comparison.equal_outcome
        talk("results and files are equal" if equal else "results or files differ")
    return comparison
