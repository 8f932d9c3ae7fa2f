"""Sockets and routing: accepts connections, reads requests, and has each call answered."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading
import time
import traceback

from . import control
from .api import DOWNLOADS, UPLOADS, VERSIONS
from .calls import HANDLERS, downloads, uploads
from .errors import ApiError, Drop, bad
from .options import Options
from .state import Emulator
from .wire import Connection, Request

_TLS_HANDSHAKE = b"\x16"


class Server:
    def __init__(self, options: Options) -> None:
        self._options = options
        self.emulator = Emulator(options)
        self._trace = options.trace.open("a", buffering=1) if options.trace else None
        self._tls: ssl.SSLContext | None = None
        if options.tls_cert:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(options.tls_cert, options.tls_key)
        self._listeners: list[socket.socket] = []

    def listen(self) -> str:
        """Accepts connections from now on; answers the URL."""
        options, port = self._options, self._options.port
        pods = [f"127.0.{1 + i // 250}.{1 + i % 250}" for i in range(options.pods)]
        for host in [options.host, *pods]:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            port = listener.getsockname()[1]
            listener.listen(1024)
            self._listeners.append(listener)
        scheme = "https" if options.tls_advertise else "http"
        self.emulator.url = f"{scheme}://{options.host}:{port}"
        self.emulator.upload_hosts = [f"{scheme}://{pod}:{port}" for pod in pods] or [
            self.emulator.url
        ]
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self.emulator.url

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    # ---- connections

    def _accept(self, listener: socket.socket) -> None:
        while not self.emulator.stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _connect(self, sock: socket.socket) -> Connection:
        if self._tls and sock.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            sock = self._tls.wrap_socket(sock, server_side=True)
        return Connection(sock, self.emulator.inward, self.emulator.outward)

    def _serve(self, sock: socket.socket) -> None:
        connection = None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self._options.idle_s)
            connection = self._connect(sock)
            counted = False
            while True:
                method, target, protocol, headers = connection.read_head()
                if method == "CONNECT" and self._tls:
                    # The HTTPS proxy of clients with a hard-wired api.backblazeb2.com.
                    connection.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    connection = self._connect(connection.sock)
                    continue
                if target.startswith("http://"):  # a plain HTTP proxy's form
                    target = "/" + target.split("/", 3)[3]
                if not counted and not target.startswith("/_"):
                    counted = True
                    self.emulator.stats.connected()
                    time.sleep(self.emulator.connect_s)
                request = Request(connection, method, target, headers)
                if headers.get("transfer-encoding"):
                    error = ApiError(411, "bad_request", "Content-Length is required")
                    self.emulator.refuse(request, error)
                    return
                if headers.get("expect", "").lower() == "100-continue":
                    connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                if request.path.startswith("/_"):
                    control.answer(self.emulator, request)
                else:
                    self._request(request)
                last = headers.get("connection", "").lower() == "close" or protocol == "HTTP/1.0"
                if request.close or last:
                    return
        except Drop as drop:
            if drop.rst and connection is not None:
                connection.reset_on_close()
        except (OSError, EOFError, ValueError):
            pass  # the client went away, or does not speak HTTP
        finally:
            with contextlib.suppress(OSError):
                (connection.sock if connection is not None else sock).close()

    # ---- one API request

    def _request(self, request: Request) -> None:
        emulator, started = self.emulator, time.time()
        emulator.stats.begin()
        try:
            try:
                _route(request)
                request.fault = emulator.injector.pick(request)
                if request.fault:
                    emulator.stats.fault(request.fault)
                    emulator.injector.before(request)
                self._dispatch(request)
            except ApiError as error:
                emulator.refuse(request, error)
        except (OSError, EOFError) as error:
            raise Drop(rst=False) from error
        except Drop:
            raise
        except Exception as error:  # a bug of the emulator: must show up as a 500 and on stderr
            traceback.print_exc(file=sys.stderr)
            emulator.refuse(request, ApiError(500, "internal_error", f"b2server bug: {error!r}"))
        finally:
            emulator.stats.end(request)
            if self._trace:
                self._trace.write(
                    f"{started:.3f} {request.method} {request.call} {request.path} "
                    f"{request.status} {request.code} in={request.bytes_in} "
                    f"out={request.bytes_out} {(time.time() - started) * 1e3:.1f}ms"
                    f"{' fault=' + request.fault if request.fault else ''}\n"
                )

    def _dispatch(self, request: Request) -> None:
        emulator = self.emulator
        if request.call in UPLOADS:
            if request.method != "POST":
                raise ApiError(405, "method_not_allowed", "use POST")
            uploads.upload(emulator, request)
            return
        if request.call == "b2_download_file_by_name":
            downloads.by_name(emulator, request)
            return
        if request.method == "POST":
            request.params = _json_params(request.body())
        elif request.method in ("GET", "HEAD"):
            request.drain()
            request.params = dict(request.query)
        else:
            raise ApiError(405, "method_not_allowed", "use GET or POST")
        if request.call == "b2_download_file_by_id":
            downloads.by_id(emulator, request)
            return
        emulator.reply(request, HANDLERS[request.call](emulator, request, request.params))


def _route(request: Request) -> None:
    if request.path.startswith("/file/"):
        request.call = "b2_download_file_by_name"
    elif request.path.startswith("/b2api/v"):
        _, _, version, call, *_ = (*request.path.split("/"), "")
        request.version = version
        if version not in VERSIONS:
            raise bad(f"unknown API version {version}")
        if call not in HANDLERS and call not in UPLOADS and call not in DOWNLOADS:
            raise bad(f"unknown call {call}")
        request.call = call
    else:
        raise ApiError(404, "not_found", "no such path")


def _json_params(body: bytes) -> dict[str, object]:
    if not body.strip():
        return {}
    try:
        params = json.loads(body)
    except ValueError as error:
        raise bad("cannot parse the JSON body", "bad_json") from error
    if not isinstance(params, dict):
        raise bad("cannot parse the JSON body", "bad_json")
    return params
