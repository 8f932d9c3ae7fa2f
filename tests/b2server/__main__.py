"""`python -m tests.b2server`, or `python tests/b2server` from anywhere: runs the emulator."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path

if not __package__:  # run by its path: only the package's own folder is on sys.path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.b2server.options import parse
from tests.b2server.server import Server


def main() -> None:
    options = parse()
    options.dir.mkdir(parents=True, exist_ok=True)
    with (options.dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"b2server: {options.dir} is in use by another b2server")
        # Hundreds of threads on few cores, and a heap that hardly changes after the replay.
        threading.stack_size(512 * 1024)
        sys.setswitchinterval(0.001)
        gc.disable()
        server = Server(options)
        gc.freeze()
        gc.enable()
        stopped = server.emulator.stopped
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        url = server.listen()
        (options.dir / "url").write_text(url + "\n")
        sys.stdout.write(f"READY {url}\n")
        sys.stdout.flush()
        while not stopped.wait(0.5):
            if options.parent is not None and os.getppid() != options.parent:
                break
        time.sleep(0.05)  # for the answer to /_shutdown
        server.close()
        os._exit(0)  # connections are served by daemon threads, some of them asleep in a fault


if __name__ == "__main__":
    main()
