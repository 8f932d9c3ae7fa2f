"""Programs of the machine, asked with bounds on time and on the size of the answer."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class ToolError(Exception):
    """A program is missing, failed, or did not answer in time."""


def ask(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    limit: int = 1_000_000,
    timeout: float = 60.0,
) -> tuple[bytes, bool]:
    """What `command` writes to stdout, and whether there was more than `limit` bytes of it.

    Args:
        command: program and arguments.
        folder: where it runs.
        environ: what its environment has beside this process's.
        limit: bytes of output to take; the program is ended when it writes more.
        timeout: seconds to wait for all of it.

    Raises:
        ToolError: says which program, and why.
    """
    name = command[0]
    deadline = time.monotonic() + timeout
    data = b""
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            raise ToolError(f"{name} cannot be run: {error.strerror}") from error
        with process, selectors.DefaultSelector() as selector:
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ)
            try:
                while len(data) <= limit:
                    # A read that blocked could outlast the program, in a child that keeps the pipe.
                    if not selector.select(max(0.0, deadline - time.monotonic())):
                        raise ToolError(f"{name} did not answer in {timeout:g} s")
                    chunk = os.read(process.stdout.fileno(), 1 << 16)
                    if not chunk:
                        code = process.wait(max(0.1, deadline - time.monotonic()))
                        break
                    data += chunk
                else:
                    return data[:limit], True
            except subprocess.TimeoutExpired as error:
                raise ToolError(f"{name} did not end in {timeout:g} s") from error
            finally:
                process.kill()
        if code != 0:
            errors.seek(0)
            lines = errors.read(10_000).decode(errors="replace").split("\n")
            said = next((line for line in lines if line.strip()), "no message")
            raise ToolError(f"{name} failed with exit code {code}: {said}")
    return data, False
