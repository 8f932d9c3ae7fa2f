"""`python -m savethat.provenance --root DIR --out FILE -- ARGV...`: the record, beside the run.

FILE is written aside and renamed. Secrets to keep out of it come through a pipe on stdin, one JSON
string a line, never as arguments: those are shown to every user of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from savethat.provenance import collect

_STDIN_TIMEOUT = 10.0


def main(argv: Sequence[str]) -> int:
    """Write the record; 0 once the file is there.

    Raises:
        OSError: the file cannot be written.
    """
    # Found by hand: argparse's versions differ in what they make of a second `--`.
    split = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(prog="python -m savethat.provenance", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the project root")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args(argv[:split])
    os.nice(10)  # the run goes first
    # GitPython's commands take no lock either.
    os.environ["GIT_OPTIONAL_LOCKS"] = "0"
    secrets, problem = _secrets(0)
    record = collect(options.root, argv[split + 1 :], secrets)
    if problem:
        record["problems"].append(problem)
    out: Path = options.out
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(record, indent=1), encoding="utf-8")
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)
    return 0


def _secrets(descriptor: int) -> tuple[list[str], str]:
    """What a pipe on `descriptor` brings, and what was wrong with it.

    A pipe that was only inherited may never end: it is waited for 10 s, not for ever.
    """
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:  # closed
        return [], ""
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return [], ""
    data, problem = b"", ""
    deadline = time.monotonic() + _STDIN_TIMEOUT
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                problem = "secrets: stdin was not closed in time"
                break
            if not (chunk := os.read(descriptor, 1 << 16)):
                break
            data += chunk
    return [_secret(line) for line in data.decode(errors="replace").split("\n")], problem


def _secret(line: str) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        return line
    return value if isinstance(value, str) else line


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
