"""The account and its application keys."""

from __future__ import annotations

import base64
import hmac
import secrets

from ..api import CAPABILITIES, Json, now_ms
from ..errors import ApiError, bad
from ..model import Key
from ..state import Emulator
from ..wire import Request


def _basic_key(emulator: Emulator, header: str) -> Key | None:
    """The unexpired key of HTTP basic authentication; the account id is the master key's too."""
    if not header.startswith("Basic "):
        return None
    try:
        key_id, _, secret = base64.b64decode(header[6:]).decode().partition(":")
    except ValueError:
        return None
    key = emulator.master if key_id == emulator.account_id else emulator.key(key_id)
    if key is None or not hmac.compare_digest(key.secret.encode(), secret.encode()):
        return None
    return None if key.expires and key.expires < now_ms() else key


def authorize_account(emulator: Emulator, request: Request, params: Json) -> Json:
    key = _basic_key(emulator, request.headers.get("authorization", ""))
    if key is None:
        raise ApiError(401, "bad_auth_token", "Invalid application key")
    if request.version != "v4" and key.buckets and len(key.buckets) > 1:
        raise ApiError(401, "unsupported", "multi-bucket keys need v4 b2_authorize_account")
    options, known = emulator.options, emulator.store.buckets
    buckets = None
    if key.buckets is not None:
        buckets = [{"id": i, "name": known[i].name if i in known else None} for i in key.buckets]
    only = buckets[0] if buckets else {"id": None, "name": None}
    one_bucket = {"bucketId": only["id"], "bucketName": only["name"]}
    storage: Json = {
        "apiUrl": emulator.url,
        "downloadUrl": emulator.url,
        "s3ApiUrl": emulator.url,
        "recommendedPartSize": options.part_size,
        "absoluteMinimumPartSize": options.min_part_size,
    }
    allowed = {"capabilities": key.capabilities, "namePrefix": key.prefix}
    token = emulator.tokens.issue("account", key.key_id, emulator.token_ttl)
    answer: Json = {"accountId": emulator.account_id, "authorizationToken": token.text}
    if request.version in ("v1", "v2"):
        answer |= {**storage, "allowed": {**allowed, **one_bucket}}
        if request.version == "v1":
            answer["minimumPartSize"] = options.part_size
        return answer
    if request.version == "v3":
        storage |= {**allowed, **one_bucket}
    else:
        storage["allowed"] = {**allowed, "buckets": buckets}
    storage["infoType"] = "storageApi"
    answer["apiInfo"] = {"storageApi": storage}
    answer["applicationKeyExpirationTimestamp"] = key.expires
    return answer


def _key_answer(emulator: Emulator, request: Request, key: Key) -> Json:
    answer: Json = {
        "accountId": emulator.account_id,
        "applicationKeyId": key.key_id,
        "capabilities": key.capabilities,
        "expirationTimestamp": key.expires,
        "keyName": key.name,
        "namePrefix": key.prefix,
        "options": ["s3"],
    }
    if request.version == "v4":
        answer["bucketIds"] = key.buckets
    else:
        answer["bucketId"] = key.buckets[0] if key.buckets else None
    return answer


def create_key(emulator: Emulator, request: Request, params: Json) -> Json:
    emulator.authorize(request, "writeKeys")
    capabilities = params.get("capabilities") or []
    for capability in capabilities:
        if capability not in CAPABILITIES:
            raise bad(f"invalid capability {capability}")
    if not capabilities or not params.get("keyName"):
        raise bad("capabilities and keyName are required")
    if request.version == "v4":
        buckets = params.get("bucketIds")
    else:
        buckets = [params["bucketId"]] if params.get("bucketId") else None
    for bucket_id in buckets or []:
        if bucket_id not in emulator.store.buckets:
            raise bad(f"Invalid bucketId: {bucket_id}", "bad_bucket_id")
    prefix = params.get("namePrefix")
    if prefix and not buckets:
        raise bad("namePrefix needs a bucket")
    seconds = params.get("validDurationInSeconds")
    key = Key(
        f"001{emulator.account_id}{secrets.token_hex(5)}",
        f"K001{secrets.token_urlsafe(20)}",
        params["keyName"],
        capabilities,
        buckets,
        prefix,
        now_ms() + int(seconds) * 1000 if seconds else None,
    )
    emulator.store.save_key(key)
    return {**_key_answer(emulator, request, key), "applicationKey": key.secret}


def list_keys(emulator: Emulator, request: Request, params: Json) -> Json:
    emulator.authorize(request, "listKeys")
    count = int(params.get("maxKeyCount") or 100)
    start = params.get("startApplicationKeyId") or ""
    with emulator.store.lock:
        keys = [key for key_id, key in sorted(emulator.store.keys.items()) if key_id >= start]
    return {
        "keys": [_key_answer(emulator, request, key) for key in keys[:count]],
        "nextApplicationKeyId": keys[count].key_id if len(keys) > count else None,
    }


def delete_key(emulator: Emulator, request: Request, params: Json) -> Json:
    emulator.authorize(request, "deleteKeys")
    key = emulator.store.delete_key(params.get("applicationKeyId") or "")
    if key is None:
        raise bad("no such key")
    return _key_answer(emulator, request, key)
