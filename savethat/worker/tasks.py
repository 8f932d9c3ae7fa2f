"""Many requests at a time, the most important first, as long as there is time for them."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable

from savethat.errors import MissingError, StorageError, UnreachableError

# As many as help small files anywhere; how many a remote really does at a time is for it to say
# (`savethat.remotes.pace`).
PARALLEL = 48
# Of those that move much: more would only share the link, and be there later, each of them.
FEW = 8


class ChangingError(StorageError):
    """The file changed each time it was read."""


class Tasks:
    """Begins some at a time, in order, until the time is up or the remote cannot be reached.

    Args:
        by: when to begin nothing more, by `time.monotonic`; None for never.
    """

    def __init__(self, by: float | None) -> None:
        self._by = by
        self._errors: list[StorageError] = []
        self._changing: list[StorageError] = []
        self._away = threading.Event()
        self._skipped = threading.Event()
        self._few = threading.Semaphore(FEW)

    @property
    def complete(self) -> bool:
        """Whether all that was to be done was."""
        return not (self._errors or self._changing or self._skipped.is_set())

    def run(self, tasks: Iterable[Callable[[], object]]) -> None:
        """Carries tasks out as long as there is time; keeps what they raise."""
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            futures = [pool.submit(self._begin, task) for task in tasks]
        for future in futures:
            try:
                future.result()
            except ChangingError as error:
                self._changing.append(error)
            except StorageError as error:
                self._errors.append(error)

    def one_of_few(self, task: Callable[[], object]) -> None:
        """Carries out a task of those that are few at a time, if there still is time by then."""
        with self._few:
            self._begin(task)

    def _begin(self, task: Callable[[], object]) -> None:
        if self._away.is_set() or (self._by is not None and time.monotonic() >= self._by):
            self._skipped.set()
            return
        try:
            task()
        except UnreachableError:
            self._away.set()
            raise

    def end(self, *, final: bool) -> None:
        """Raises what went wrong: that the run was removed, if it was, else the first of it."""
        removed = [error for error in self._errors if isinstance(error, MissingError)]
        for error in (*removed, *self._errors, *(self._changing if final else ())):
            raise error
