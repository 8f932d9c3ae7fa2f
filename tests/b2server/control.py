"""The control endpoints: no authentication, loopback only, never counted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

from . import lifecycle
from .api import Json
from .errors import ApiError
from .listing import list_names, list_versions
from .state import Emulator
from .wire import Request

_ALL = 10**9
_NUMBER = re.compile(r"\{i:?([^{}]*)\}")


def answer(emulator: Emulator, request: Request) -> None:
    body = request.body()
    status = 200
    out: object
    try:
        out = _call(emulator, request, json.loads(body) if body.strip() else {})
    except ApiError as error:
        status = error.status
        out = {"status": status, "code": error.code, "message": error.message}
    except (ValueError, KeyError, TypeError) as error:
        status = 400
        out = {"status": status, "code": "bad_request", "message": repr(error)}
    request.answer(json.dumps(out, indent=1).encode() + b"\n", status)


def _call(emulator: Emulator, request: Request, params: Json) -> object:
    if request.path == "/_health":
        return {
            "ok": True,
            "url": emulator.url,
            "pid": os.getpid(),
            "files": len(emulator.store.files),
            "account": emulator.account_id,
        }
    if request.path == "/_stats":
        return emulator.stats.get()
    if request.path == "/_files":
        return _files(emulator, request.query)
    if request.path == "/_faults":
        if request.method == "POST":
            emulator.faults.set(params)
        return emulator.faults.get()
    if request.path not in _ACTIONS:
        raise ApiError(404, "not_found", "no such control endpoint")
    if request.method != "POST":
        raise ApiError(405, "method_not_allowed", "use POST")
    return _ACTIONS[request.path](emulator, params)


def _files(emulator: Emulator, query: dict[str, str]) -> list[Json]:
    bucket = emulator.store.buckets_by_name.get(query.get("bucket", ""))
    if bucket is None:
        raise ApiError(404, "not_found", "no such bucket")
    prefix = query.get("prefix", "")
    with emulator.store.lock:
        if query.get("versions"):
            page = list_versions(bucket, "", None, _ALL, prefix, "")
        else:
            page = list_names(bucket, "", _ALL, prefix, "")
    return [json.loads(entry) for entry in page.entries]


def _reset(emulator: Emulator, params: Json) -> Json:
    emulator.stats.reset()
    return {"ok": True}


def _config(emulator: Emulator, params: Json) -> Json:
    if "latency_ms" in params:
        emulator.latency_s = float(params["latency_ms"]) / 1e3
    if "jitter_ms" in params:
        emulator.jitter_s = float(params["jitter_ms"]) / 1e3
    if "connect_ms" in params:
        emulator.connect_s = float(params["connect_ms"]) / 1e3
    if "bandwidth_mbps" in params:
        emulator.inward.mbps = emulator.outward.mbps = float(params["bandwidth_mbps"])
    if "token_ttl" in params:
        emulator.token_ttl = emulator.upload_token_ttl = float(params["token_ttl"])
    if "upload_token_ttl" in params:
        emulator.upload_token_ttl = float(params["upload_token_ttl"])
    return {
        "latency_ms": emulator.latency_s * 1e3,
        "jitter_ms": emulator.jitter_s * 1e3,
        "connect_ms": emulator.connect_s * 1e3,
        "bandwidth_mbps": emulator.inward.mbps,
        "token_ttl": emulator.token_ttl,
        "upload_token_ttl": emulator.upload_token_ttl,
    }


def _expire_tokens(emulator: Emulator, params: Json) -> Json:
    emulator.tokens.expire_issued("account")
    if params.get("uploads"):
        emulator.tokens.expire_issued("upload", "part")
    return {"ok": True}


def _seed(emulator: Emulator, params: Json) -> Json:
    bucket = emulator.store.buckets_by_name[params["bucket"]]
    if "files" in params:
        files = [(str(name), dict(info)) for name, info in params["files"]]
    else:
        template, first = params.get("format", "seed/{i:08d}"), int(params.get("first", 0))
        mtime = str(params.get("mtime_ms", 1_700_000_000_000))
        info = params.get("info", {"src_last_modified_millis": mtime})
        files = [
            (_filled(template, i), {name: _filled(text, i) for name, text in info.items()})
            for i in range(first, first + int(params["count"]))
        ]
    emulator.store.seed(bucket, files, int(params.get("size", 0)))
    return {"ok": True, "files": len(bucket.names)}


def _filled(template: str, i: int) -> str:
    """A template with a number in it; JSON's braces stay."""
    return _NUMBER.sub(lambda match: format(i, match[1]), template)


def _lifecycle(emulator: Emulator, params: Json) -> Json:
    return lifecycle.apply(emulator.store, float(params.get("advance_days", 0)))


def _shutdown(emulator: Emulator, params: Json) -> Json:
    emulator.stopped.set()
    return {"ok": True}


_ACTIONS: dict[str, Callable[[Emulator, Json], Json]] = {
    "/_reset": _reset,
    "/_config": _config,
    "/_expire_tokens": _expire_tokens,
    "/_seed": _seed,
    "/_lifecycle": _lifecycle,
    "/_shutdown": _shutdown,
}
