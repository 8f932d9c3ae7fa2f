"""An example node: a linear regression on data that came with the project."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import savethat
from savethat import logger

DATA = Path(__file__).parent / "data"
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class FitOLSArgs:
    dataset: str = "longley.csv"  # CSV file in this package's data folder, or a key in storage
    target: str = "employed"  # column to predict from all the others
    l2: float = 0.0  # ridge penalty on the standardised columns; 0 is ordinary least squares


class FitOLS(savethat.Node[FitOLSArgs, dict[str, float]]):
    """Ordinary least squares, or ridge regression, of one column on the others."""

    def _run(self) -> dict[str, float]:
        names, table = read_table(self._dataset())
        if self.args.target not in names:
            raise ValueError(f"{self.args.dataset} has no column {self.args.target!r}, only {names}")
        column = names.index(self.args.target)
        features, target = np.delete(table, column, axis=1), table[:, column]
        logger.info("{} rows, {} features, l2 = {}", *features.shape, self.args.l2)

        coefficients = fit(features, target, self.args.l2)

        terms = ["intercept", *names[:column], *names[column + 1 :]]
        with (self.output_dir / "coefficients.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["term", "coefficient"])
            writer.writerows(zip(terms, coefficients.tolist(), strict=True))

        mse = float(np.mean((target - coefficients[0] - features @ coefficients[1:]) ** 2))
        r2 = 1 - mse / float(np.var(target))
        logger.info("mse = {:.6g}, r2 = {:.4f}", mse, r2)
        return {"mse": mse, "r2": r2}

    def _dataset(self) -> Path:
        shipped = DATA / self.args.dataset
        if shipped.is_file():
            return shipped
        self.storage.download(self.args.dataset)
        return self.storage / self.args.dataset


def read_table(path: Path) -> tuple[list[str], Floats]:
    """Column names, and rows x columns, of a CSV file of numbers with a header line."""
    with path.open(newline="") as file:
        names = next(csv.reader(file))
        return names, np.loadtxt(file, delimiter=",", ndmin=2)


def fit(features: Floats, target: Floats, l2: float = 0.0) -> Floats:
    """Coefficients of a ridge regression, the intercept first.

    Minimises ``|target - prediction|^2 + l2 |slopes|^2`` with the slopes taken on standardised
    columns and the intercept free (Hoerl and Kennard, Technometrics 12, 1970).

    Args:
        features: rows x columns.
        target: one value a row.
        l2: the penalty, not negative.
    """
    if l2 < 0:
        raise ValueError(f"l2 is {l2}, and must not be negative")
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1  # a constant column gets the slope 0
    # The penalty as extra rows: solving the normal equations instead would lose half the digits.
    rows = np.vstack([(features - mean) / scale, np.sqrt(l2) * np.eye(len(mean))])
    goals = np.concatenate([target - target.mean(), np.zeros(len(mean))])
    slopes = np.linalg.lstsq(rows, goals, rcond=None)[0] / scale
    return np.concatenate([[target.mean() - mean @ slopes], slopes])
