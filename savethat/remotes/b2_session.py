"""How b2sdk talks to the server: time limits, connections, waiting when told to, its clock.

b2sdk takes a factory of `requests.Session` for this. What it leaves open is settled here, below
b2sdk's own retries:

- It waits up to 1,200 s for the answer to a call. Here it is two minutes.
- It goes on for up to a quarter of an hour where nothing answers at all. Here a thread gives up
  after half a minute, and at the second try where the server never answered before: a compute node
  without a way out is found out in seconds.
- It does not repeat an upload that was answered with 429 Too Many Requests. Backblaze asks to wait
  and to keep the upload URL: https://www.backblaze.com/docs/cloud-storage-integration-checklist
- It keeps 10 connections to a host; more threads than that would connect anew for each call.
"""

from __future__ import annotations

import email.utils
import threading
import time
from typing import Any

import requests
from b2sdk.v2 import exception as b2
from requests.adapters import BaseAdapter, HTTPAdapter
from typing_extensions import override

CONNECT_TIMEOUT = 15.0
READ_TIMEOUT = 120.0
CONNECTIONS = 40

_FIRST_TRIES = 2
# Seconds.
_PATIENCE = 30.0
# Seconds before each repetition of an upload, where the answer does not name them.
_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_LONGEST_WAIT = 60.0


class Session(requests.Session):
    """A session for b2sdk."""

    def __init__(self) -> None:
        super().__init__()
        # The server's clock minus this machine's, seconds; None until it answered.
        self.clock_offset: float | None = None
        self._local = threading.local()

    @property
    def lost(self) -> int:
        """How many requests of this thread had no answer, or one of 5xx: they may have worked."""
        count: int = getattr(self._local, "lost", 0)
        return count

    @override
    def mount(self, prefix: Any, adapter: BaseAdapter) -> None:
        """Gives b2sdk's adapter a larger pool of connections."""
        if isinstance(adapter, HTTPAdapter):
            adapter.init_poolmanager(CONNECTIONS, CONNECTIONS)
        super().mount(prefix, adapter)

    @override
    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends a request, an upload again after 429.

        Raises:
            b2sdk.v2.exception.UnknownHost: no answer for so long that b2sdk is not to go on.
        """
        connect, read = kwargs.get("timeout") or (CONNECT_TIMEOUT, READ_TIMEOUT)
        kwargs["timeout"] = (min(connect, CONNECT_TIMEOUT), min(read, READ_TIMEOUT))
        waits = iter(_WAITS if "X-Bz-Content-Sha1" in (kwargs.get("headers") or {}) else ())
        while True:
            response = self._once(method, url, *args, **kwargs)
            wait = next(waits, None) if response.status_code == 429 else None
            if wait is None:
                return response
            response.close()
            time.sleep(_seconds(response.headers.get("Retry-After"), wait))
            kwargs["data"].seek(0)

    def _once(self, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            response = super().request(*args, **kwargs)
        except (requests.ConnectionError, requests.Timeout) as error:
            self._local.lost = self.lost + 1
            since = self._local.__dict__.setdefault("silent_since", time.monotonic())
            never = self.clock_offset is None and self.lost >= _FIRST_TRIES
            if never or time.monotonic() - since > _PATIENCE:
                raise b2.UnknownHost from error
            raise
        if response.status_code >= 500:
            self._local.lost = self.lost + 1
        self._local.__dict__.pop("silent_since", None)
        date = email.utils.parsedate_tz(response.headers.get("Date", ""))
        self.clock_offset = email.utils.mktime_tz(date) - time.time() if date else 0.0
        return response


def _seconds(retry_after: str | None, default: float) -> float:
    try:
        wait = float(retry_after or default)
    except ValueError:  # a date, which is allowed as well
        wait = default
    return min(max(wait, 0.0), _LONGEST_WAIT)
