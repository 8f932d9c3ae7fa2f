"""Authorization tokens: signed, so that a restart of the emulator does not void them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Literal

from .api import dump
from .errors import ApiError

Kind = Literal["account", "upload", "part", "download"]

_SIGNATURE_BYTES = 12  # 16 characters in base64, without padding
_CACHED = 200_000


@dataclass(slots=True)
class Token:
    """A token's claims, and what befell it: in use by an upload, expired or spoiled."""

    text: str
    kind: Kind
    key_id: str
    issued: float
    expires: float
    target: str | None
    prefix: str | None
    busy: bool = False
    expired: bool = False
    spoiled: bool = False  # its upload failed: B2's rule is to get a new upload URL


class Tokens:
    def __init__(self, secret: bytes) -> None:
        self.lock = threading.Lock()
        self._secret = secret
        self._cache: dict[str, Token] = {}
        self._issued_after: dict[Kind, float] = {}

    def issue(
        self,
        kind: Kind,
        key_id: str,
        ttl: float,
        target: str | None = None,
        prefix: str | None = None,
    ) -> Token:
        now = time.time()
        issued, expires = round(now, 3), round(now + ttl, 3)
        claims = [kind, key_id, issued, expires, target, prefix, secrets.token_hex(4)]
        body = dump(claims).encode()
        text = "4_{}_{}".format(
            base64.urlsafe_b64encode(body).decode().rstrip("="),
            base64.urlsafe_b64encode(self._sign(body)).decode(),
        )
        token = Token(text, kind, key_id, now, now + ttl, target, prefix)
        with self.lock:
            if len(self._cache) > _CACHED:
                self._cache.clear()
            self._cache[text] = token
        return token

    def cached(self, text: str) -> Token | None:
        return self._cache.get(text)

    def find(self, text: str | None, *kinds: Kind) -> Token:
        """The valid token of one of the kinds; 401 for any other."""
        if not text:
            raise ApiError(401, "bad_auth_token", "Missing Authorization header")
        token = self._cache.get(text)
        if token is None:
            token = self._parse(text)
            with self.lock:
                token = self._cache.setdefault(text, token)
        if token.kind not in kinds:
            raise ApiError(401, "bad_auth_token", "Invalid authorization token")
        revoked = token.issued < self._issued_after.get(token.kind, 0)
        if token.expired or revoked or token.expires < time.time():
            raise ApiError(401, "expired_auth_token", "Authorization token has expired")
        return token

    def expire_issued(self, *kinds: Kind) -> None:
        """Every token of these kinds issued so far is expired from now on."""
        self._issued_after.update(dict.fromkeys(kinds, time.time()))

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._secret, body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]

    def _parse(self, text: str) -> Token:
        try:
            encoded, signature = text[2:-17], text[-16:]
            body = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            genuine = hmac.compare_digest(base64.urlsafe_b64decode(signature), self._sign(body))
            if text[:2] != "4_" or not genuine:
                raise ValueError("wrong signature")
            *claims, _ = json.loads(body)
            return Token(text, *claims)
        except ValueError as error:
            raise ApiError(401, "bad_auth_token", "Invalid authorization token") from error
