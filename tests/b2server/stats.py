"""Counters of calls, bytes and transactions, the last as B2 bills them.

Class A is free, B and C are as on the B2 "transactions" price page. A list call costs
max(1, ceil(returned / 1000)) class C transactions; HEAD counts as the download call it is
(class B). Calls answered with an error are counted apart (`errors`) and are not billed.
"""

from __future__ import annotations

import collections
import threading
import time
from dataclasses import dataclass, field

from .api import Json, transaction_class
from .wire import Request

_USD_PER_B, _USD_PER_C = 0.004 / 10_000, 0.004 / 1_000


@dataclass
class _Call:
    count: int = 0
    ok: int = 0
    errors: collections.Counter[str] = field(default_factory=collections.Counter)


class Stats:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._since = time.time()
            self._calls: dict[str, _Call] = {}
            self._transactions = {"A": 0, "B": 0, "C": 0}
            self._transactions_by_call: collections.Counter[str] = collections.Counter()
            self._faults: collections.Counter[str] = collections.Counter()
            self._agents: collections.Counter[str] = collections.Counter()
            self._versions: collections.Counter[str] = collections.Counter()
            self._bytes_in = self._bytes_out = self._connections = self._requests = 0
            self._items_listed = 0
            self._max_in_flight = self._in_flight

    def connected(self) -> None:
        with self._lock:
            self._connections += 1

    def fault(self, kind: str) -> None:
        with self._lock:
            self._faults[kind] += 1

    def begin(self) -> None:
        with self._lock:
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)

    def end(self, request: Request) -> None:
        name = request.call
        with self._lock:
            self._in_flight -= 1
            self._requests += 1
            self._bytes_in += request.bytes_in
            self._bytes_out += request.bytes_out
            self._items_listed += request.items
            counts = self._calls.setdefault(
                f"HEAD {name}" if request.method == "HEAD" else name, _Call()
            )
            counts.count += 1
            if 200 <= request.status < 300:
                counts.ok += 1
                billed = transaction_class(name)
                if billed:
                    self._transactions[billed] += request.transactions
                    self._transactions_by_call[name] += request.transactions
            elif request.status:
                counts.errors[f"{request.status} {request.code}"] += 1
            else:
                counts.errors["no answer"] += 1
            if request.version:
                self._versions[request.version] += 1
            agent = request.headers.get("user-agent", "")
            self._agents[agent.split(" ")[0] if agent else "-"] += 1

    def get(self) -> Json:
        with self._lock:
            bill = self._transactions
            return {
                "since": self._since,
                "seconds": time.time() - self._since,
                "requests": self._requests,
                "connections": self._connections,
                "max_inflight": self._max_in_flight,
                "calls": {
                    name: {"count": call.count, "ok": call.ok, "errors": dict(call.errors)}
                    for name, call in sorted(self._calls.items())
                },
                "errors": sum(call.errors.total() for call in self._calls.values()),
                "transactions": dict(bill),
                "transactions_by_call": dict(self._transactions_by_call),
                "cost_usd_beyond_free_tier": round(
                    bill["B"] * _USD_PER_B + bill["C"] * _USD_PER_C, 8
                ),
                "items_listed": self._items_listed,
                "bytes_in": self._bytes_in,
                "bytes_out": self._bytes_out,
                "faults": dict(self._faults),
                "api_versions": dict(self._versions),
                "agents": dict(self._agents),
            }
