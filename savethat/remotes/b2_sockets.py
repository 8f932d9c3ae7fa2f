"""Connections to B2: enough of them, and each can be broken off from another thread."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import urllib.request
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.util import Timeout, make_headers, parse_url

from savethat.remotes.b2_wire import Answer, exchange

# At a time and host: more threads than that would connect anew for each call.
_CONNECTIONS = 72
# Upload URLs are on many hosts.
_HOSTS = 100
# What is read of a file and sent at a time.
_BLOCK = 128 * 1024


class Sockets:
    """The open sockets of an engine."""

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


class Connections:
    """The connections of an engine, kept open and used again; through a proxy where one is set.

    The environment says so as to other programs: `https_proxy` and `no_proxy`, and
    `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE` for certificates other than the usual ones.

    Args:
        sockets: where their sockets go.
    """

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._lock = threading.Lock()
        # By the proxy's URL; the empty one is none.
        self._managers: dict[str, urllib3.PoolManager] = {}
        # By scheme and host.
        self._proxies: dict[tuple[str, str], str] = {}
        # By scheme and host as well: those in use.
        self._pools: dict[tuple[str, str], Any] = {}

    def open(self, url: str, timeout: float) -> None:
        """Makes a connection to a URL's host, which the next request to it uses.

        Raises:
            urllib3.exceptions.HTTPError: there is no way to it.
        """
        pool = self._pool(url)
        pool._put_conn(pool.opened(timeout))

    def exchange(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Any,
        timeout: tuple[float, float],
    ) -> Answer:
        """Sends a request, once, and reads the answer to its end.

        Args:
            method: of HTTP.
            url: where to.
            headers: go along.
            body: bytes, or what has them to read; None where there are none.
            timeout: seconds to connect or to send, and to wait for a part of the answer.

        Raises:
            urllib3.exceptions.HTTPError: there is no answer.
        """
        pool = self._pool(url)
        in_memory = body is None or isinstance(body, bytes)
        # Such a proxy wants the whole URL.
        if not in_memory or (pool.proxy is not None and pool.scheme == "http"):
            response = self.send(method, url, headers, body, timeout, stream=False)
            return Answer(response.status, response.headers, response.data)
        host, _, path = url.partition("://")[2].partition("/")
        connection = pool.opened(timeout[0])
        answer = None
        try:
            answer = exchange(connection.sock, method, host, f"/{path}", headers, body, timeout)
        except TimeoutError as error:
            raise urllib3.exceptions.ReadTimeoutError(pool, url, f"timed out: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise urllib3.exceptions.ProtocolError(f"connection broken: {error!r}") from error
        finally:
            if answer is None or answer.last:
                connection.close()
            pool._put_conn(connection)
        return answer

    def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Any,
        timeout: tuple[float, float],
        *,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request, once.

        Args:
            method: of HTTP.
            url: where to.
            headers: go along.
            body: bytes, or what has them to read.
            timeout: seconds to connect or to send a block, and to wait for a block of the answer.
            stream: whether the answer's content is read later.

        Raises:
            urllib3.exceptions.HTTPError: there is no answer.
        """
        return self._manager(url).urlopen(
            method,
            url,
            redirect=False,
            body=body,
            headers=headers,
            timeout=Timeout(connect=timeout[0], read=timeout[1]),
            retries=False,
            preload_content=not stream,
            decode_content=False,
        )

    def _pool(self, url: str) -> Any:
        scheme, _, rest = url.partition("://")
        where = (scheme, rest.partition("/")[0])
        pool = self._pools.get(where)
        if pool is None or pool.pool is None:  # its manager closes those of too many hosts
            if len(self._pools) >= _HOSTS:
                self._pools.clear()
            pool = self._pools[where] = self._manager(url).connection_from_url(url)
        return pool

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        where = (parts.scheme, parts.netloc)
        with self._lock:
            if where not in self._proxies:
                self._proxies[where] = _proxy(*where)
            proxy = self._proxies[where]
            if proxy not in self._managers:
                self._managers[proxy] = self._made(proxy)
            return self._managers[proxy]

    def _made(self, proxy: str) -> urllib3.PoolManager:
        given = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        certificates = given or certifi.where()
        kind = "ca_cert_dir" if Path(certificates).is_dir() else "ca_certs"
        options: dict[str, Any] = {
            "num_pools": _HOSTS,
            "maxsize": _CONNECTIONS,
            "blocksize": _BLOCK,
            kind: certificates,
        }
        if proxy:
            auth = parse_url(proxy).auth
            headers = make_headers(proxy_basic_auth=auth) if auth else None
            made: Any = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
        else:
            made = urllib3.PoolManager(**options)
        made.pool_classes_by_scheme = {
            scheme: _watched(pool, self._sockets)
            for scheme, pool in made.pool_classes_by_scheme.items()
        }
        manager: urllib3.PoolManager = made
        return manager


def _proxy(scheme: str, netloc: str) -> str:
    """The URL of the proxy that leads there; empty for none."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all") or ""
    if not proxy or urllib.request.proxy_bypass(netloc):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _watched(pool: Any, sockets: Sockets) -> type[Any]:
    """A pool class like `pool` whose connections tell their sockets."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc] # urllib3's, whichever it is
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Pool(pool):  # type: ignore[misc] # see Connection
        ConnectionCls = Connection

        def opened(self, timeout: float) -> Any:
            """A connection that is open; it is given back with `_put_conn`."""
            connection = self._get_conn()
            if not connection.is_closed:
                return connection
            connection.timeout = timeout
            try:
                if self.proxy is not None and self.scheme == "https":
                    self._prepare_proxy(connection)
                else:
                    connection.connect()
            except BaseException as error:
                connection.close()
                self._put_conn(connection)
                if isinstance(error, ssl.SSLError):
                    raise urllib3.exceptions.SSLError(error) from error
                if isinstance(error, OSError):
                    raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error
                raise
            return connection

    return Pool
