"""Transactions with B2: how many there were, and what they cost."""

from __future__ import annotations

import time

from savethat.catalog.usage import dollars as dollars_a_month
from tests.b2server.client import B2Server

# Source: https://www.backblaze.com/cloud-storage/transaction-pricing; class A is free, and so are
# the first 2,500 of B and of C each day.
DOLLARS = {"class B": 0.004 / 10_000, "class C": 0.004 / 1_000}
FREE = 2_500


def counted(server: B2Server) -> dict[str, float]:
    """Transactions of the classes that cost; the server counts a call when it has answered it."""
    stats, before = server.stats(), -1
    while stats["requests"] != before:
        before = stats["requests"]
        time.sleep(0.02)
        stats = server.stats()
    return {f"class {kind}": stats["transactions"][kind] for kind in "BC"}


def dollars(transactions: dict[str, float], stored: float = 0) -> float:
    """The list price of transactions, and of storing so many bytes for a month."""
    return sum(price * transactions[kind] for kind, price in DOLLARS.items()) + dollars_a_month(
        round(stored)
    )
