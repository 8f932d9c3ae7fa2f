"""What can become of a request to B2, as savethat's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from savethat.errors import DeniedError, MissingError, StorageError, UnreachableError
from savethat.remotes.b2_failures import REPEATED, B2Error, GaveUpError, NoAnswerError, RefusalError

_HINTS = {
    DeniedError: "look at the key's rights and the account's caps; `savethat setup` stores another",
    UnreachableError: "try again when there is a way to it; look at b2_realm if there never was",
}


@contextlib.contextmanager
def translated(store: str, name: str = "") -> Iterator[None]:
    """Raises whatever became of a request as the contract's.

    Args:
        store: names bucket and key id, for the message.
        name: the object concerned, if any.
    """
    try:
        yield
    except B2Error as error:
        # The words of a cause would show its upload token.
        raise translate(error, store, name) from (None if _has_token(error) else error)


def translate(error: B2Error, store: str, name: str = "") -> StorageError:
    """The error to raise for a failure."""
    kind = _kind(error)
    place = f"{store}: {name}" if name else store
    if isinstance(error, RefusalError) and error.code == "bad_bucket_id":
        return StorageError(f"{store}: there is no such bucket", "correct b2_bucket or b2_realm")
    if _has_token(error):
        return StorageError(f"{place}: one upload URL was used for two uploads at once")
    if kind is MissingError:
        return MissingError(f"{place}: there is no such file")
    return kind(f"{place}: {error}", _HINTS.get(kind, ""))


def _kind(error: B2Error) -> type[StorageError]:
    if isinstance(error, GaveUpError | NoAnswerError):
        return UnreachableError
    if not isinstance(error, RefusalError):
        return StorageError
    if error.missing:
        return MissingError
    if error.status in (401, 403):
        return DeniedError
    return UnreachableError if error.status in REPEATED else StorageError


def _has_token(error: B2Error) -> bool:
    """Whether its words have the token of an upload URL that two uploads used."""
    return isinstance(error, RefusalError) and error.code == "auth_token_limit"
