"""What can become of a request to B2. `b2_errors` makes the contract's errors of it."""

from __future__ import annotations

# Answers that another try may change. 511 is a captive portal's.
REPEATED = frozenset({408, 409, 429, *range(500, 600)} - {511})

_MISSING = {
    (400, "no_such_file"),
    (400, "file_not_present"),
    (404, "not_found"),
}


class B2Error(Exception):
    """A request to B2 did not do what it was for."""


class GaveUpError(B2Error):
    """There is no sense in asking again now."""


class NoAnswerError(B2Error):
    """The one try that an upload has ended without an answer."""


class DamagedError(B2Error):
    """What arrived is not what was stored."""


class RefusalError(B2Error):
    """B2 said no.

    Args:
        status: of HTTP.
        code: B2's own word for it.
        message: for people.
        retry_after: how long it asks to be left alone, in its words.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: str | None = None
    ) -> None:
        super().__init__(f"{status} {code} {message}".strip())
        self.status, self.code, self.retry_after = status, code, retry_after

    @property
    def missing(self) -> bool:
        """Whether there is no such file or version."""
        return (self.status, self.code) in _MISSING

    @property
    def token_bad(self) -> bool:
        """Whether the token is not good any more; another one may be."""
        return self.status == 401 and self.code in ("expired_auth_token", "bad_auth_token")
