"""The options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Options:
    """One field per option; the parser holds their meanings and defaults."""

    host: str
    port: int
    dir: Path
    key_id: str
    key: str
    bucket: list[str]
    app_key: list[str]
    latency_ms: float
    jitter_ms: float
    connect_ms: float
    bandwidth_mbps: float
    fault_rate: float
    fault_kinds: str
    fault_timeout_s: float
    retry_after: int | None
    seed: int | None
    token_ttl: float
    upload_token_ttl: float | None
    part_size: int
    min_part_size: int
    pods: int
    md5: bool
    ms_timestamps: bool
    lenient_names: bool
    loose_next: bool
    idle_s: float
    tls_cert: str | None
    tls_key: str | None
    tls_advertise: bool
    trace: Path | None
    parent: int | None


def parse(argv: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="b2server", description="Backblaze B2 native API emulator (loopback, for tests)"
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0)
    add("--dir", type=Path, required=True, help="data folder")
    add("--key-id", required=True)
    add("--key", required=True)
    add("--bucket", action="append", default=[], help="create this bucket (repeatable)")
    add(
        "--app-key",
        action="append",
        default=[],
        metavar="ID:SECRET[:caps[:bucket[:prefix]]]",
        help="restricted application key; caps and bucket are comma lists (repeatable)",
    )
    add("--latency-ms", type=float, default=0, help="added to every answer")
    add("--jitter-ms", type=float, default=0)
    add("--connect-ms", type=float, default=0, help="added to a connection's first answer")
    add("--bandwidth-mbps", type=float, default=0, help="one shared link, each direction")
    add("--fault-rate", type=float, default=0)
    add("--fault-kinds", default="", help="comma list")
    add("--fault-timeout-s", type=float, default=5)
    add("--retry-after", type=int)
    add("--seed", type=int, help="of the faults that strike by chance")
    add("--token-ttl", type=float, default=86400, help="seconds")
    add("--upload-token-ttl", type=float)
    add("--part-size", type=int, default=100_000_000, help="recommendedPartSize")
    add("--min-part-size", type=int, default=5_000_000, help="absoluteMinimumPartSize")
    add(
        "--pods",
        type=int,
        default=0,
        help="spread upload URLs over this many loopback addresses (127.0.1.x)",
    )
    add("--md5", action="store_true", help="contentMd5 also for bodies over 1 MiB")
    add("--ms-timestamps", action="store_true", help="uploadTimestamp to the millisecond")
    add("--lenient-names", action="store_true")
    add(
        "--loose-next",
        action="store_true",
        help="list_file_names: nextFileName = last name + space after every full page",
    )
    add("--idle-s", type=float, default=300)
    add("--tls-cert", help="PEM; speak TLS (and CONNECT) on the same port too")
    add("--tls-key")
    add("--tls-advertise", action="store_true", help="hand out https:// URLs")
    add("--trace", type=Path, help="append one line per request to this file")
    add("--parent", type=int, metavar="PID", help="exit when this parent process is gone")
    return Options(**vars(parser.parse_args(argv)))
