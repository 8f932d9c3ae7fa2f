"""What requests may have done although their answers were lost.

An upload is not idempotent: one whose answer is lost and which is sent again leaves two versions.
And a version that a lost deletion did delete must not count as removed by someone else. So both are
remembered, until what is there has been looked at.
"""

from __future__ import annotations

import threading


class Doubts:
    """The doubts of one remote; names in full."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uploads: dict[str, set[str]] = {}
        self._deletions: set[str] = set()

    def add_upload(self, name: str, sha1: str) -> None:
        """A version of `name` with this content may be there, or an unfinished upload of one."""
        with self._lock:
            self._uploads.setdefault(name, set()).add(sha1)

    def uploads(self, name: str) -> frozenset[str]:
        """SHA-1s of what may be there under this name besides what is known."""
        with self._lock:
            return frozenset(self._uploads.get(name, ()))

    def settle(self, name: str) -> None:
        """What is there under this name has been looked at."""
        with self._lock:
            self._uploads.pop(name, None)

    def add_deletion(self, version: str) -> None:
        """The version of this id may have been deleted, by us."""
        with self._lock:
            self._deletions.add(version)

    def may_have_deleted(self, version: str) -> bool:
        """Whether it was perhaps us who deleted the version of this id."""
        with self._lock:
            return version in self._deletions
