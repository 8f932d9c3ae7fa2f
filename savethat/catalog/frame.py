"""Runs as a pandas DataFrame: the home of pandas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from savethat.catalog.row import flatten
from savethat.catalog.run import Run
from savethat.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


def runs_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Runs as a pandas DataFrame: the fields of `ls --json`, and `args.*` and `result.*`.

    Raises:
        ConfigError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ConfigError("runs_frame needs pandas", "pip install pandas") from error
    records = []
    for run in runs:
        data = run.to_json()
        flat = {name: value for name, value in data.items() if name not in ("args", "result")}
        for name in ("args", "result"):
            if data[name]:
                flat |= flatten(data[name], name)
        records.append(flat)
    frame = pd.DataFrame.from_records(records)
    for name in ("submitted_at", "started_at", "finished_at"):
        if name in frame:
            # A year 9999 in a record is more than pandas can tell.
            frame[name] = pd.to_datetime(frame[name], utc=True, errors="coerce")
    return frame
