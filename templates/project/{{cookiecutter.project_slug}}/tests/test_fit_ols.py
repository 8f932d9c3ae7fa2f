"""FitOLS against the certified values of the National Institute of Standards and Technology.

https://www.itl.nist.gov/div898/strd/lls/data/Longley.shtml
"""

from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.project_slug }}.fit_ols import DATA, FitOLS, FitOLSArgs, fit, read_table

CERTIFIED = {
    "intercept": -3482258.63459582,
    "deflator": 15.0618722713733,
    "gnp": -0.0358191792925910,
    "unemployed": -2.02022980381683,
    "armed_forces": -1.03322686717359,
    "population": -0.0511041056535807,
    "year": 1829.15146461355,
}
CERTIFIED_R2 = 0.995479004577296
CERTIFIED_SQUARED_RESIDUALS = 836424.055505915


def test_coefficients_are_the_certified_ones() -> None:
    names, table = read_table(DATA / "longley.csv")
    coefficients = fit(table[:, 1:], table[:, 0])
    assert names == ["employed", *list(CERTIFIED)[1:]]
    assert coefficients == pytest.approx(list(CERTIFIED.values()), rel=1e-8)


def test_penalty_shrinks_the_slopes_to_the_mean() -> None:
    _, table = read_table(DATA / "longley.csv")
    features, target = table[:, 1:], table[:, 0]
    slopes = [np.abs(fit(features, target, l2)[1:]).sum() for l2 in (0.0, 1.0, 1e12)]
    assert slopes[0] > slopes[1] > slopes[2]
    assert fit(features, target, 1e12)[0] == pytest.approx(target.mean(), rel=1e-3)


def test_run_returns_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # outside the project: no savethat.toml, so the run stays in this folder
    result = FitOLS(FitOLSArgs()).run()
    assert result["r2"] == pytest.approx(CERTIFIED_R2, rel=1e-12)
    assert result["mse"] == pytest.approx(CERTIFIED_SQUARED_RESIDUALS / 16, rel=1e-8)
    [coefficients] = tmp_path.rglob("coefficients.csv")
    assert coefficients.read_text().startswith("term,coefficient\nintercept,-3482258.63")
