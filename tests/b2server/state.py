"""The emulator as its calls see it: state, the account, authorization and look-ups."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import threading
import time
from collections.abc import Callable

from .api import CAPABILITIES, Json, dump, now_ms
from .errors import ApiError, bad, unauthorized
from .faults import Faults
from .injection import Injector
from .model import Bucket, Key, Version
from .options import Options
from .stats import Stats
from .store import Store
from .tokens import Token, Tokens
from .wire import Link, Request

_DRAINED_MAX = 64 << 20  # of a refused upload; a longer body is cut by closing the connection


class Emulator:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.account_id = hashlib.sha256(options.key_id.encode()).hexdigest()[:12]
        self.store = Store(options.dir, self.account_id, 1 if options.ms_timestamps else 1000)
        self.tokens = Tokens(self.store.secret)
        self.faults, self.stats = Faults(), Stats()
        self.injector = Injector(self.faults, self.tokens)
        self.inward, self.outward = Link(options.bandwidth_mbps), Link(options.bandwidth_mbps)
        self.master = Key(options.key_id, options.key, "master", list(CAPABILITIES))
        self.latency_s, self.jitter_s = options.latency_ms / 1e3, options.jitter_ms / 1e3
        self.connect_s = options.connect_ms / 1e3
        self.token_ttl = options.token_ttl
        self.upload_token_ttl = options.upload_token_ttl or options.token_ttl
        self.url = ""
        self.upload_hosts: list[str] = []
        self.upload_urls = 0
        self.stopped = threading.Event()
        self._create_what_the_options_say()

    def _create_what_the_options_say(self) -> None:
        options = self.options
        for name in options.bucket:
            if name not in self.store.buckets_by_name:
                self.create_bucket(name, "allPrivate")
        for spec in options.app_key:
            key_id, secret, caps, buckets, prefix = (*spec.split(":"), "", "", "")[:5]
            self.store.save_key(
                Key(
                    key_id,
                    secret,
                    "cli",
                    caps.split(",") if caps else list(CAPABILITIES),
                    [self.store.buckets_by_name[name].bucket_id for name in buckets.split(",")]
                    if buckets
                    else None,
                    prefix or None,
                )
            )
        if options.fault_rate or options.fault_kinds:
            self.faults.set(
                {
                    "rate": options.fault_rate,
                    "kinds": options.fault_kinds,
                    "seed": options.seed,
                    "timeout_s": options.fault_timeout_s,
                    "retry_after": options.retry_after,
                }
            )

    def create_bucket(self, name: str | None, kind: str | None) -> Bucket:
        if not name or not re.match(r"^[A-Za-z0-9-]{6,63}$", name) or name.lower()[:3] == "b2-":
            raise bad(f"Invalid bucket name: {name}")
        if kind not in ("allPublic", "allPrivate"):
            raise bad(f"Invalid bucketType: {kind}")
        with self.store.lock:
            if name in self.store.buckets_by_name:
                raise bad("Bucket name is already in use.", "duplicate_bucket_name")
            bucket = Bucket(self.account_id, secrets.token_hex(12), name, kind)
            self.store.save_bucket(bucket)
        return bucket

    # ---- authorization

    def key(self, key_id: str) -> Key | None:
        return self.master if key_id == self.master.key_id else self.store.keys.get(key_id)

    def authorize(
        self,
        request: Request,
        capability: str,
        *,
        bucket: str | None = None,
        name: str | None = None,
        token: Token | None = None,
    ) -> Key:
        """The key of the account token, if it may do this to the bucket and the name or prefix."""
        if token is None:
            token = self.tokens.find(request.headers.get("authorization"), "account")
        key = self.key(token.key_id)
        if key is None:
            raise ApiError(401, "bad_auth_token", "the application key is gone")
        if key.expires and key.expires < now_ms():
            raise ApiError(401, "expired_auth_token", "the application key has expired")
        if capability not in key.capabilities:
            raise unauthorized(f"needs capability {capability}")
        if bucket is not None and key.buckets is not None and bucket not in key.buckets:
            raise unauthorized("not allowed for this bucket")
        if key.prefix and name is not None and not name.startswith(key.prefix):
            raise unauthorized(f"key is restricted to the prefix {key.prefix}")
        return key

    # ---- what a call names

    def bucket(self, bucket_id: str | None) -> Bucket:
        if not bucket_id:
            raise bad("bucketId is required")
        bucket = self.store.buckets.get(bucket_id)
        if bucket is None:
            raise bad(f"Bucket {bucket_id} does not exist", "bad_bucket_id")
        return bucket

    def file(self, file_id: str | None) -> Version:
        version = self.store.files.get(file_id or "")
        if version is None:
            if not str(file_id).startswith("4_z"):
                raise bad(f"Invalid fileId: {file_id}")
            raise ApiError(404, "not_found", f"File not present: {file_id}")
        return version

    def unfinished(self, file_id: str | None) -> Version:
        if not str(file_id).startswith("4_z"):
            raise bad(f"Invalid fileId: {file_id}")
        version = self.store.files.get(file_id or "")
        if version is None or version.action != "start":
            raise bad(f"No active upload for: {file_id}")
        return version

    def upload_url(self, path: Callable[[int], str]) -> str:
        """An upload URL on the next of the hosts; `path` gets its running number."""
        self.upload_urls += 1
        host = self.upload_hosts[self.upload_urls % len(self.upload_hosts)]
        return host + path(self.upload_urls)

    # ---- answers

    def lag(self) -> None:
        if self.latency_s:
            time.sleep(max(0, self.latency_s + random.uniform(-self.jitter_s, self.jitter_s)))

    def reply(self, request: Request, body: Json | bytes) -> None:
        self.injector.after(request)
        self.lag()
        request.answer(body if isinstance(body, bytes) else dump(body).encode())

    def refuse(self, request: Request, error: ApiError) -> None:
        if request.body_left > _DRAINED_MAX:
            request.close = True
        else:
            request.drain()
        self.lag()
        request.refuse(error)
