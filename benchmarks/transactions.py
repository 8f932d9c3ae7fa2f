"""Transactions with B2: how many there were, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.rows import Goal
from savethat.catalog.usage import dollars as dollars_a_month
from tests.b2server.client import B2Server, Json

# Source: https://www.backblaze.com/cloud-storage/transaction-pricing; class A is free, and so are
# the first 2,500 of B and of C each day.
KINDS = ("class B", "class C")
_DOLLARS = dict(zip(KINDS, (0.004 / 10_000, 0.004 / 1_000), strict=True))
FREE = 2_500


def counted(server: B2Server) -> dict[str, float]:
    """Transactions of the classes that cost."""
    transactions = server.settled()["transactions"]
    return {kind: transactions[kind[-1]] for kind in KINDS}


def calls_in(stats: Json) -> dict[str, float]:
    """Of what a server counted, all calls and those that list."""
    found = {name: call["count"] for name, call in stats["calls"].items()}
    listed = found.get("b2_list_file_names", 0) + found.get("b2_list_file_versions", 0)
    return {"calls": sum(found.values()), "list calls": listed}


def dollars(transactions: Mapping[str, float], stored: float = 0) -> float:
    """The list price of transactions, and of storing so many bytes for a month."""
    return sum(price * transactions[kind] for kind, price in _DOLLARS.items()) + dollars_a_month(
        round(stored)
    )


def within_free(kind: str, count: float) -> Goal:
    """The goal that so many transactions of a class cost nothing on a day without others."""
    return Goal(f"within the {FREE:,} {kind} a day that are free", f"{count:,.0f}", count <= FREE)
