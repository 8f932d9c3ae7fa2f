"""What signals mean to the node: that its attempt is about to end, and that it ends now."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from savethat import logs
from savethat import node as nodes
from savethat.worker.signals import WARNINGS


class Terminated(BaseException):
    """SIGTERM, raised in the main thread so that the node's `finally` blocks run."""


class Notice:
    """Gives the node notice; made in the main thread of its process.

    SLURM signals every process of a job, so each signal may come twice: from it, and from the
    supervisor. The second changes nothing, and a checkpoint that is being written is finished.
    """

    def __init__(self) -> None:
        self._node: nodes.Node[Any, Any] | None = None
        self._at_checkpoint = False
        self._terminated = False
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def address(self, node: nodes.Node[Any, Any]) -> None:
        """From now on this node is told."""
        self._node = node
        for number in WARNINGS:
            signal.signal(number, self._warn)
        # Blocked since before this process began: a warning that came while Python or the node's
        # module was still loading is delivered now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WARNINGS)

    @property
    def given(self) -> bool:
        """Whether the node has been told."""
        return self._node is not None and nodes.told_to_stop(self._node)

    def _warn(self, _number: int, _frame: FrameType | None) -> None:
        if not self._at_checkpoint:
            self._checkpoint()
            if self._terminated:
                raise Terminated

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        if self._terminated:
            return
        self._terminated = True
        if self._at_checkpoint:
            return
        if self._node is not None and not self.given:
            self._checkpoint()
        raise Terminated

    def _checkpoint(self) -> None:
        assert self._node is not None
        self._at_checkpoint = True
        try:
            logs.logger.info("the scheduler is about to end this attempt")
            nodes.notify_ending(self._node)
        finally:
            self._at_checkpoint = False
