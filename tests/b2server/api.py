"""The vocabulary of the B2 native API: calls, transaction classes, capabilities."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]

VERSIONS = ("v1", "v2", "v3", "v4")
UPLOADS = ("b2_upload_file", "b2_upload_part")
DOWNLOADS = ("b2_download_file_by_id", "b2_download_file_by_name")

# Source: Backblaze's "transactions" price page.
CLASS_A = frozenset(
    {
        "b2_cancel_large_file",
        "b2_delete_bucket",
        "b2_delete_file_version",
        "b2_delete_key",
        "b2_finish_large_file",
        "b2_get_upload_part_url",
        "b2_get_upload_url",
        "b2_hide_file",
        "b2_start_large_file",
        "b2_update_file_legal_hold",
        "b2_update_file_retention",
        "b2_upload_file",
        "b2_upload_part",
    }
)
CLASS_B = frozenset({*DOWNLOADS, "b2_get_file_info"})
CLASS_C = frozenset(
    {
        "b2_authorize_account",
        "b2_copy_file",
        "b2_copy_part",
        "b2_create_bucket",
        "b2_create_key",
        "b2_get_download_authorization",
        "b2_list_buckets",
        "b2_list_file_names",
        "b2_list_file_versions",
        "b2_list_keys",
        "b2_list_parts",
        "b2_list_unfinished_large_files",
        "b2_update_bucket",
    }
)

CAPABILITIES = (
    "listKeys",
    "writeKeys",
    "deleteKeys",
    "listBuckets",
    "listAllBucketNames",
    "readBuckets",
    "writeBuckets",
    "deleteBuckets",
    "readBucketEncryption",
    "writeBucketEncryption",
    "readBucketRetentions",
    "writeBucketRetentions",
    "readFileRetentions",
    "writeFileRetentions",
    "readFileLegalHolds",
    "writeFileLegalHolds",
    "readBucketReplications",
    "writeBucketReplications",
    "bypassGovernance",
    "listFiles",
    "readFiles",
    "shareFiles",
    "writeFiles",
    "deleteFiles",
    "readBucketNotifications",
    "writeBucketNotifications",
)

NO_ENCRYPTION: Json = {"algorithm": None, "mode": None}


def transaction_class(call: str) -> str | None:
    """The class a call is billed in: A (free), B or C; None for no call of the API."""
    if call in CLASS_A:
        return "A"
    if call in CLASS_B:
        return "B"
    return "C" if call in CLASS_C else None


def now_ms() -> int:
    return int(time.time() * 1000)


def dump(obj: object) -> str:
    return json.dumps(obj, separators=(",", ":"))


def b2_quote(text: str) -> str:
    """Percent-encodes what B2 itself encodes in headers."""
    return quote(text.encode("utf-8"), safe="/-_.~!$'()*;=:@")
