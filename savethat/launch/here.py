"""Runs in this process, or in a child of it: the foreground, `--pdb` and `node.run()`."""

from __future__ import annotations

from typing import Any

from savethat.config import Config, load
from savethat.discovery import add_to_path
from savethat.launch.early import Early
from savethat.launch.plan import Asked, bucket_key, plan
from savethat.launchers.foreground import this_process
from savethat.node import Node
from savethat.remotes.directory import DirectoryRemote
from savethat.run.record import Launch
from savethat.worker.folder import RunFolder
from savethat.worker.journal import Terminal
from savethat.worker.ledger import publish
from savethat.worker.order import Order
from savethat.worker.post import Outcome, Post
from savethat.worker.process import ChildProcess
from savethat.worker.supervisor import supervise

# How long a node may take to end after Ctrl-C before it is killed. A second Ctrl-C does not wait.
FOREGROUND_GRACE = 10.0


def run_here(
    config: Config, asked: Asked, *, terminal: Terminal | None, early: Early | None = None
) -> tuple[str, Outcome]:
    """Runs the one run asked for in the foreground, in a child process.

    Args:
        config: the project's configuration.
        asked: the run.
        terminal: where it is seen; None where nobody watches.
        early: what was begun of it already.

    Returns:
        The run's key, and how it ended.
    """
    order, post = _foreground(config, asked, key=early.key if early else "")
    runner = ChildProcess(grace=FOREGROUND_GRACE, child=early.child if early else None)
    return order.launch.id, supervise(order, 0, post, runner, terminal=terminal)


def run_with_debugger(config: Config, asked: Asked) -> tuple[str, Outcome]:
    """Runs the one run asked for in this process; where the node raises, the debugger opens."""
    from savethat.worker.inline import Inline

    (args,) = asked.points
    order, post = _foreground(config, asked)
    return order.launch.id, supervise(order, 0, post, Inline(asked.node(args), pdb=True))


def run_inline(node: Node[Any, Any]) -> Any:
    """Runs a node in this process, as `node.run()` does, and returns its result.

    Raises:
        Exception: what the node raised, after its files are saved.
    """
    from savethat.worker.inline import Inline

    order, post = _foreground(load(), Asked(type(node), [node.args]))
    inline = Inline(node)
    supervise(order, 0, post, inline)
    if inline.error is not None:
        raise inline.error
    return inline.value


def _foreground(config: Config, asked: Asked, key: str = "") -> tuple[Order, Post]:
    launch = plan(config, asked, this_process(), resources={}, stem=key)
    order = Order(launch, config, tuple(add_to_path(config.root)), asked.argv)
    return order, foreground_post(config, launch)


def foreground_post(config: Config, launch: Launch) -> Post:
    """Where this process stands as the supervisor of a launch's one run.

    The launch is recorded now in a local-only project. On B2 the record is written beside the run:
    the node does not wait for the network.
    """
    local = config.b2 is None
    secret, folder = bucket_key(config), RunFolder.in_place(config, launch.id)
    if local:
        publish(DirectoryRemote(config.local_path), launch)
    return Post(launch.place, folder, secret, published=local)
