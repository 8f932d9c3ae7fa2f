"""A bucket's lifecycle rules, applied as if it were some days later."""

from __future__ import annotations

from itertools import pairwise

from .api import Json, now_ms
from .model import Bucket
from .store import Store

_DAY_MS = 86_400_000


def apply(store: Store, advance_days: float) -> Json:
    """Hides, deletes and cancels what the rules say; answers how many of each."""
    counts = {"hidden": 0, "deleted": 0, "cancelled": 0}
    now = now_ms() + advance_days * _DAY_MS
    with store.lock:
        for bucket in store.buckets.values():
            for rule in bucket.lifecycle:
                prefix = rule.get("fileNamePrefix") or ""
                for name in [name for name in bucket.names if name.startswith(prefix)]:
                    _apply_rule(store, bucket, name, rule, now, counts)
    return counts


def _apply_rule(
    store: Store, bucket: Bucket, name: str, rule: Json, now: float, counts: dict[str, int]
) -> None:
    def due(timestamp: int, days: float) -> bool:
        return timestamp + days * _DAY_MS <= now

    days = rule.get("daysFromUploadingToHiding")
    current = bucket.visible(name)
    if days and current and due(current.timestamp, days):
        store.hide(bucket, name)
        counts["hidden"] += 1

    days = rule.get("daysFromHidingToDeleting")
    if days:
        versions = bucket.finished(name)
        # A version is hidden from the moment the next one exists.
        for version, newer in pairwise(versions):
            if due(newer.timestamp, days):
                store.delete(version)
                counts["deleted"] += 1
        rest = bucket.finished(name)
        if len(rest) == 1 and rest[0].action == "hide" and due(rest[0].timestamp, days):
            store.delete(rest[0])
            counts["deleted"] += 1

    days = rule.get("daysFromStartingToCancelingUnfinishedLargeFiles")
    if days:
        for version in [v for v in bucket.unfinished.values() if v.name == name]:
            if due(version.timestamp, days):
                store.delete(version)
                counts["cancelled"] += 1
