"""What b2sdk and requests raise, as savethat's errors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import requests
from b2sdk.v2 import exception as b2

from savethat.errors import DeniedError, MissingError, StorageError, UnreachableError
from savethat.remotes.b2_retry import GaveUp

# The first row that fits decides; b2sdk's other errors become a StorageError with their own words.
TABLE: tuple[tuple[tuple[type[Exception], ...], type[StorageError]], ...] = (
    ((b2.NonExistentBucket, b2.BucketIdNotFound), StorageError),
    ((b2.FileNotPresent,), MissingError),
    (
        (
            b2.AccessDenied,
            b2.CapExceeded,
            b2.NotAllowedByAppKeyError,
            b2.RestrictedBucket,
            b2.RestrictedBucketMissing,
            b2.Unauthorized,
        ),
        DeniedError,
    ),
    (
        (
            GaveUp,
            b2.B2ConnectionError,
            b2.B2HttpCallbackException,
            b2.B2RequestTimeout,
            b2.BadDateFormat,
            b2.BadUploadUrl,
            b2.BrokenPipe,
            b2.ConnectionReset,
            b2.InvalidJsonResponse,
            b2.RequestTimeout,
            b2.ServiceError,
            b2.TooManyRequests,
            b2.TruncatedOutput,
            b2.UnknownHost,
            requests.RequestException,
            # A captive portal or a proxy answers, but not as B2 does.
            json.JSONDecodeError,
        ),
        UnreachableError,
    ),
)

_HINTS = {
    DeniedError: "look at the key's rights and the account's caps; `savethat setup` stores another",
    UnreachableError: "try again when there is a way to it; look at b2_realm if there never was",
}


@contextlib.contextmanager
def translated(store: str, name: str = "") -> Iterator[None]:
    """Raises whatever b2sdk raises as the contract's.

    Args:
        store: names bucket and key id, for the message.
        name: the object concerned, if any.
    """
    try:
        yield
    except (b2.B2Error, requests.RequestException, json.JSONDecodeError) as error:
        # The words of a cause would show its upload token.
        raise translate(error, store, name) from (None if _has_token(error) else error)


def translate(error: Exception, store: str, name: str = "") -> StorageError:
    """The error to raise for one of b2sdk's or requests'."""
    kind = _kind(error)
    place = f"{store}: {name}" if name else store
    if isinstance(error, b2.NonExistentBucket | b2.BucketIdNotFound):
        return StorageError(f"{store}: there is no such bucket", "correct b2_bucket or b2_realm")
    if _has_token(error):
        return StorageError(f"{place}: one upload URL was used for two uploads at once")
    if kind is MissingError:
        return MissingError(f"{place}: there is no such file")
    return kind(f"{place}: {_words(error)}", _HINTS.get(kind, ""))


def _kind(error: Exception) -> type[StorageError]:
    if isinstance(error, b2.UnknownError):
        # b2sdk knows neither of these: "<status> <code> <message>".
        if "non_json_response" in str(error):
            return UnreachableError
        if "403 " in str(error):
            return DeniedError
    return next((kind for types, kind in TABLE if isinstance(error, types)), StorageError)


def _has_token(error: Exception) -> bool:
    """Whether it is b2sdk's error of two uploads on one URL: its class is not public."""
    return hasattr(error, "token")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
