"""What a B2 application key must be allowed, and what it had better not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# `listBuckets` finds the id of a bucket, which a key that is restricted to it names by itself.
NEEDED = ("deleteFiles", "listBuckets", "listFiles", "readFiles", "writeFiles")
_OPTIONAL = {"listBuckets"}

# With these, whoever finds the key can do more harm than lose what is below the prefix. The web
# page gives others that are not needed either, but it gives them to every key.
_DANGEROUS = frozenset(
    {"bypassGovernance", "deleteBuckets", "deleteKeys", "writeBuckets", "writeKeys"}
)


def missing(allowed: Mapping[str, Any]) -> list[str]:
    """The capabilities that a key lacks.

    Args:
        allowed: what b2_authorize_account says the key may do.
    """
    optional = _OPTIONAL if allowed.get("bucketId") else set()
    return sorted(set(NEEDED) - optional - set(allowed["capabilities"]))


def excess(allowed: Mapping[str, Any], bucket: str, prefix: str) -> list[str]:
    """What a key may do beyond what is needed: one sentence each.

    Args:
        allowed: what b2_authorize_account says the key may do.
        bucket: the only one needed.
        prefix: the folder in it, ending in `/`; empty for the whole bucket.
    """
    found = []
    dangerous = sorted(_DANGEROUS & set(allowed["capabilities"]))
    if not allowed.get("bucketId"):
        what = "this is the account's master key, or one like it: " if dangerous else ""
        found.append(f"{what}the key is good for every bucket of the account, not only {bucket}")
    if prefix and not allowed.get("namePrefix"):
        found.append(f"the key is good for all of {bucket}, not only for what is below {prefix}")
    if dangerous:
        found.append(f"the key has rights that are not needed: {', '.join(dangerous)}")
    return found


def how_to_restrict(bucket: str, prefix: str) -> str:
    """How to make a key that can do what is needed, and no more.

    Args:
        bucket: the bucket's name.
        prefix: the folder in it, without a slash at either end; may be empty.
    """
    start = f' --name-prefix "{prefix}/"' if prefix else ""
    page = f", file name prefix {prefix}/" if prefix else ""
    return (
        "A key for this alone: at backblaze.com, Application Keys > Add a New Application Key, with"
        f" access to bucket {bucket}{page}, type of access Read and Write; or\n"
        f'  b2 key create --bucket "{bucket}"{start} savethat {",".join(NEEDED)}\n'
        "Then run `savethat setup` again with the new key, and delete this one."
    )
