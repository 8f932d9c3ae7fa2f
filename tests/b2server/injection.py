"""How a fault strikes a request: before the call is done, or between doing and answering it."""

from __future__ import annotations

import time

from .api import DOWNLOADS, UPLOADS
from .errors import ApiError, Drop
from .faults import Faults, fits
from .tokens import Tokens
from .wire import Request


class Injector:
    def __init__(self, faults: Faults, tokens: Tokens) -> None:
        self._faults, self._tokens = faults, tokens

    def pick(self, request: Request) -> str | None:
        """The fault of the plan, or else of the request's own X-Bz-Test-Mode."""
        kind = self._faults.pick(request.call) or self._test_mode(request)
        return kind if kind and fits(kind, request.call) else None

    def _test_mode(self, request: Request) -> str | None:
        mode, call, chance = (
            request.headers.get("x-bz-test-mode"),
            request.call,
            self._faults.random,
        )
        if mode == "fail_some_uploads" and call in UPLOADS and chance.random() < 0.25:
            return "503"
        if (
            mode == "expire_some_account_authorization_tokens"
            and call not in (*UPLOADS, "b2_authorize_account")
            and chance.random() < 0.1
        ):
            return "401expired"
        if mode == "force_cap_exceeded" and call in UPLOADS + DOWNLOADS:
            return "cap"
        return None

    def before(self, request: Request) -> None:
        """Raises what ends the call before it is done."""
        kind = request.fault
        if kind == "early503":
            self._spoil(request)
            request.close = True
            request.refuse(_injected(503, "service_unavailable", "no tomes available"))
            raise Drop(rst=False)
        if kind in ("reset", "timeout"):
            self._spoil(request)
            if request.call in UPLOADS:
                part = self._faults.random.randrange(request.body_left + 1)
                for _ in request.chunks(part):
                    pass
            else:
                request.drain()
            if kind == "timeout":
                time.sleep(self._faults.timeout_s)
            raise Drop
        if kind == "slow":
            time.sleep(self._faults.timeout_s)
            return
        error = self._error(request)
        if error is not None:
            request.drain()
            if error.status in (408, 500, 503):
                self._spoil(request)
            raise error

    def _error(self, request: Request) -> ApiError | None:
        kind, call, retry_after = request.fault, request.call, self._faults.retry_after
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if kind == "503":
            message = f"{request.connection.host} is too busy"
            return _injected(503, "service_unavailable", message, headers)
        if kind == "500":
            return _injected(500, "internal_error", "internal error", headers)
        if kind == "408":
            return _injected(408, "request_timeout", "timed out while reading the request")
        if kind == "429":
            headers.setdefault("Retry-After", "1")
            return _injected(429, "too_many_requests", "too many requests", headers)
        if kind == "401expired":
            token = self._tokens.cached(request.headers.get("authorization", ""))
            if token is not None:
                token.expired = True
            return _injected(401, "expired_auth_token", "Authorization token has expired")
        if kind == "401bad":
            return _injected(401, "bad_auth_token", "Invalid authorization token")
        if kind == "cap":
            what = "storage" if call in UPLOADS else "download" if call in DOWNLOADS else None
            return _injected(403, f"{what or 'transaction'}_cap_exceeded", "usage cap exceeded")
        return None

    def after(self, request: Request) -> None:
        """Raises what loses the answer of a call that was done."""
        kind = request.fault or ""
        if not kind.endswith("-after-commit"):
            return
        self._spoil(request)
        if kind == "500-after-commit":
            raise _injected(500, "internal_error", "internal error (the call was done)")
        if kind == "timeout-after-commit":
            time.sleep(self._faults.timeout_s)
        raise Drop

    def _spoil(self, request: Request) -> None:
        """After a failed upload its upload URL must not be used again."""
        if request.call in UPLOADS and self._faults.sticky:
            token = self._tokens.cached(request.headers.get("authorization", ""))
            if token is not None:
                token.spoiled = True


def _injected(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> ApiError:
    return ApiError(status, code, f"injected: {message}", headers)
