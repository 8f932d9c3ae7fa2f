"""Transactions with B2: how many there were, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.rows import Goal
from savethat.catalog.usage import dollars as dollars_a_month
from tests.b2server.client import B2Server

# Source: https://www.backblaze.com/cloud-storage/transaction-pricing; class A is free, and so are
# the first 2,500 of B and of C each day.
KINDS = ("class B", "class C")
_DOLLARS = dict(zip(KINDS, (0.004 / 10_000, 0.004 / 1_000), strict=True))
FREE = 2_500


def counted(server: B2Server) -> dict[str, float]:
    """Transactions of the classes that cost; the server counts a call when it has answered it."""
    stats, before = server.stats(), -1
    while stats["requests"] != before:
        before = stats["requests"]
        time.sleep(0.02)
        stats = server.stats()
    return {kind: stats["transactions"][kind[-1]] for kind in KINDS}


def dollars(transactions: Mapping[str, float], stored: float = 0) -> float:
    """The list price of transactions, and of storing so many bytes for a month."""
    return sum(price * transactions[kind] for kind, price in _DOLLARS.items()) + dollars_a_month(
        round(stored)
    )


def within_free(kind: str, count: float) -> Goal:
    """The goal that so many transactions of a class cost nothing on a day without others."""
    return Goal(f"within the {FREE:,} {kind} a day that are free", f"{count:,.0f}", count <= FREE)
