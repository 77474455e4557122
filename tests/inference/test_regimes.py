"""Bad regimes end in a sane posterior and an honest note; the order of rows changes nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.effects.tables import TableSettings, tables_from_posterior
from src.errors import InputError
from src.inference.diagnostics import diagnose
from src.inference.fitting import FitSettings
from src.inference.request import Request, fit_request

QUICK = FitSettings(draws=300, tune=300, chains=2, progress=False)


def request(factors: list[str], interactions: list[list[str]] | None = None, **changes: object) -> Request:
    settings = {
        "factors": factors,
        "nested": {"paraphrase": "task"},
        "interactions": interactions or [],
        "columns": {},
        "priors": {"family": "half_normal"},
        "settings": QUICK,
        "tables": TableSettings(),
    }
    return Request(**{**settings, **changes})


def fit(table: pd.DataFrame, folder: Path, ask: Request):
    path = folder / "table.csv"
    table.to_csv(path, index=False)
    cells, structure, prior, notes = ask.prepare(path)
    result = fit_request(ask, cells, structure, prior)
    tables = tables_from_posterior(result.tree, ask.tables)
    numbers = tables.frames["variance"][["mean", "sd", "ci_lower", "ci_upper"]]
    assert np.isfinite(numbers.to_numpy()).all()
    assert (numbers["ci_lower"] >= -1e-9).all()
    assert (numbers["ci_upper"] <= 1 + 1e-9).all()
    verdict = diagnose(tables.frames["effects"], result.fitted.statistics, approximate=False)
    return result, tables, notes, verdict


def grid(personas: int, models: int, refusals: int | np.ndarray, trials: int | np.ndarray) -> pd.DataFrame:
    rows = [(f"p{p}", f"m{m}") for p in range(personas) for m in range(models)]
    return pd.DataFrame(rows, columns=["persona", "model"]).assign(refusals=refusals, trials=trials)


@pytest.mark.parametrize(("refusals", "word"), [(0, "no refusal"), (8, "nothing but refusals")])
def test_one_outcome_alone(tmp_path, refusals, word):
    result, _, notes, _ = fit(grid(3, 3, refusals, 8), tmp_path, request(["persona", "model"]))
    assert any(word in note for note in notes)
    intercept = result.fitted.plain.intercept
    assert (intercept.mean() < -1) == (refusals == 0)
    assert np.abs(intercept).max() < 15


def test_one_response(tmp_path):
    _, _, notes, _ = fit(grid(1, 1, 1, 1), tmp_path, request(["persona", "model"], [["persona", "model"]]))
    assert sum("one level" in note for note in notes) == 3


def test_one_level_leaves_its_standard_deviation_at_the_prior(tmp_path):
    ask = request(["persona", "model"], settings=FitSettings(draws=2000, tune=500, chains=2, progress=False))
    result, *_ = fit(grid(5, 1, 3, 10), tmp_path, ask)
    sd = result.fitted.plain.sds[:, 1]
    assert sd.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.12)


def test_separation_of_one_persona(tmp_path):
    table = grid(4, 4, 0, 20)
    table.loc[table.persona == "p2", "refusals"] = 20
    result, *_ = fit(table, tmp_path, request(["persona", "model"]))
    effects = result.fitted.plain.effects[0].mean(axis=0)
    assert effects.argmax() == 2
    assert effects.max() < 12


def test_cells_never_asked_are_named(tmp_path):
    table = grid(4, 4, 2, 20).iloc[:-3]
    _, _, notes, _ = fit(table, tmp_path, request(["persona", "model"], [["persona", "model"]]))
    assert "persona:model: 3 of 16 combinations were never asked" in notes


def test_a_level_without_an_outcome_is_named(tmp_path):
    table = grid(3, 3, 2, 20)
    table.loc[table.persona == "p1", ["refusals", "trials"]] = 0
    result, _, notes, _ = fit(table, tmp_path, request(["persona", "model"]))
    assert "no outcome for persona p1: left out, nothing is said of it" in notes
    assert result.cells.levels["persona"] == ["p0", "p2"]


def test_two_levels(tmp_path):
    result, _, notes, _ = fit(
        grid(2, 2, np.array([1, 1, 15, 15]), 20), tmp_path, request(["persona", "model"])
    )
    low, high = result.fitted.plain.effects[0].mean(axis=0)
    assert low < high
    assert sum("2 levels" in note for note in notes) == 2


def test_many_levels_and_huge_counts(tmp_path):
    rng = np.random.default_rng(1)
    trials = np.full(1000, 10_000_000)
    rate = 1 / (1 + np.exp(-(rng.normal(0, 0.5, 500).repeat(2) - 2)))
    result, *_ = fit(
        grid(500, 2, rng.binomial(trials, rate), trials), tmp_path, request(["persona", "model"])
    )
    assert result.fitted.plain.sds[:, 0].mean() == pytest.approx(0.5, rel=0.12)


def test_order_of_rows_and_splitting_them_change_nothing(tmp_path):
    rng = np.random.default_rng(2)
    table = grid(4, 3, rng.integers(0, 10, 12), 10)
    single = table.loc[table.index.repeat(2)].assign(
        refusals=np.column_stack([table.refusals // 2, table.refusals - table.refusals // 2]).ravel(),
        trials=np.tile([5, 5], 12),
    )
    single = single[single.refusals <= single.trials]
    ask = request(["persona", "model"])
    first = fit(table, tmp_path, ask)[0].fitted.plain
    second = fit(table.sample(frac=1, random_state=1), tmp_path, ask)[0].fitted.plain
    np.testing.assert_array_equal(first.sds, second.sds)
    if len(single) == 24:
        third = fit(single.sample(frac=1, random_state=2), tmp_path, ask)[0].fitted.plain
        np.testing.assert_array_equal(first.sds, third.sds)


def test_too_few_draws_fail_the_verdict(tmp_path):
    ask = request(["persona", "model"], settings=FitSettings(draws=20, tune=50, chains=2, progress=False))
    *_, verdict = fit(grid(4, 4, 3, 20), tmp_path, ask)
    assert verdict["verdict"] == "fail"
    assert any("effective sample size" in warning for warning in verdict["warnings"])


@pytest.mark.parametrize("method", ["fast"])
def test_approximation_never_passes(tmp_path, method):
    ask = request(["persona", "model"], settings=FitSettings(method=method, progress=False))
    result, tables, _, _ = fit(grid(4, 4, 3, 20), tmp_path, ask)
    verdict = diagnose(tables.frames["effects"], result.fitted.statistics, result.fitted.approximate)
    assert verdict["verdict"] == "approximate"


def test_a_table_without_the_shipped_baseline_is_compared_with_the_mean(tmp_path):
    ask = request(["persona", "model"], tables=TableSettings(baseline={"persona": "none"}))
    _, tables, notes, _ = fit(grid(3, 3, 2, 8), tmp_path, ask)
    assert "no persona is called 'none': contrasts are with the mean over its levels" in notes
    assert set(tables.frames["contrasts"]["baseline"]) == {"mean"}


def test_a_misspelt_baseline_is_named_before_sampling(tmp_path):
    ask = request(["persona", "model"], tables=TableSettings(baseline={"model": "mm0"}))
    with pytest.raises(InputError, match="unknown baseline level of model 'mm0'; did you mean m0"):
        fit(grid(3, 3, 2, 8), tmp_path, ask)
