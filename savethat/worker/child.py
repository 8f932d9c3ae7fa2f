"""The child process: imports the node, runs it, and tells the supervisor how it went.

Started as `python -m savethat.worker.child ERRAND_FD EVENTS_FD` in a session of its own. The errand
comes through the first pipe, which stays open as long as the supervisor lives; log records and the
outcome go through the second, a JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

from savethat import node as nodes
from savethat.args.codec import from_json
from savethat.discovery import import_node
from savethat.logs import Line, now_line, only_sink, traceback_text
from savethat.worker.errand import Errand, one_line
from savethat.worker.lending import Loan
from savethat.worker.notice import Notice, Terminated
from savethat.worker.result import save_result

# Where memory runs out, the kernel is to take the node, and not the supervisor that saves its
# files. Source: proc(5), oom_score_adj; anyone may raise their own.
_OOM_SCORE = 500


class Events:
    """The pipe to the supervisor; lines from several threads do not mix."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.RLock()

    def send(self, kind: str, value: Any) -> None:
        """One event: `line`, `result` or `error`."""
        text = json.dumps({kind: value})
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()

    def line(self, line: Line) -> None:
        """A line of the log."""
        self.send("line", line.as_json())


def main() -> int:
    """Runs the errand; the exit code is 0 for a result, 1 for an exception."""
    errand_stream = os.fdopen(int(sys.argv[1]), encoding="utf-8")
    os.set_inheritable(int(sys.argv[2]), False)
    events = Events(os.fdopen(int(sys.argv[2]), "w", encoding="utf-8"))
    line = errand_stream.readline()
    if not line:  # it is not needed after all
        return 0
    errand = Errand.load(line)
    notice = Notice()
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    lifeline = errand_stream.fileno()
    threading.Thread(target=_die_with_supervisor, args=(lifeline, errand.key), daemon=True).start()
    only_sink(events.line)
    _set_path(errand)
    sys.argv[:] = [errand.node]
    try:
        outcome = run_node(errand, notice)
    except (KeyboardInterrupt, Terminated) as error:
        events.line(now_line("exception", traceback_text(error, error.__traceback__), "ERROR"))
        events.send("stopped", type(error).__name__)
        return 1
    except SystemExit as error:
        # A node that leaves because its end was announced does as it was told.
        kind = "stopped" if notice.given else "error"
        events.send(kind, f"exit code {_exit_code(error)}")
        return _exit_code(error)
    # Whatever the node raises is its own: it goes to the log whole, and becomes the run's reason.
    except BaseException as error:
        events.line(now_line("exception", traceback_text(error, _own_frames(error)), "ERROR"))
        events.send("error", one_line(error))
        return 1
    events.send("result", outcome)
    return 0


def _set_path(errand: Errand) -> None:
    """Makes the project importable; where its code is frozen, from there and not from its folder.

    Python puts the current folder, which is the project's, on the path; an editable install of the
    project does the same.
    """
    if errand.frozen:
        root = errand.config.root
        own = {str(root), str(root / "src"), ""}
        sys.path[:] = [path for path in sys.path if path not in own]
    sys.path[:0] = [path for path in errand.python_path if path not in sys.path]


def run_node(errand: Errand, notice: Notice) -> dict[str, Any]:
    """Runs the errand's node in this process and saves its result; gives back the scalars."""
    loan = Loan(errand)
    surroundings = nodes.Surroundings(
        errand.key, errand.output_dir, loan.storage, errand.attempt, errand.deadline
    )
    cls = import_node(errand.node)
    node = cls(from_json(nodes.args_type(cls), errand.args))
    nodes.enter(node, surroundings)

    notice.address(node)
    try:
        node.setup()
        value = node._run()
    finally:
        loan.save_inputs()
    return save_result(value, errand.output_dir)


def _own_frames(error: BaseException) -> Any:
    """The traceback from the node's own first frame on."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    return tb if tb is not None else error.__traceback__


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def _die_with_supervisor(lifeline: int, key: str) -> None:
    """Ends this process and all it started when the supervisor is gone: nobody saves them."""
    # Not through the stream: a thread that holds its lock would disturb the interpreter's end.
    while os.read(lifeline, 1):
        pass
    from savethat.launchers.processes import end_processes  # psutil, which no other end needs

    end_processes(key)
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
