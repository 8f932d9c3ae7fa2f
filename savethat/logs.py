"""What a log line is: as text for people, as JSON for programs, and from loguru's records.

The home of loguru. `logger` is loguru's own, imported when it is first asked for: that takes longer
than all else a worker imports. savethat never removes the sinks of a program it is imported into.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any

from savethat.face import on_first_use

# Where a node adds a sink of its own, loguru would print the values of variables into tracebacks,
# the bucket's key among them. It reads this when it is imported; a user may still ask for them.
os.environ.setdefault("LOGURU_DIAGNOSE", "NO")

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from loguru import Message
    from loguru import logger as logger

__all__ = ["Line", "add_sink", "logger", "only_sink", "remove_sink", "traceback_text"]

__getattr__ = on_first_use(__name__, {"logger": "loguru"})

_COLOURS = {
    "TRACE": "\x1b[36m",
    "DEBUG": "\x1b[34m",
    "INFO": "\x1b[1m",
    "SUCCESS": "\x1b[32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[1;31m",
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a run's log.

    Args:
        time: aware, UTC.
        source: `logger`, `stdout`, `stderr`, `exception` or `savethat`.
        message: text without a final newline; an exception's is its traceback.
        level: loguru's level name; empty for stdout and stderr.
        where: `module:function:line` of a logger's record; else empty.
    """

    time: datetime
    source: str
    message: str
    level: str = ""
    where: str = ""

    def as_json(self) -> str:
        """One line of `output.jsonl`, without the newline."""
        return json.dumps(
            {**dataclasses.asdict(self), "time": self.time.isoformat()}, ensure_ascii=False
        )

    @classmethod
    def from_json(cls, text: str) -> Line:
        """The line `as_json` wrote."""
        data = json.loads(text)
        return cls(**{**data, "time": datetime.fromisoformat(data["time"])})

    def as_text(self, *, colour: bool = False) -> str:
        """One line (or more, for a traceback) of `output.log`, without the newline."""
        time = self.time.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        level = f"{self.level or self.source:<8}"
        if colour and self.level in _COLOURS:
            level = f"{_COLOURS[self.level]}{level}\x1b[0m"
        where = f" {self.where} -" if self.where else ""
        return f"{time} | {level} |{where} {self.message}"


def now_line(source: str, message: str, level: str = "") -> Line:
    """A line that happens now."""
    return Line(datetime.now(timezone.utc), source, message, level)


def add_sink(write: Callable[[Line], None]) -> int:
    """Sends every record of the logger to `write` as well; gives back the sink's id."""

    def sink(message: Message) -> None:
        record = message.record
        text = record["message"]
        error = record["exception"]
        if error is not None and error.value is not None:
            text += "\n" + traceback_text(error.value, error.traceback)
        write(
            Line(
                record["time"].astimezone(timezone.utc),
                "logger",
                text,
                record["level"].name,
                f"{record['name']}:{record['function']}:{record['line']}",
            )
        )

    from loguru import logger

    # No values of variables, whatever the default is: this log is uploaded. The format keeps loguru
    # from adding the traceback that is added above.
    return logger.add(
        sink, level="DEBUG", format=_plain, diagnose=False, backtrace=False, catch=True
    )


def only_sink(write: Callable[[Line], None]) -> None:
    """Like `add_sink`, for a process that is ours alone: the default sink to stderr goes.

    In a process that has not imported loguru it is done when somebody does.
    """

    def replace() -> None:
        from loguru import logger

        logger.remove()
        add_sink(write)

    if "loguru" in sys.modules:
        replace()
    else:
        sys.meta_path.insert(0, _WhenImported("loguru", replace))


def remove_sink(sink: int) -> None:
    """Takes back `add_sink`."""
    from loguru import logger

    logger.remove(sink)


def traceback_text(error: BaseException, tb: TracebackType | None) -> str:
    """A traceback as Python prints it, without local variables and without the final newline."""
    return "".join(traceback.format_exception(type(error), error, tb)).rstrip("\n")


class _WhenImported:
    """A finder that finds nothing, but calls `then` once a module has been imported."""

    def __init__(self, module: str, then: Callable[[], None]) -> None:
        self._module = module
        self._then = then

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """The module's own spec, of which only the end of its loading is another."""
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_then(module: Any) -> None:
                load(module)
                self._then()

            spec.loader.exec_module = load_then  # type: ignore[method-assign]
        return spec


def _plain(_record: Any) -> str:
    return "{message}"
