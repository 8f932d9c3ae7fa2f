"""Runs the emulator for a test: in its own process, with its control endpoints as methods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# Files in one request to seed them.
_BATCH = 10_000
_PACKAGE = Path(__file__).resolve().parent


class B2Server:
    """A running emulator. It ends with `stop`, and by itself when the test process is gone."""

    def __init__(
        self, directory: Path, key_id: str, key: str, bucket: str, options: Sequence[str]
    ) -> None:
        self.directory = directory
        self.key_id, self.key, self.bucket = key_id, key, bucket
        self.url = ""
        self._options = tuple(options)
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        key_id: str = "0015c77d7fd8f510000000001",
        key: str = "K001emulatorsecret",
        bucket: str = "savethat-test",
        options: Sequence[str] = (),
    ) -> B2Server:
        """Starts an emulator that keeps its data in `directory`, on a free port.

        Args:
            directory: The data folder; made if it is not there.
            key_id: The master key's id.
            key: The master key.
            bucket: A private bucket to create, unless it is there already.
            options: More options of the command line, as `("--min-part-size", "1000000")`.
        """
        server = cls(directory, key_id, key, bucket, options)
        server._launch(port=0)
        return server

    def _launch(self, port: int) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(_PACKAGE), "--port", str(port), "--dir", str(self.directory)]
        command += ["--key-id", self.key_id, "--key", self.key, "--bucket", self.bucket]
        command += ["--parent", str(os.getpid()), *self._options]
        with self._stderr.open("a") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it
            )
        assert process.stdout is not None
        with process.stdout:
            ready = process.stdout.readline().split()
        if ready[:1] != ["READY"]:
            process.kill()
            process.wait()
            raise RuntimeError(f"the B2 emulator did not start: {self._stderr.read_text()}")
        self._process, self.url = process, ready[1]

    @property
    def _stderr(self) -> Path:
        return self.directory / "stderr.txt"

    def stop(self) -> None:
        """Ends the process; raises if the emulator met a bug of its own meanwhile."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
            errors = self._stderr.read_text()
            if errors:
                raise RuntimeError(f"the B2 emulator failed:\n{errors}")

    def kill(self) -> None:
        """Ends the process as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stops it if it runs, and starts it again with its data and on its port."""
        self.stop()
        port = urllib.parse.urlsplit(self.url).port
        assert port is not None
        self._launch(port)

    # ---- control endpoints

    def stats(self) -> Json:
        """Counters since the start or the last reset: `calls`, `transactions`, `errors`, ..."""
        return self._object("/_stats")

    def settled(self) -> Json:
        """As `stats`, once no more is counted: a call is when it has been answered."""
        stats, before = self.stats(), -1
        while stats["requests"] != before:
            before = stats["requests"]
            time.sleep(0.02)
            stats = self.stats()
        return stats

    def reset_stats(self) -> None:
        """Counts from zero on; what was asked before is not counted any more."""
        self.settled()
        self._object("/_reset", {})

    def faults(self, **spec: Any) -> Json:
        """Replaces the fault plan (README.md), without arguments by none; answers it."""
        return self._object("/_faults", spec)

    def fault_plan(self) -> Json:
        """The current fault plan, with `fired`: how many faults struck since it was set."""
        return self._object("/_faults")

    def config(self, **settings: float) -> Json:
        """Sets latency_ms, jitter_ms, connect_ms, bandwidth_mbps, token_ttl, upload_token_ttl."""
        return self._object("/_config", settings)

    def files(
        self, prefix: str = "", versions: bool = False, bucket: str | None = None
    ) -> list[Json]:
        """The true state: the visible files, or with `versions` all versions, newest first."""
        query = {"bucket": bucket or self.bucket, "prefix": prefix}
        if versions:
            query["versions"] = "1"
        answer: list[Json] = self._control(f"/_files?{urllib.parse.urlencode(query)}")
        return answer

    def unfinished_large_files(self, prefix: str = "") -> list[Json]:
        return [file for file in self.files(prefix, versions=True) if file["action"] == "start"]

    def seed(
        self,
        count: int,
        name_format: str = "seed/{i:08d}",
        size: int = 0,
        first: int = 0,
        info: Mapping[str, str] | None = None,
    ) -> None:
        """Adds zero-filled files without upload calls; `i` counts from `first`, in `info` too."""
        body: Json = {"bucket": self.bucket, "format": name_format, "size": size}
        if info is not None:
            body["info"] = info
        for start in range(first, first + count, _BATCH):
            number = min(_BATCH, first + count - start)
            self._object("/_seed", {**body, "count": number, "first": start})

    def seed_files(self, files: Sequence[tuple[str, Mapping[str, str]]], size: int = 0) -> None:
        """Adds zero-filled files of these names and info headers without upload calls."""
        for start in range(0, len(files), _BATCH):
            batch = files[start : start + _BATCH]
            self._object("/_seed", {"bucket": self.bucket, "files": batch, "size": size})

    def expire_tokens(self, uploads: bool = False) -> None:
        """Expires the account tokens issued so far, with `uploads` the upload tokens too."""
        self._object("/_expire_tokens", {"uploads": uploads})

    def lifecycle(self, advance_days: float) -> Json:
        """Applies the lifecycle rules as if it were that much later; answers the counts."""
        return self._object("/_lifecycle", {"advance_days": advance_days})

    def _object(self, path: str, body: Json | None = None) -> Json:
        answer: Json = self._control(path, body)
        return answer

    def _control(self, path: str, body: Json | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.url + path, data=data, timeout=60) as response:
            return json.load(response)
