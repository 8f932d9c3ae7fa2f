"""How b2sdk talks to the server: below b2sdk's own retries, which so have nothing left to do.

b2sdk takes a factory of `requests.Session` for this. The policy is stated in `b2_retry`.
"""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from typing_extensions import override

from savethat.errors import UnreachableError
from savethat.remotes import b2_retry as policy
from savethat.remotes.b2_retry import GaveUp, Tries
from savethat.remotes.b2_sockets import Adapter, Sockets
from savethat.remotes.patience import Patience

# Calls during which the server moves the bytes of large files.
_JOINS = ("/b2_copy_part", "/b2_copy_file", "/b2_finish_large_file")


class Session(requests.Session):
    """A session for b2sdk.

    Args:
        patience: how long it may go on.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.sockets = Sockets()
        super().__init__()
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

    @override
    def mount(self, prefix: Any, adapter: BaseAdapter) -> None:
        """Puts an adapter of our own around b2sdk's."""
        if isinstance(adapter, HTTPAdapter):
            adapter = Adapter(adapter, self.sockets)
        super().mount(prefix, adapter)

    @override
    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends a request until there is an answer that counts; an upload once.

        Raises:
            GaveUp: there is none.
        """
        headers = dict(kwargs.pop("headers", None) or {})
        if "X-Bz-Content-Sha1" in headers:
            return self._once(method, url, *args, headers=headers, **kwargs)
        tries = Tries(self.patience, policy.LIMIT)
        renewals = 0
        while True:
            try:
                response = self._once(method, url, *args, headers=headers, **kwargs)
            except (requests.ConnectionError, requests.Timeout) as error:
                tries.wait(f"no answer: {error}")
                continue
            if response.status_code in policy.REPEATED:
                why = _words(response)
                response.close()
                tries.wait(why, response.headers.get("Retry-After"))
                continue
            token = headers.get("Authorization", "")
            renewable = self.renew and not token.startswith("Basic ") and token
            if renewable and renewals < policy.RENEWALS and _is_token_bad(response):
                assert self.renew is not None
                response.close()
                renewals += 1
                headers["Authorization"] = self.renew(token)
                continue
            return response

    def _once(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        first = not self.sockets.any
        kwargs["timeout"] = self._timeout(url, kwargs["headers"])
        try:
            self.patience.check()
            response = super().request(method, url, *args, **kwargs)
        except UnreachableError as error:
            raise GaveUp(error.message) from None
        except (requests.ConnectionError, requests.Timeout) as error:
            if _may_have_arrived(error):
                self._local.lost = self.lost + 1
            self._bear_silence(error, first=first and not self.sockets.any)
            raise
        if response.status_code >= 500 and not _is_refusal(response):
            self._local.lost = self.lost + 1
        if _is_foreign(response):
            raise GaveUp(f"{response.status_code}: there is an answer, but not one of B2")
        self._silent_since = None
        date = email.utils.parsedate_tz(response.headers.get("Date", ""))
        self.clock_offset = email.utils.mktime_tz(date) - time.time() if date else 0.0
        return response

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
        left = max(self.patience.left(), 0.001)  # requests takes no 0
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
            raise GaveUp(f"{late.message}: {why}") from error
        if first:
            self._local.first_tries = getattr(self._local, "first_tries", 0) + 1
            if self._local.first_tries >= policy.FIRST_TRIES:
                raise GaveUp(why) from error
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since > policy.SILENCE:
            raise GaveUp(f"{why} (for {now - self._silent_since:.0f} s)") from error


def _may_have_arrived(error: Exception) -> bool:
    """Whether the server may have got the request: not where there was no connection."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
        return False
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ not in ("NewConnectionError", "NameResolutionError")


def _is_refusal(response: requests.Response) -> bool:
    """Whether this is B2's own way to say that it is busy, and has done nothing."""
    return response.status_code == 503 and _error(response).get("code") == "service_unavailable"


def _is_foreign(response: requests.Response) -> bool:
    """Whether something on the way refused, such as a captive portal: B2's refusals are JSON."""
    status = response.status_code
    return status >= 400 and status not in policy.REPEATED and not _error(response)


def _is_token_bad(response: requests.Response) -> bool:
    """Whether the answer says that the token is not good any more."""
    known = ("expired_auth_token", "bad_auth_token")
    return response.status_code == 401 and _error(response).get("code") in known


def _error(response: requests.Response) -> dict[str, Any]:
    try:
        error = json.loads(response.content)
    except (ValueError, requests.RequestException):
        return {}
    return error if isinstance(error, dict) else {}


def _words(response: requests.Response) -> str:
    error = _error(response)
    return f"{response.status_code} {error.get('code', '')} {error.get('message', '')}".strip()
