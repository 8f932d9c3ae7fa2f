"""Upload URLs: each for one upload at a time, handed on from one to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Urls:
    """The upload URLs of a bucket, or of one large file, that are not in use.

    The one last given back goes first: so there are as many as uploads at a time, and each has a
    connection that is open.

    Args:
        ask: asks B2 for another one.
    """

    def __init__(self, ask: Callable[[], dict[str, Any]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._free: list[tuple[str, str]] = []

    def take(self) -> tuple[str, str]:
        """A URL with its token."""
        with self._lock:
            if self._free:
                return self._free.pop()
        answer = self._ask()
        return answer["uploadUrl"], answer["authorizationToken"]

    def keep(self, url: str, token: str) -> None:
        """Takes back a URL that is still good."""
        with self._lock:
            self._free.append((url, token))
