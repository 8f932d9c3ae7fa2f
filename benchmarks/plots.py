"""The plots of the page about performance: `python -m benchmarks.plots KEPT PLOTS`.

It needs matplotlib and nothing else, so that it runs in an environment of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import Case, Measure, Outcome, Section

_OURS, _OTHERS = "#1f6f8b", "#b8bfc6"
_WIDTH = 8.0
_CASE_HEIGHT, _BAR_HEIGHT = 0.7, 0.24


def main(argv: Sequence[str]) -> None:
    """Draws every section that is kept in a folder into another one."""
    kept, plots = map(Path, argv)
    plots.mkdir(parents=True, exist_ok=True)
    for path in sorted(kept.glob("*.json")):
        section = Outcome.from_json(path.read_text()).section
        if section is not None:
            draw(section, plots / f"{section.name}.svg")


def draw(section: Section, path: Path) -> None:
    """Draws a section: one panel a case, one bar a tool, a line from the least to the most."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same figures make the same file, and text stays text.
    mpl.rcParams.update({"svg.hashsalt": "savethat", "svg.fonttype": "none", "font.size": 9})
    heights = [_CASE_HEIGHT + _BAR_HEIGHT * len(bars(case)) for case in section.cases]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    for axes, case in zip(panels[:, 0], section.cases, strict=True):
        _panel(axes, case)
    figure.savefig(path, format="svg", metadata={"Date": None})


def bars(case: Case) -> list[Measure]:
    """What a case shows: savethat, and each peer that could be measured."""
    return [measure for measure in (case.ours, *case.others) if measure.values]


def _panel(axes: Any, case: Case) -> None:
    shown = bars(case)
    medians = [measure.median for measure in shown]
    spread = [
        [measure.median - min(measure.values) for measure in shown],
        [max(measure.values) - measure.median for measure in shown],
    ]
    axes.barh(
        range(len(shown)),
        medians,
        xerr=spread,
        color=[_OURS if measure is case.ours else _OTHERS for measure in shown],
        error_kw={"ecolor": "#333333", "elinewidth": 1, "capsize": 2},
    )
    axes.set_yticks(range(len(shown)), [measure.tool for measure in shown])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_title(f"{case.title} ({case.unit})", loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(sys.argv[1:])
