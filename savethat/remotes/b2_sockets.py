"""Connections to B2: enough of them, and each can be broken off from another thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override

# At a time and host: more threads than that would connect anew for each call.
_CONNECTIONS = 40


class Sockets:
    """The open sockets of a session."""

    def __init__(self) -> None:
        # Whether there ever was one.
        self.any = False
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()

    def add(self, opened: socket.socket) -> None:
        """Remembers a socket, for as long as it is in use."""
        with self._lock:
            self._open.add(opened)
            self.any = True

    def break_off(self) -> None:
        """Ends what is under way on all of them: whoever waits for one gets an error at once."""
        with self._lock:
            opened = list(self._open)
        for one in opened:
            # Not TLS's own: that would first say goodbye, or wait for another thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)


class Adapter(HTTPAdapter):
    """An adapter of requests whose sockets are known.

    Args:
        inner: b2sdk's own, which makes the responses.
        sockets: where its sockets go.
    """

    def __init__(self, inner: HTTPAdapter, sockets: Sockets) -> None:
        self._inner = inner
        self._sockets = sockets
        super().__init__(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS)

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    @override
    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        self._watch(manager)
        return manager

    @override
    def build_response(self, req: Any, resp: Any) -> requests.Response:
        return self._inner.build_response(req, resp)

    def _watch(self, manager: Any) -> None:
        pools = manager.pool_classes_by_scheme
        if not any(hasattr(pool, "watched") for pool in pools.values()):
            manager.pool_classes_by_scheme = {
                scheme: _watched(pool, self._sockets) for scheme, pool in pools.items()
            }


def _watched(pool: Any, sockets: Sockets) -> type[Any]:
    """A pool class like `pool` whose connections tell their sockets."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc] # urllib3's, whichever it is
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Pool(pool):  # type: ignore[misc] # see Connection
        watched = True
        ConnectionCls = Connection

    return Pool
