"""One request and its answer, whatever form the answer comes in."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from savethat.remotes.b2_wire import Answer, exchange

Pair = tuple[socket.socket, socket.socket]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-a: b\r\n\r\n{}"


@pytest.fixture
def sockets() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def ask(sockets: Pair, *answer: bytes, method: str = "POST") -> Answer:
    """Asks a server that answers in these pieces and then closes."""
    ours, theirs = sockets

    def serve() -> None:
        theirs.recv(100_000)
        for piece in answer:
            theirs.sendall(piece)
        theirs.shutdown(socket.SHUT_WR)

    server = threading.Thread(target=serve)
    server.start()
    try:
        return exchange(ours, method, "host", "/path", {}, b"body", (5, 5))
    finally:
        server.join()


def test_a_request_is_what_http_asks_for(sockets: Pair) -> None:
    ours, theirs = sockets
    theirs.sendall(OK)
    headers = {"X-A": "b", "Content-Length": "4"}
    exchange(ours, "POST", "host:80", "/a?b=c", headers, b"body", (5, 5))
    assert theirs.recv(1000) == (
        b"POST /a?b=c HTTP/1.1\r\nHost: host:80\r\nAccept-Encoding: identity\r\n"
        b"X-A: b\r\nContent-Length: 4\r\n\r\nbody"
    )


@pytest.mark.parametrize(
    "pieces", [[OK], [OK[:20], OK[20:-3], OK[-3:]], [OK[i : i + 1] for i in range(len(OK))]]
)
def test_an_answer_may_come_in_pieces(sockets: Pair, pieces: list[bytes]) -> None:
    answer = ask(sockets, *pieces)
    assert (answer.status, answer.data, answer.headers["X-A"]) == (200, b"{}", "b")
    assert not answer.last


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK.replace(b"x-a: b", b"Connection: close"),
        OK + b"more",
    ],
    ids=["chunked", "continue", "until it closes", "1.0", "closing", "too much"],
)
def test_every_form_is_read_and_ends_the_connection(sockets: Pair, answer: bytes) -> None:
    found = ask(sockets, answer)
    assert (found.status, found.data, found.last) == (200, b"{}", True)


def test_an_answer_to_head_has_no_content(sockets: Pair) -> None:
    found = ask(sockets, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method="HEAD")
    assert (found.status, found.data) == (200, b"")


@pytest.mark.parametrize(
    "answer", [b"", OK[:20], OK[:-1], b"what\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a" * 200_000]
)
def test_what_is_no_answer_is_none(sockets: Pair, answer: bytes) -> None:
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(sockets, answer)


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nb", "a\rb", "ä"])
def test_a_header_cannot_be_another(sockets: Pair, value: str) -> None:
    with pytest.raises(http.client.HTTPException):
        exchange(sockets[0], "GET", "host", "/", {"X-A": value}, None, (5, 5))
