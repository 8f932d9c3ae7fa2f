"""Which call is struck by which fault: by chance (rate, seed) or by a script."""

from __future__ import annotations

import fnmatch
import random
import threading
from dataclasses import asdict, dataclass
from typing import Any

from .api import DOWNLOADS, UPLOADS, Json
from .errors import bad

KINDS = frozenset(
    {
        "503",
        "500",
        "429",
        "408",
        "401expired",
        "401bad",
        "cap",
        "reset",
        "timeout",
        "slow",
        "500-after-commit",
        "reset-after-commit",
        "timeout-after-commit",
        "early503",
        "truncate",
        "corrupt",
    }
)


def fits(kind: str, call: str) -> bool:
    """Whether a fault of this kind can strike the call."""
    if kind in ("truncate", "corrupt"):
        return call in DOWNLOADS
    if kind == "early503":
        return call in UPLOADS
    if kind in ("401expired", "401bad"):
        return call != "b2_authorize_account"
    return True


@dataclass
class Scripted:
    """Strikes the next `count` calls that match `call`, after leaving out `after` of them."""

    call: str
    kind: str
    after: int
    count: int


class Faults:
    """The fault plan; `set` replaces it whole."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set({})

    def set(self, spec: Json) -> None:
        kinds = spec.get("kinds") or []
        if isinstance(kinds, str):
            kinds = [kind for kind in kinds.split(",") if kind]
        script = [
            Scripted(
                entry.get("call", "*"),
                str(entry.get("kind")),
                int(entry.get("after", 0)),
                int(entry.get("count", 1)),
            )
            for entry in spec.get("script") or []
        ]
        for kind in [*kinds, *(entry.kind for entry in script)]:
            if kind not in KINDS:
                raise bad(f"unknown fault kind {kind!r}; known: {' '.join(sorted(KINDS))}")
        with self._lock:
            self.rate = float(spec.get("rate") or 0)
            self.kinds: list[str] = kinds
            self.seed = spec.get("seed")
            self.random = random.Random(self.seed)
            self.calls: list[str] = spec.get("calls") or ["*"]
            self.retry_after: int | None = spec.get("retry_after")
            self.timeout_s = float(spec.get("timeout_s", 5))
            self.sticky = bool(spec.get("sticky", True))
            self.max: int | None = spec.get("max")
            self.script = script
            self.fired = 0

    def get(self) -> dict[str, Any]:
        with self._lock:
            return {
                "rate": self.rate,
                "kinds": self.kinds,
                "seed": self.seed,
                "calls": self.calls,
                "retry_after": self.retry_after,
                "timeout_s": self.timeout_s,
                "sticky": self.sticky,
                "max": self.max,
                "fired": self.fired,
                "script": [asdict(entry) for entry in self.script],
            }

    def pick(self, call: str) -> str | None:
        """The fault for this call, if any; it counts as fired."""
        if not self.rate and not self.script:
            return None
        with self._lock:
            kind = self._scripted(call) or self._by_chance(call)
            if kind is not None:
                self.fired += 1
            return kind

    def _scripted(self, call: str) -> str | None:
        for entry in self.script:
            if entry.count > 0 and fnmatch.fnmatchcase(call, entry.call):
                if entry.after > 0:
                    entry.after -= 1
                    continue
                entry.count -= 1
                return entry.kind
        return None

    def _by_chance(self, call: str) -> str | None:
        if not self.rate or not self.kinds or (self.max is not None and self.fired >= self.max):
            return None
        if not any(fnmatch.fnmatchcase(call, pattern) for pattern in self.calls):
            return None
        if self.random.random() >= self.rate:
            return None
        kinds = [kind for kind in self.kinds if fits(kind, call)]
        return self.random.choice(kinds) if kinds else None
