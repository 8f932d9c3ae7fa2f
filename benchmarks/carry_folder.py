"""Carries a folder out as a run's worker does: a program of its own, for its whole time to count.

    python -m benchmarks.carry_folder FOLDER BUCKET PREFIX REALM

It carries out once, again for each line of its input, after which it prints one itself, and for the
last time at the end of its input.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from savethat.remotes.b2 import B2Remote
from savethat.worker.carry import CarryOut
from savethat.worker.journal import Journal

KEY = "FitOLS_2026-11-23T08-05-52_k3x9w2pq"


def main() -> None:
    """Does what the command line says."""
    folder, bucket, prefix, realm = sys.argv[1:]
    key_id, key = os.environ["B2_APPLICATION_KEY_ID"], os.environ["B2_APPLICATION_KEY"]
    with tempfile.TemporaryDirectory() as journal:
        remote = B2Remote(bucket, prefix, realm, key_id, key)
        carry = CarryOut(Path(folder), remote, KEY, Journal(Path(journal)))
        carry.carry()
        for _ in sys.stdin:
            carry.carry()
            print(flush=True)
        carry.carry(final=True)


if __name__ == "__main__":
    main()
