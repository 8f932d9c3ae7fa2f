"""HTTP/1.1 on a socket: connections with keep-alive, requests, and the link they share."""

from __future__ import annotations

import functools
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl

from .api import Json, dump
from .blobs import CHUNK
from .errors import ApiError

_HEAD_MAX = 65536
_JSON_HEADERS = (
    ("Content-Type", "application/json;charset=UTF-8"),
    ("Cache-Control", "max-age=0, no-cache, no-store"),
)

Headers = Iterable[tuple[str, str]]


class Link:
    """One shared link: `take(n)` sleeps as long as n bytes need on it."""

    def __init__(self, mbps: float) -> None:
        self._lock = threading.Lock()
        self._free_at = 0.0
        self.mbps = mbps

    def take(self, count: int) -> None:
        if not self.mbps:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - 0.02) + count * 8 / (self.mbps * 1e6)
            wait = self._free_at - now
        if wait > 0:
            time.sleep(wait)


@functools.lru_cache(maxsize=2)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Connection:
    """A minimal HTTP/1.1 server connection with keep-alive."""

    def __init__(self, sock: socket.socket, inward: Link, outward: Link) -> None:
        self.sock = sock
        self.host = "{}:{}".format(*sock.getsockname()[:2])
        self._inward, self._outward = inward, outward
        self._buffer = b""

    def read_head(self) -> tuple[str, str, str, dict[str, str]]:
        """Method, target, protocol and headers of the next request; EOFError after the last."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_MAX:
                raise ValueError("header too large")
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, protocol = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return method, target, protocol, headers

    def read_body(self, length: int) -> Iterator[memoryview]:
        """The body in pieces; a piece is valid until the next one is asked for."""
        left = length
        if self._buffer and left:
            data, self._buffer = self._buffer[:left], self._buffer[left:]
            left -= len(data)
            self._inward.take(len(data))
            yield memoryview(data)
        if left:
            view = memoryview(bytearray(min(CHUNK, left)))
            while left:
                count = self.sock.recv_into(view[: min(len(view), left)])
                if count == 0:
                    raise EOFError
                left -= count
                self._inward.take(count)
                yield view[:count]

    def send_head(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Sends the head, and with it a short body."""
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Date: {_http_date(int(time.time()))}",
            "Server: b2server",
            *(f"{name}: {value}" for name, value in headers),
        ]
        head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        if not body:
            self.sock.sendall(head)
            return
        self._outward.take(len(body))
        if len(body) < 65536:
            self.sock.sendall(head + body)
        else:
            self.sock.sendall(head)
            self.sock.sendall(body)

    def send_body(self, data: bytes | bytearray) -> None:
        self._outward.take(len(data))
        self.sock.sendall(data)

    def reset_on_close(self) -> None:
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Request:
    """A request, with what is counted of it while it is answered."""

    def __init__(
        self, connection: Connection, method: str, target: str, headers: dict[str, str]
    ) -> None:
        self.connection, self.method, self.headers = connection, method, headers
        self.path, _, query = target.partition("?")
        self.query = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        self.params: Json = {}
        self.call = "unknown"
        self.version: str | None = None
        self.length = self.body_left = int(headers.get("content-length") or 0)
        self.fault: str | None = None
        self.close = False
        self.status, self.code = 0, ""
        self.transactions, self.items, self.bytes_out = 1, 0, 0

    @property
    def bytes_in(self) -> int:
        return self.length - self.body_left

    def chunks(self, limit: int | None = None) -> Iterator[memoryview]:
        """What is left of the body, or `limit` bytes of it, in pieces."""
        for piece in self.connection.read_body(self.body_left if limit is None else limit):
            self.body_left -= len(piece)
            yield piece

    def body(self) -> bytes:
        return b"".join(bytes(piece) for piece in self.chunks())

    def drain(self) -> None:
        for _ in self.chunks():
            pass

    def answer(self, body: bytes, status: int = 200, headers: Headers = ()) -> None:
        """Sends a JSON answer."""
        self.status = status
        self.bytes_out += len(body)
        self.connection.send_head(
            status,
            [*_JSON_HEADERS, ("Content-Length", str(len(body))), *headers],
            b"" if self.method == "HEAD" else body,
        )

    def refuse(self, error: ApiError) -> None:
        """Sends an error as B2 words it."""
        self.code = error.code
        headers = list(error.headers.items())
        if self.close:
            headers.append(("Connection", "close"))
        body = dump({"code": error.code, "message": error.message, "status": error.status})
        self.answer(body.encode(), error.status, headers)
