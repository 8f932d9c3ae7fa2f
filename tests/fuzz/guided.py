"""Fuzzes one parser, guided by which of its branches an input reaches.

    python -m tests.fuzz.guided --list
    python -m tests.fuzz.guided "launch record" CORPUS -max_total_time=60

CORPUS is a folder that keeps the inputs that reached something new. What comes behind it is
libFuzzer's. The first exception that the parser must not raise ends it, with exit code 77 and the
input in a file `crash-…` in the current folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped,unused-ignore] # `make fuzz` alone installs it

with atheris.instrument_imports(include=["savethat", "tarfile", "tomllib"]):
    from tests.fuzz.guard import confined
    from tests.fuzz.targets import TARGETS, Target


def main(argv: list[str]) -> None:
    """Runs the target that is named."""
    if argv[1:] == ["--list"]:
        sys.stdout.write("".join(f"{target.name}\n" for target in TARGETS))
        return
    name, corpus, *options = argv[1:]
    target = next(target for target in TARGETS if target.name == name)
    Path(corpus).mkdir(parents=True, exist_ok=True)
    for content in target.seeds:
        (Path(corpus) / hashlib.sha1(content).hexdigest()).write_bytes(content)
    atheris.Setup([argv[0], corpus, *options], lambda content: once(target, content))
    atheris.Fuzz()


def once(target: Target, content: bytes) -> None:
    """Parses one input in a new folder."""
    with tempfile.TemporaryDirectory() as box:
        folder = Path(box) / "folder"
        folder.mkdir()
        with confined(folder), contextlib.suppress(*target.refuses):
            target.parse(content, folder)


if __name__ == "__main__":
    main(sys.argv)
