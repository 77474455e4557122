"""Summaries against closed forms and against ArviZ called one parameter at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from src.effects.summaries import CI_KINDS, convergence, interval, summarise
from src.errors import InputError


def test_intervals_of_an_exponential() -> None:
    draws = stats.expon.ppf((np.arange(20_000) + 0.5) / 20_000)
    lower, upper = interval(draws, 0.9, "eti")
    assert (lower, upper) == pytest.approx((-np.log(0.95), -np.log(0.05)), rel=1e-3)
    lower, upper = interval(draws, 0.9, "hdi")
    assert (lower, upper) == pytest.approx((0, -np.log(0.1)), rel=1e-2, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    arrays(float, (9, 2, 3), elements=st.floats(-1e6, 1e6)), st.floats(0.05, 0.95), st.sampled_from(CI_KINDS)
)
def test_trailing_axes_are_independent(draws: np.ndarray, ci_prob: float, ci_kind: str) -> None:
    whole = summarise(draws, ci_prob, ci_kind)
    assert list(whole) == ["mean", "sd", "ci_lower", "ci_upper"]
    for i, j in np.ndindex(2, 3):
        one = summarise(draws[:, i, j], ci_prob, ci_kind)
        for name in whole:
            np.testing.assert_allclose(whole[name][i, j], one[name], atol=1e-6)
    assert (whole["ci_lower"] <= whole["ci_upper"]).all()
    assert (whole["ci_lower"] >= draws.min(axis=0)).all()
    assert (whole["ci_upper"] <= draws.max(axis=0)).all()


def test_moments() -> None:
    found = summarise(np.array([1.0, 2.0, 6.0]), 0.5, "eti")
    assert found == pytest.approx({"mean": 3, "sd": np.sqrt(14 / 3), "ci_lower": 1.5, "ci_upper": 4})


@pytest.mark.parametrize(
    ("kind", "prob", "message"), [("hpd", 0.9, "did you mean hdi"), ("eti", 90, "received 90")]
)
def test_bad_intervals_are_refused(kind: str, prob: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        summarise(np.zeros(3), prob, kind)


def test_convergence_of_an_autoregression() -> None:
    # The effective size of an AR(1) chain is n (1 - rho) / (1 + rho).
    rng, rho = np.random.default_rng(0), 0.6
    noise = rng.normal(size=(4, 5000, 2))
    chains = noise.copy()
    for t in range(1, 5000):
        chains[:, t, 1] = rho * chains[:, t - 1, 1] + noise[:, t, 1]
    found = convergence(chains)
    assert {name: value.shape for name, value in found.items()} == dict.fromkeys(found, (2,))
    assert found["ess_bulk"] == pytest.approx([20_000, 5000], rel=0.1)
    assert found["r_hat"] == pytest.approx([1, 1], abs=0.002)
    assert (found["ess_tail"] > 4000).all()


def test_convergence_sees_chains_apart_and_tails_stuck() -> None:
    rng = np.random.default_rng(1)
    apart = rng.normal(size=(4, 1000)) + np.array([0, 0, 0, 3])[:, None]
    found = convergence(apart)
    assert found["r_hat"] > 1.3
    assert found["ess_bulk"] < 20
    assert found["r_hat"].shape == ()


def test_draws_that_never_change_have_no_r_hat() -> None:
    assert np.isnan(convergence(np.ones((4, 100)))["r_hat"])
