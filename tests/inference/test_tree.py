"""The DataTree as ArviZ users meet it: named coordinates, every group, tables recomputed from the file."""

import resource

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from src.effects.reading import read_effects
from src.effects.tables import Tables, TableSettings, tables_from_posterior
from src.errors import InputError
from src.inference.fitting import FitSettings
from src.inference.request import Request, fit_request
from src.inference.store import write_fit
from tests.inference.simulate import INTERACTIONS, NESTED, simulate

PRIORS = {"family": "half_normal"}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A written fit of a table whose wordings are nested in tasks."""
    folder = tmp_path_factory.mktemp("fit")
    simulated = simulate(3000, (4, 3, 3, 2))
    cells = simulated.cells
    names = {f: np.array(levels)[cells.codes[:, i]] for i, (f, levels) in enumerate(cells.levels.items())}
    table = pd.DataFrame(names).assign(refusals=cells.refusals.astype(int), trials=cells.trials.astype(int))
    table.to_csv(folder / "table.csv", index=False)
    request = Request(
        factors=list(cells.levels),
        nested=NESTED,
        interactions=[*INTERACTIONS, ["persona", "paraphrase"]],
        columns={},
        priors=PRIORS,
        settings=FitSettings(draws=300, tune=300, chains=4, progress=False),
        tables=TableSettings(baseline={"persona": "persona0000"}),
    )
    cells, structure, prior, notes = request.prepare(folder / "table.csv")
    result = fit_request(request, cells, structure, prior)
    tables = tables_from_posterior(result.tree, request.tables)
    diagnostics = write_fit(folder, result, tables, notes, {"fit": {"method": "nuts"}, "study": "x"})
    return folder, result, tables, diagnostics, request


def test_without_room_an_earlier_fit_stays_as_it_was(fitted, tmp_path):
    """The kernel refuses to let a file grow, as a full disk would, here while the posterior is written."""
    _, result, tables, _, _ = fitted
    configuration = {"fit": {"method": "nuts"}, "study": "x"}
    few = Tables({name: frame for name, frame in tables.frames.items() if name != "contrasts"}, tables.notes)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for before_it in (False, True):
        if before_it:
            write_fit(tmp_path, result, tables, [], configuration)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        largest = max(map(len, before.values()), default=200_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, limits[1]))
        try:
            with pytest.raises(InputError, match=r"no room to write .*; what is there stays as it was"):
                write_fit(tmp_path, result, few, [], configuration)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write_fit(tmp_path, result, few, [], configuration)
    assert {path.name for path in tmp_path.iterdir()} == set(before) - {"contrasts.csv"}
    xr.testing.assert_equal(az.from_netcdf(tmp_path / "posterior.nc")["posterior"], result.tree["posterior"])


def test_groups_and_coordinates(fitted):
    folder, result, *_ = fitted
    tree = az.from_netcdf(folder / "posterior.nc")
    groups = {"posterior", "prior", "sample_stats", "observed_data", "constant_data", "log_likelihood"}
    assert groups | {"posterior_predictive", "log_prior"} == set(tree.children)
    posterior = tree["posterior"]
    assert posterior["u_persona"].dims == ("chain", "draw", "persona")
    assert posterior["u_task:paraphrase"].sizes["task:paraphrase"] == 6
    assert posterior["u_persona:task:paraphrase"].dims == ("chain", "draw", "persona", "task:paraphrase")
    assert posterior["task:paraphrase"].values[1] == "task0000:paraphrase0001"
    assert float(posterior["sd"].sel(term="model").mean()) > 0
    np.testing.assert_array_equal(tree["observed_data"]["refusals"], result.cells.refusals)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_arviz_works_on_it_as_it_is(fitted):
    tree = az.from_netcdf(fitted[0] / "posterior.nc")
    summary = az.summary(tree, var_names=["intercept", "sd"])
    assert len(summary) == 1 + 7
    loo = az.loo(tree)
    assert np.isfinite(loo.elpd)
    sense = az.psense_summary(tree, var_names=["sd"])
    assert np.isfinite(sense["prior"].to_numpy(float)).all()
    az.plot_forest(tree, var_names=["sd"], backend="none")


def test_effects_come_back_as_they_were(fitted):
    folder, result, *_ = fitted
    effects = read_effects(az.from_netcdf(folder / "posterior.nc"))
    plain = result.fitted.plain
    np.testing.assert_array_equal(effects.intercept, plain.intercept)
    for name, array in zip(effects.terms, plain.effects, strict=True):
        np.testing.assert_array_equal(effects.effects[name], array)


def test_log_likelihood_is_that_of_the_cells(fitted):
    """Sum over terms at one cell, looked up by names alone, against scipy."""
    from scipy import stats

    folder, result, *_ = fitted
    tree = az.from_netcdf(folder / "posterior.nc")
    draw = tree["posterior"].to_dataset().isel(chain=1, draw=7)
    cell = tree["observed_data"].to_dataset().isel(cell=5)
    at = {name: str(cell[name].values) for name in ("persona", "model", "task", "paraphrase")}
    pair = f"{at['task']}:{at['paraphrase']}"
    log_odds = draw["intercept"] + draw["u_persona"].sel(persona=at["persona"])
    log_odds += draw["u_model"].sel(model=at["model"]) + draw["u_task"].sel(task=at["task"])
    log_odds += draw["u_task:paraphrase"].sel({"task:paraphrase": pair})
    log_odds += draw["u_persona:model"].sel(persona=at["persona"], model=at["model"])
    log_odds += draw["u_model:task"].sel(model=at["model"], task=at["task"])
    log_odds += draw["u_persona:task:paraphrase"].sel({"persona": at["persona"], "task:paraphrase": pair})
    probability = 1 / (1 + np.exp(-float(log_odds)))
    expected = stats.binom.logpmf(result.cells.refusals[5], result.cells.trials[5], probability)
    found = float(tree["log_likelihood"]["refusals"].isel(chain=1, draw=7, cell=5))
    assert found == pytest.approx(expected, rel=1e-5)


def test_tables_are_recomputed_from_the_file_alone(fitted):
    folder, _, tables, _, request = fitted
    again = tables_from_posterior(az.from_netcdf(folder / "posterior.nc"), request.tables)
    for name, frame in tables.frames.items():
        pd.testing.assert_frame_equal(again.frames[name], frame)
        written = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=["nan"])
        assert list(written.columns) == list(frame.columns)
        assert len(written) == len(frame)


def test_columns_are_the_contract(fitted):
    folder, _, _, diagnostics, _ = fitted
    effects = pd.read_csv(folder / "effects.csv")
    assert list(effects.columns) == [
        "term", "level", "mean", "sd", "ci_lower", "ci_upper", "ci_prob", "ci_kind", "ess_bulk",
        "ess_tail", "r_hat",
    ]  # fmt: skip
    variance = pd.read_csv(folder / "variance.csv")
    assert list(variance.columns) == [
        "term",
        "scale",
        "mean",
        "sd",
        "ci_lower",
        "ci_upper",
        "ci_prob",
        "ci_kind",
    ]
    assert set(variance["scale"]) == {
        "latent", "finite", "probability_first", "probability_total", "observation",
    }  # fmt: skip
    sensitivity = pd.read_csv(folder / "sensitivity.csv")
    assert list(sensitivity.columns) == ["term", "index", "value", "ci_lower", "ci_upper", "null_q95"]
    needed = {
        "rhat_max", "ess_bulk_min", "ess_tail_min", "divergences", "bfmi_min", "seconds_compile",
        "seconds_sample",
        "cells", "trials", "verdict", "versions", "configuration", "observations_hash",
    }  # fmt: skip
    assert needed <= set(diagnostics)


def test_changed_observations_are_said(fitted, tmp_path):
    _, result, tables, _, _ = fitted
    configuration = {"fit": {"method": "nuts"}}
    first = write_fit(tmp_path, result, tables, [], configuration)
    again = write_fit(tmp_path, result, tables, [], configuration)
    assert first["notes"] == again["notes"]
    text = (tmp_path / "diagnostics.json").read_text().replace(first["observations_hash"], "0123456789abcdef")
    (tmp_path / "diagnostics.json").write_text(text)
    changed = write_fit(tmp_path, result, tables, [], configuration)
    assert any("observations changed" in note for note in changed["notes"])


def test_large_grids_use_fewer_draws_and_say_so(fitted, monkeypatch):
    import src.effects.tables as module

    folder, _, tables, _, request = fitted
    monkeypatch.setattr(module, "GRID_VALUES", 72 * 240)
    fewer = tables_from_posterior(az.from_netcdf(folder / "posterior.nc"), request.tables)
    assert "72 combinations of levels: shares, contrasts and predictions use 240 draws" in fewer.notes
    assert fewer.frames["power_scaling"].empty
    all_draws = tables.frames["variance"].set_index(["scale", "term"])["mean"]
    some = fewer.frames["variance"].set_index(["scale", "term"])["mean"]
    np.testing.assert_allclose(some, all_draws, atol=0.05)
