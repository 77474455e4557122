"""Power scaling: a share that only the prior knows depends on it, one that the data know does not."""

import numpy as np
import pytest

from src.effects.power_scaling import COLUMNS, power_scaling_table
from src.effects.reading import read_effects
from src.effects.variance import variance_shares
from src.inference.fitting import FitSettings, fit_cells
from src.inference.priors import read_prior
from src.inference.recover import draw_prior
from src.inference.terms import build_structure
from src.inference.tree import build_tree
from tests.inference.simulate import simulate


@pytest.fixture(scope="module")
def tree():
    cells = simulate(20_000, (16, 2, 1, 1), sds={"persona": 1.0, "model": 1.0}).cells
    structure = build_structure(cells)
    prior = read_prior({"family": "half_normal"}, structure.names)
    fitted = fit_cells(cells, structure, prior, FitSettings(draws=500, progress=False))
    return build_tree(
        cells, structure, fitted, draw_prior(structure, prior, 100, np.random.default_rng(1)), prior, 1
    )


def test_prior_matters_for_new_levels_of_a_factor_with_two(tree):
    shares = variance_shares(read_effects(tree)).draws
    table = power_scaling_table(tree, shares).set_index(["scale", "term"])
    assert list(table.reset_index()[COLUMNS].columns) == COLUMNS
    assert table.loc[("latent", "model"), "prior"] > 0.05
    assert table.loc[("latent", "model"), "diagnosis"] != ""
    assert table.loc[("probability_first", "persona"), "prior"] < 0.05
    assert table.loc[("probability_first", "persona"), "likelihood"] > 0.05
    assert table.loc[("probability_first", "persona"), "diagnosis"] == ""


def test_thinned_likelihoods_are_not_used(tree):
    shares = variance_shares(read_effects(tree)).draws
    thinned = tree.copy()
    thinned["log_likelihood"] = thinned["log_likelihood"].to_dataset().isel(draw=slice(0, 100))
    assert power_scaling_table(thinned, shares).empty
