"""The vectorised series against NumPy's functions and scipy's distribution."""

import numba as nb
import numpy as np
import pytest
from scipy import special, stats

from src.inference.logistic import (
    binomial_log_likelihood,
    exp_of_negative,
    log1p_of_fraction,
    log_of_positive,
)


@pytest.mark.parametrize(
    ("ours", "theirs", "points"),
    [
        (exp_of_negative, np.exp, -np.concatenate([[0.0, 1e-300, 699.9], np.geomspace(1e-17, 699, 50_000)])),
        (log1p_of_fraction, np.log1p, np.concatenate([[0.0, 1.0], np.geomspace(1e-300, 1, 50_000)])),
        (
            log_of_positive,
            np.log,
            np.concatenate([1 - np.geomspace(1e-16, 0.9, 500), np.geomspace(1e-305, 1e9, 50_000)]),
        ),
    ],
)
def test_series_agree_with_numpy(ours, theirs, points):
    @nb.njit
    def each(x):
        return np.array([ours(value) for value in x])

    np.testing.assert_allclose(each(points), theirs(points), rtol=2**-50)


def test_likelihood_and_its_derivative_are_those_of_the_binomial():
    rng = np.random.default_rng(1)
    log_odds = np.concatenate([rng.normal(0, 4, 500), [0.0, -0.0, 36.0, -36.0, 650.0, -650.0, 1e4, -1e4]])
    trials = rng.integers(1, 50, len(log_odds)).astype(float)
    refusals = rng.binomial(trials.astype(int), special.expit(log_odds)).astype(float)
    residual = np.empty_like(log_odds)
    found = binomial_log_likelihood(log_odds, refusals, trials, residual, np.empty_like(residual))
    near = np.abs(log_odds) < 30
    expected = stats.binom.logpmf(refusals, trials, special.expit(log_odds)) - np.log(
        special.binom(trials, refusals)
    )
    far = refusals * log_odds - trials * np.logaddexp(0, log_odds)
    assert found == pytest.approx(np.where(near, expected, far).sum(), rel=1e-11)
    np.testing.assert_allclose(residual, refusals - trials * special.expit(log_odds), atol=1e-12)


@pytest.mark.parametrize("log_odds", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_none(log_odds):
    """The sampler must see that a point has no density."""
    assert not np.isfinite(
        binomial_log_likelihood(
            np.array([log_odds]), np.array([1.0]), np.array([2.0]), np.empty(1), np.empty(1)
        )
    )
