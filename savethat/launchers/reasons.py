"""Why a scheduler ends an attempt, in the words that `ls` shows."""

from __future__ import annotations

CANCELLED = "cancelled"
PREEMPTED = "preempted"
REQUEUED = "requeued"
TIMEOUT = "timeout"
NODE_FAILURE = "node failure"
