"""One request and its answer on an open connection: one write, and no more reads than it takes.

urllib3 makes the connection, with its proxy and its certificates. For what is short it would then
use more CPU than all else about a small upload does, and send head and body apart, which wakes the
server twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import io
import socket
from collections.abc import Mapping
from typing import Any

from typing_extensions import override
from urllib3 import HTTPHeaderDict

_READ = 64 * 1024
# Of the head of an answer; http.client's own limit of a line.
_LONGEST_HEAD = 65536


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer that was read to its end.

    Args:
        status: of HTTP.
        headers: by names in any case.
        data: the content.
        last: whether the connection is of no use any more.
    """

    status: int
    headers: HTTPHeaderDict
    data: bytes
    last: bool = False


def exchange(
    sock: socket.socket,
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout: tuple[float, float],
) -> Answer:
    """Sends a request and reads the answer.

    Args:
        sock: connected, or TLS on such a one; nothing is under way on it.
        method: of HTTP.
        host: with the port, if it is an unusual one.
        path: with the query.
        headers: go along; not those that this adds: the host and the content's length.
        body: the content, if any.
        timeout: seconds to send, and to wait for each part of the answer.

    Raises:
        http.client.HTTPException: what came is no answer, or broke off.
        OSError: nothing came, or the connection broke.
    """
    sock.settimeout(timeout[0])
    # It may have answered before all was sent: that it is busy, say.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        head = _head(method, host, path, headers, body)
        if body is None or len(body) <= _READ:
            sock.sendall(head + (body or b""))
        else:  # which is not worth a copy
            sock.sendall(head)
            sock.sendall(body)
    sock.settimeout(timeout[1])
    return _read(sock, method)


def _head(
    method: str, host: str, path: str, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name != "Content-Length"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""])
    if not (head.isascii() and head.count("\r") == head.count("\n") == len(lines) + 1):
        raise http.client.HTTPException("what it is to send is no line of a head")
    return head.encode()


def _read(sock: socket.socket, method: str) -> Answer:
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = sock.recv(_READ)
        if not more or len(data) > _LONGEST_HEAD:
            raise http.client.RemoteDisconnected("the connection was closed without an answer")
        data += more
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    headers = HTTPHeaderDict([(name, value.strip()) for name, _, value in pairs])
    length = headers.get("Content-Length", "")
    # As all of B2's own are; what something on the way has made of it, the library reads.
    plain = first.startswith("HTTP/1.1 ") and length.isdecimal() and first[9:12] >= "200"
    if not plain or method == "HEAD" or "Transfer-Encoding" in headers:
        return _read_any(sock, method, data)
    parts = [data[end + 4 :]]
    left = int(length) - len(parts[0])
    while left > 0:
        parts.append(sock.recv(min(left, 16 * _READ)))
        if not parts[-1]:
            raise http.client.IncompleteRead(b"", left)
        left -= len(parts[-1])
    last = left < 0 or headers.get("Connection", "").lower() == "close"
    return Answer(int(first[9:12]), headers, b"".join(parts)[: int(length)], last)


def _read_any(sock: socket.socket, method: str, begun: bytes) -> Answer:
    """Reads an answer, of which this much has come, in whatever form HTTP has."""
    replayed: Any = _Replayed(sock, begun)
    response = http.client.HTTPResponse(replayed, method=method)
    response.begin()
    data = response.read()
    return Answer(response.status, HTTPHeaderDict(response.headers.items()), data, last=True)


class _Replayed(io.RawIOBase):
    """What has come, and then what comes; http.client takes it for the socket."""

    def __init__(self, sock: socket.socket, begun: bytes) -> None:
        super().__init__()
        self._sock, self._begun = sock, begun

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        if not self._begun:
            return self._sock.recv_into(buffer)
        part = self._begun[: len(buffer)]
        self._begun = self._begun[len(part) :]
        buffer[: len(part)] = part
        return len(part)
