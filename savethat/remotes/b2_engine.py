"""Requests to B2 over urllib3, with savethat's policy (`b2_retry`) and connections (`b2_sockets`).

Whatever is asked of B2 goes through here, b2sdk's requests, too (`b2_sdk`). An upload, known by its
SHA-1 header, is sent once; `b2_upload` then asks for another URL, as B2 wants it.
"""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from urllib3 import BaseHTTPResponse
from urllib3 import exceptions as urllib3

from savethat import __version__
from savethat.errors import UnreachableError
from savethat.remotes import b2_retry as policy
from savethat.remotes.b2_failures import REPEATED, GaveUpError, NoAnswerError, RefusalError
from savethat.remotes.b2_retry import Tries
from savethat.remotes.b2_sockets import Connections, Sockets
from savethat.remotes.b2_wire import Answer
from savethat.remotes.patience import Patience

# Calls during which the server moves the bytes of large files.
_JOINS = ("/b2_copy_part", "/b2_copy_file", "/b2_finish_large_file")

# What is raised where there is no answer, or it breaks off.
NO_ANSWER = urllib3.HTTPError
_NO_CONNECTION = (urllib3.ConnectTimeoutError, urllib3.NewConnectionError, urllib3.SSLError)

_AGENT = f"savethat/{__version__}"

_Reply = TypeVar("_Reply", Answer, BaseHTTPResponse)


class Engine:
    """What a remote talks through; safe to use from several threads.

    Args:
        patience: how long it may go on.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.sockets = Sockets()
        self._connections = Connections(self.sockets)
        # The server's clock minus this machine's, seconds; None until it answered.
        self.clock_offset: float | None = None
        # Gives a good account token for one that is not good any more.
        self.renew: Callable[[str], str] | None = None
        self._local = threading.local()
        # Since when nothing answers, by time.monotonic().
        self._silent_since: float | None = None
        patience.at_the_end(self.sockets.break_off)

    @property
    def lost(self) -> int:
        """How many requests of this thread may have worked, although no answer says so."""
        count: int = getattr(self._local, "lost", 0)
        return count

    def reach(self, url: str) -> bool:
        """Makes a first connection, with nothing asked; whether there is one now."""
        try:
            self._connections.open(url, min(policy.FIRST_CONNECT_TIMEOUT, self.patience.left()))
        except (NO_ANSWER, OSError):  # TLS's own errors are OSErrors
            return False
        return True

    def call(self, url: str, token: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """Asks with JSON and is answered with it.

        Raises:
            RefusalError: B2 said no.
            GaveUpError: there is no answer.
        """
        return answered(self.ask(url, token, question))

    def ask(self, url: str, token: str, question: Mapping[str, Any]) -> Answer:
        """As `call`; the answer is for the caller to read, with `answered`."""
        body = json.dumps({key: value for key, value in question.items() if value is not None})
        return self.request("POST", url, {"Authorization": token}, body.encode())

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Any = None,
    ) -> Answer:
        """Sends a request until there is an answer that counts; an upload once.

        Args:
            method: of HTTP.
            url: where to.
            headers: go along.
            body: bytes, or what has them to read.

        Raises:
            RefusalError: B2 said no.
            NoAnswerError: an upload has none.
            GaveUpError: there is none.
        """
        headers = {"User-Agent": _AGENT, **headers}

        def send() -> Answer:
            timeout = self._timeout(url, headers)
            return self._connections.exchange(method, url, headers, body, timeout)

        if "X-Bz-Content-Sha1" in headers:
            try:
                return self._once(send)
            except NO_ANSWER as error:
                raise NoAnswerError(f"no answer: {error}") from error
        return self._repeated(send, headers)

    def open(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Asks for what the caller reads from the answer, and then closes.

        Raises:
            RefusalError: B2 said no.
            GaveUpError: there is no answer.
        """
        headers = {"User-Agent": _AGENT, **headers}

        def send() -> BaseHTTPResponse:
            timeout = self._timeout(url, headers)
            return self._connections.send("GET", url, headers, None, timeout, stream=True)

        return self._repeated(send, headers)

    def _repeated(self, send: Callable[[], _Reply], headers: dict[str, str]) -> _Reply:
        """Sends until there is an answer that counts; a new token goes into the headers."""
        tries = Tries(self.patience, policy.LIMIT)
        renewals = 0
        while True:
            try:
                return self._once(send)
            except NO_ANSWER as error:
                tries.wait(f"no answer: {error}")
            except RefusalError as refused:
                token = headers.get("Authorization", "")
                renewable = self.renew and token and not token.startswith("Basic ")
                if refused.status in REPEATED:
                    tries.wait(str(refused), refused.retry_after)
                elif refused.token_bad and renewable and renewals < policy.RENEWALS:
                    assert self.renew is not None
                    renewals += 1
                    headers["Authorization"] = self.renew(token)
                else:
                    raise

    def _once(self, send: Callable[[], _Reply]) -> _Reply:
        first = not self.sockets.any
        try:
            self.patience.check()
        except UnreachableError as error:
            raise GaveUpError(error.message) from None
        try:
            response = send()
            said = {} if response.status < 400 else _error(response)
        except NO_ANSWER as no_answer:
            if _may_have_arrived(no_answer):
                self._local.lost = self.lost + 1
            self._bear_silence(no_answer, first=first and not self.sockets.any)
            raise
        self._judge(response, said)
        self._silent_since = None
        date = email.utils.parsedate_tz(response.headers.get("Date", ""))
        self.clock_offset = email.utils.mktime_tz(date) - time.time() if date else 0.0
        if response.status >= 400:
            code, message = str(said.get("code", "")), str(said.get("message", ""))
            wait = response.headers.get("Retry-After")
            raise RefusalError(response.status, code, message, wait)
        return response

    def _judge(self, response: Answer | BaseHTTPResponse, said: Mapping[str, Any]) -> None:
        """Notes an answer that leaves in doubt what was done; raises where it is not B2's."""
        status = response.status
        # B2's own way to say that it is busy, and has done nothing.
        refusal = status == 503 and said.get("code") == "service_unavailable"
        if status >= 500 and not refusal:
            self._local.lost = self.lost + 1
        # Something on the way, such as a captive portal: B2's refusals are JSON.
        if status >= 300 and status not in REPEATED and not said:
            raise GaveUpError(f"{status}: there is an answer, but not one of B2")

    def _timeout(self, url: str, headers: Mapping[str, str]) -> tuple[float, float]:
        """Seconds to connect or to send a block, and to wait for a block of the answer."""
        connect, read = policy.CONNECT_TIMEOUT, policy.READ_TIMEOUT
        if "X-Bz-Content-Sha1" in headers:
            connect = policy.SEND_TIMEOUT
            sent = min(int(headers.get("Content-Length", 0)), policy.BUFFERED)
            read += sent / policy.SLOWEST
        elif url.endswith(_JOINS):
            read = policy.JOIN_TIMEOUT
        if not self.sockets.any:
            connect = policy.FIRST_CONNECT_TIMEOUT
        left = max(self.patience.left(), 0.001)  # urllib3 takes no 0
        return min(connect, left), min(read, left)

    def _bear_silence(self, error: Exception, *, first: bool) -> None:
        """Notes that nothing answered, and gives up where that has lasted.

        Args:
            error: what happened instead.
            first: whether no connection was ever made.
        """
        why = f"it cannot be reached: {error}"
        try:
            self.patience.check()
        except UnreachableError as late:
            raise GaveUpError(f"{late.message}: {why}") from error
        if first:
            self._local.first_tries = getattr(self._local, "first_tries", 0) + 1
            if self._local.first_tries >= policy.FIRST_TRIES:
                raise GaveUpError(why) from error
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since > policy.SILENCE:
            raise GaveUpError(f"{why} (for {now - self._silent_since:.0f} s)") from error


def answered(response: Answer) -> dict[str, Any]:
    """The JSON of an answer.

    Raises:
        GaveUpError: it is none of B2's, which are objects.
    """
    try:
        answer = json.loads(response.data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise GaveUpError(f"{response.status}: there is an answer, but not one of B2")
    return answer


def _may_have_arrived(error: Exception) -> bool:
    """Whether the server may have got the request: not where there was no connection."""
    return not isinstance(error, _NO_CONNECTION)


def _error(response: Answer | BaseHTTPResponse) -> dict[str, Any]:
    """What the content of a refusal says; reading it gives the connection back."""
    try:
        error = json.loads(response.data)
    except ValueError:
        return {}
    return error if isinstance(error, dict) else {}
