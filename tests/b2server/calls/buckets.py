"""Buckets."""

from __future__ import annotations

from ..api import Json
from ..errors import ApiError, bad, unauthorized
from ..model import Bucket
from ..state import Emulator
from ..wire import Request


def _settings(bucket: Bucket, params: Json) -> None:
    if params.get("bucketInfo") is not None:
        bucket.info = params["bucketInfo"]
    if params.get("corsRules") is not None:
        bucket.cors = params["corsRules"]
    if params.get("lifecycleRules") is not None:
        bucket.lifecycle = params["lifecycleRules"]


def create_bucket(emulator: Emulator, request: Request, params: Json) -> Json:
    emulator.authorize(request, "writeBuckets")
    with emulator.store.lock:
        bucket = emulator.create_bucket(params.get("bucketName"), params.get("bucketType"))
        _settings(bucket, params)
        emulator.store.save_bucket(bucket)
        return bucket.answer()


def list_buckets(emulator: Emulator, request: Request, params: Json) -> Json:
    key = emulator.authorize(request, "listBuckets")
    if params.get("accountId") not in (None, emulator.account_id):
        raise bad("Invalid accountId")
    bucket_id, name = params.get("bucketId"), params.get("bucketName")
    kinds = params.get("bucketTypes")
    if isinstance(kinds, str):
        kinds = kinds.split(",")
    with emulator.store.lock:
        buckets = sorted(emulator.store.buckets.values(), key=lambda bucket: bucket.name)
    if key.buckets is not None:
        # A restricted key must name a bucket of its own.
        allowed = {b.bucket_id: b.name for b in buckets if b.bucket_id in key.buckets}
        named = bucket_id in allowed if bucket_id else name in allowed.values()
        if not named:
            raise unauthorized("key is restricted to its buckets")
    return {
        "buckets": [
            bucket.answer()
            for bucket in buckets
            if (not bucket_id or bucket.bucket_id == bucket_id)
            and (not name or bucket.name == name)
            and (not kinds or "all" in kinds or bucket.kind in kinds)
        ]
    }


def delete_bucket(emulator: Emulator, request: Request, params: Json) -> Json:
    emulator.authorize(request, "deleteBuckets", bucket=params.get("bucketId"))
    bucket = emulator.bucket(params.get("bucketId"))
    with emulator.store.lock:
        if bucket.names:
            raise bad("Cannot delete non-empty bucket", "cannot_delete_non_empty_bucket")
        emulator.store.delete_bucket(bucket)
    return bucket.answer()


def update_bucket(emulator: Emulator, request: Request, params: Json) -> Json:
    emulator.authorize(request, "writeBuckets", bucket=params.get("bucketId"))
    bucket = emulator.bucket(params.get("bucketId"))
    with emulator.store.lock:
        revision = params.get("ifRevisionIs")
        if revision is not None and int(revision) != bucket.revision:
            raise ApiError(409, "conflict", "simultaneous updates to bucket")
        bucket.kind = params.get("bucketType") or bucket.kind
        _settings(bucket, params)
        bucket.revision += 1
        emulator.store.save_bucket(bucket)
        return bucket.answer()
