"""`python -m tests.deaths`: runs the matrix, prints its table, and writes it into the docs."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from tests.deaths import report
from tests.deaths.cells import SLURM, cells
from tests.deaths.lab import Lab
from tests.deaths.matrix import run_matrix
from tests.deaths.site import unable

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "reliability.md"


def main() -> int:
    """Runs what the command line says; 1 where a cell is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.deaths", description=__doc__)
    parser.add_argument("--only", metavar="REGEX", default="", help="cells whose name matches")
    parser.add_argument("--jobs", type=int, default=6, help="cells at a time")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    parser.add_argument("--list", action="store_true", help="print the names of the cells only")
    parser.add_argument("--folder", type=Path, help="where cells work; what is wrong stays there")
    options = parser.parse_args()
    chosen = [cell for cell in cells() if re.search(options.only, str(cell))]
    if options.list:
        print("\n".join(map(str, chosen)))
        return 0
    impossible = unable()
    for death, why in impossible.items():
        print(f"*** NOT TRIED: {death}: {why} ***", file=sys.stderr)
    chosen = [cell for cell in chosen if cell.death not in impossible]
    slurm = any(cell.scheduler == SLURM for cell in chosen)
    if slurm and Lab().in_use():
        parser.error("there are jobs on the tests' SLURM, whose nodes would be killed: end them")
    with tempfile.TemporaryDirectory(prefix="savethat-deaths-") as aside:
        folder = options.folder or Path(aside)
        verdicts = run_matrix(chosen, folder, jobs=options.jobs, slurm=slurm, tell=_tell)
    wrong = [verdict for verdict in verdicts if verdict.wrong]
    # Of a part, what the page says of the others stays.
    results = report.Results.read(report.read(PAGE, "matrix") if options.only else "")
    results.add(verdicts)
    text = report.page(results, impossible)
    print(text)
    if options.write:
        report.write(PAGE, "matrix", text)
    for verdict in wrong:
        print(report.account(verdict), file=sys.stderr)
    return 1 if wrong else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
