"""`python -m savethat.provenance --root DIR --out FILE -- ARGV...`: the record, beside the run.

See `beside.gather`. The node's arguments are read from `args.json` beside FILE. Secrets to keep out
of it come through a pipe on stdin, one JSON string a line, never as arguments: those are shown to
every user of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from savethat.provenance import Subject
from savethat.provenance.beside import gather
from savethat.run.layout import ARGS_FILE

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
    parser.add_argument("--capsule", default="", help="the name of the code capsule it runs from")
    parser.add_argument("--freeze", type=Path, help="freeze the code now, into this folder")
    parser.add_argument("--reproduces", default="", help="the key of the run that it repeats")
    parser.add_argument("--attempt", type=int, help="which attempt of the run it is, from 1")
    parser.add_argument("--checkout", type=Path, help="where the launch keeps what git says")
    options = parser.parse_args(argv[:split])
    secrets, problem = _secrets(0)
    args, args_problem = _args(options.out.with_name(ARGS_FILE))
    subject = Subject(
        options.root,
        argv[split + 1 :],
        secrets,
        args,
        capsule=options.capsule,
        reproduces=options.reproduces,
        attempt=options.attempt,
        checkout=options.checkout,
    )
    problems = [*filter(None, (problem, args_problem))]
    gather(subject, options.out, freeze=options.freeze, problems=problems)
    return 0


def _args(path: Path) -> tuple[Mapping[str, Any], str]:
    """The node's arguments, none where no run lies there; and what was wrong with them."""
    try:
        args = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"seeds: {error}"
    return (args, "") if isinstance(args, dict) else ({}, f"seeds: {path} holds no arguments")


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
