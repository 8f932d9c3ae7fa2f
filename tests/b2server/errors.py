"""How a call ends other than by its answer."""

from __future__ import annotations

from collections.abc import Mapping


class ApiError(Exception):
    """An answer with a B2 error: HTTP status, B2 code and a message."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})


class Drop(Exception):  # noqa: N818 - not an error: the way a fault takes the connection away
    """The connection goes away without an answer; with `rst`, by a TCP reset."""

    def __init__(self, rst: bool = True) -> None:
        super().__init__()
        self.rst = rst


def bad(message: str, code: str = "bad_request") -> ApiError:
    return ApiError(400, code, message)


def unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", f"unauthorized: {message}")
