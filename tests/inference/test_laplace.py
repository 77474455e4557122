"""The nested Laplace approximation against exact gradients and brute-force integration."""

import numpy as np
import pytest
from scipy import stats

from src.inference.fitting import FitSettings, fit_cells
from src.inference.laplace import LaplaceModel
from src.inference.priors import read_prior
from src.inference.terms import build_structure
from tests.inference.simulate import INTERACTIONS, NESTED, counts, simulate


@pytest.mark.parametrize("family", ["half_normal", "r2d2"])
def test_gradient_of_the_marginal_is_exact(family):
    cells = simulate(600, (5, 4, 3, 2)).cells
    structure = build_structure(cells, INTERACTIONS, NESTED)
    model = LaplaceModel(cells, structure, read_prior({"family": family}, structure.names))
    y = np.random.default_rng(1).normal(-0.5, 0.5, len(structure.terms))
    steps = 1e-3 * np.eye(len(y))
    numeric = [(model.marginal(y + step)[0] - model.marginal(y - step)[0]) / 2e-3 for step in steps]
    np.testing.assert_allclose(model.marginal(y)[1], numeric, rtol=1e-4, atol=1e-3)


def brute_force(
    refusals: np.ndarray, trials: np.ndarray, intercept_sd: float, scale: float
) -> dict[str, float]:
    """Posterior of a one-factor model with two levels on a grid of intercept, two effects and the sd."""
    sd = np.linspace(0.005, 6, 120)[:, None, None, None]
    intercept = np.linspace(-5, 5, 61)[None, :, None, None]
    first = np.linspace(-6, 6, 61)[None, None, :, None]
    second = np.linspace(-6, 6, 61)[None, None, None, :]
    log = stats.norm.logpdf(intercept, 0, intercept_sd) + stats.halfnorm.logpdf(sd, scale=scale)
    log = log + stats.norm.logpdf(first, 0, sd) + stats.norm.logpdf(second, 0, sd)
    for k, n, effect in zip(refusals, trials, (first, second), strict=True):
        log = log + k * (intercept + effect) - n * np.logaddexp(0, intercept + effect)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    return {
        "intercept": float((weight * intercept).sum()),
        "sd": float((weight * sd).sum()),
        "first": float((weight * first).sum()),
        "sd_spread": float(np.sqrt((weight * sd**2).sum() - (weight * sd).sum() ** 2)),
    }


def test_sampling_agrees_with_brute_force_integration():
    refusals, trials = np.array([14.0, 3.0]), np.array([20.0, 25.0])
    cells = counts(trials, refusals, ("model",))
    structure = build_structure(cells)
    prior = read_prior(
        {"family": "half_normal", "intercept": {"mean": 0, "sd": 1.5}, "scale": 1.5}, structure.names
    )
    exact = brute_force(refusals, trials, 1.5, 1.5)
    drawn = fit_cells(cells, structure, prior, FitSettings(draws=10_000, tune=500, progress=False)).plain
    error = 4 / np.sqrt(10_000)  # four standard errors at a quarter of the draws effective
    assert abs(drawn.sds[:, 0].mean() - exact["sd"]) < error * exact["sd_spread"] + 0.02
    assert abs(drawn.sds[:, 0].std() - exact["sd_spread"]) < 0.05
    assert abs(drawn.intercept.mean() - exact["intercept"]) < 0.06
    assert abs(drawn.effects[0][:, 0].mean() - exact["first"]) < 0.06


def test_fast_is_near_the_sampler_and_says_that_it_is_approximate():
    cells = simulate(4000, (8, 6, 3, 4)).cells
    structure = build_structure(cells, INTERACTIONS, NESTED)
    prior = read_prior({"family": "half_normal"}, structure.names)
    settings = {"draws": 1000, "progress": False}
    exact = fit_cells(cells, structure, prior, FitSettings(**settings))
    fast = fit_cells(cells, structure, prior, FitSettings(method="fast", **settings))
    assert fast.approximate
    assert "approximate" in fast.notes[0]
    spread = exact.plain.sds.std(axis=0)
    np.testing.assert_array_less(
        np.abs(fast.plain.sds.mean(axis=0) - exact.plain.sds.mean(axis=0)), 0.35 * spread
    )
    effect, rough = exact.plain.effects[1], fast.plain.effects[1]
    np.testing.assert_array_less(np.abs(rough.mean(axis=0) - effect.mean(axis=0)), 0.35 * effect.std(axis=0))
