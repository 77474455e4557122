"""Shares of variance against closed forms, plain enumeration of small grids, and SALib."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SALib.analyze import sobol as analyze_sobol
from SALib.sample import sobol as sample_sobol
from scipy.special import expit

from src.effects import grid
from src.effects.grid import Effects
from src.effects.variance import (
    HIGHER_ORDER,
    LOGISTIC_VARIANCE,
    RESIDUAL,
    SCALES,
    finite_shares,
    finite_variance,
    latent_shares,
    variance_shares,
)
from tests.effects.test_grid import RAGGED, enumerate_cells, make_effects, mean_given

FACTORS = ("persona", "model", "task", "paraphrase")
SETS = [
    kept
    for size in range(5)
    for kept in combinations(FACTORS, size)
    if "paraphrase" not in kept or "task" in kept
]


def crossed(sizes: tuple[int, ...], seed: int, scale: float, draws: int = 4, order: int = 2) -> Effects:
    """Crossed factors a, b, c ... with all interactions up to an order."""
    rng = np.random.default_rng(seed)
    length = dict(zip("abcdef", sizes, strict=False))
    terms = {":".join(t): t for k in range(1, order + 1) for t in combinations(length, k)}
    return Effects(
        intercept=rng.normal(-2, 2, draws),
        sds={name: rng.uniform(0, 2, draws) for name in terms},
        terms=terms,
        effects={n: scale * rng.normal(size=(draws, *(length[f] for f in t))) for n, t in terms.items()},
        levels={f: [f"{f}{i}" for i in range(k)] for f, k in length.items()},
        nested={},
        present={},
        sizes=length,
    )


def enumerated(effects: Effects, draw: int) -> tuple[float, dict[tuple[str, ...], float]]:
    """Mean of p, and the variance of every component by subtracting all smaller components from E[p | A]."""
    cells = [(at, weight, expit(value)) for at, weight, value in enumerate_cells(effects, draw)]
    mean = sum(weight * p for _, weight, p in cells)
    functions: dict[tuple[str, ...], dict] = {}
    components = {}
    for kept in SETS:
        conditional = mean_given(effects, draw, kept)
        smaller = [s for s in functions if set(s) < set(kept)]
        functions[kept] = {
            key: value
            - sum(functions[s][tuple(k for f, k in zip(kept, key, strict=True) if f in s)] for s in smaller)
            for key, value in conditional.items()
        }
        components[kept] = sum(w * functions[kept][tuple(at[f] for f in kept)] ** 2 for at, w, _ in cells)
    return mean, {kept: value for kept, value in components.items() if kept}


def expected_variance(effects: Effects, draw: int, free: tuple[str, ...]) -> float:
    """Mean over all other factors of the variance of p over `free`."""
    others = tuple(f for f in effects.factors if f not in free)
    means = mean_given(effects, draw, others)
    return sum(
        weight * (expit(value) - means[tuple(at[f] for f in others)]) ** 2
        for at, weight, value in enumerate_cells(effects, draw)
    )


FULL = ((True, True, True),) * 3


@pytest.mark.parametrize("present", [RAGGED, FULL])
@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_probability_shares_equal_enumeration(present: tuple, scale: float) -> None:
    effects = make_effects(present=present, scale=scale)
    shares = variance_shares(effects).draws
    for draw in range(effects.draws):
        mean, components = enumerated(effects, draw)
        variance, noise = sum(components.values()), mean * (1 - mean)
        assert variance == pytest.approx(expected_variance(effects, draw, FACTORS))
        own = 0.0
        for name, term in effects.terms.items():
            kept = tuple(f for f in FACTORS if f in term)
            own += components[kept]
            above = sum(value for s, value in components.items() if set(s) >= set(kept))
            assert shares["probability_first"][name][draw] == pytest.approx(components[kept] / variance)
            assert shares["probability_total"][name][draw] == pytest.approx(above / variance)
            assert shares["observation"][name][draw] == pytest.approx(components[kept] / noise)
        rest = variance - own
        assert shares["probability_first"][HIGHER_ORDER][draw] == pytest.approx(rest / variance, abs=1e-12)
        assert shares["observation"][HIGHER_ORDER][draw] == pytest.approx(rest / noise, abs=1e-12)
        bernoulli = sum(w * expit(v) * (1 - expit(v)) for _, w, v in enumerate_cells(effects, draw))
        assert shares["observation"][RESIDUAL][draw] == pytest.approx(bernoulli / noise)


@pytest.mark.parametrize("present", [RAGGED, FULL])
def test_totals_are_expected_variances(present: tuple) -> None:
    effects = make_effects(present=present)
    total = variance_shares(effects).draws["probability_total"]
    free = {
        "persona": ("persona",),
        "model": ("model",),
        "task": ("task", "paraphrase"),
        "task:paraphrase": ("paraphrase",),
    }
    for draw in range(effects.draws):
        variance = expected_variance(effects, draw, FACTORS)
        for name, factors in free.items():
            expected = expected_variance(effects, draw, factors) / variance
            assert total[name][draw] == pytest.approx(expected)


def test_nested_main_term_is_the_gain_over_its_parent() -> None:
    effects = make_effects()
    first = variance_shares(effects).draws["probability_first"]["task:paraphrase"]
    for draw in range(effects.draws):
        cells = list(enumerate_cells(effects, draw))
        both, task = mean_given(effects, draw, ("task", "paraphrase")), mean_given(effects, draw, ("task",))
        mean = mean_given(effects, draw, ())[()]
        gain = sum(
            w * ((both[at["task"], at["paraphrase"]] - mean) ** 2 - (task[at["task"],] - mean) ** 2)
            for at, w, _ in cells
        )
        assert first[draw] == pytest.approx(gain / expected_variance(effects, draw, FACTORS))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.floats(0.001, 20),
    st.integers(1, 3),
)
def test_sobol_inequalities_and_sums(sizes: list[int], seed: int, scale: float, order: int) -> None:
    effects = crossed(tuple(sizes), seed, scale, order=min(order, len(sizes)))
    shares = variance_shares(effects)
    first, total = shares.draws["probability_first"], shares.draws["probability_total"]
    # Close to certain refusal, p holds few digits of 1 - p.
    tolerance = 1e-5
    varies = sum(first.values()) > 0
    assert varies.all() == (not shares.notes)
    for rows in shares.draws.values():
        for share in rows.values():
            assert ((share >= 0) & (share <= 1)).all()
    for name in effects.terms:
        assert (first[name] <= total[name] + tolerance).all()
    main = [name for name, term in effects.terms.items() if len(term) == 1]
    assert (sum(first[n] for n in main) <= 1 + tolerance).all()
    assert (sum(total[n] for n in main)[varies] >= 1 - tolerance).all()
    for scale_name in ("latent", "finite", "probability_first", "observation"):
        rows = sum(shares.draws[scale_name].values())
        np.testing.assert_allclose(rows[varies], 1, rtol=tolerance)


def test_indices_agree_with_salib() -> None:
    effects = crossed((4, 3, 3), seed=3, scale=1.0, draws=1)
    problem = {"num_vars": 3, "names": list("abc"), "bounds": [[0, 1]] * 3}
    sample = sample_sobol.sample(problem, 2**13, calc_second_order=True, seed=1)
    level = {
        f: np.minimum((sample[:, i] * effects.sizes[f]).astype(int), effects.sizes[f] - 1)
        for i, f in enumerate("abc")
    }
    log_odds = effects.intercept[0] + sum(
        effects.effects[name][0][tuple(level[f] for f in term)] for name, term in effects.terms.items()
    )
    theirs = analyze_sobol.analyze(problem, expit(log_odds), calc_second_order=True, seed=1)
    ours = variance_shares(effects).draws
    for i, f in enumerate("abc"):
        assert ours["probability_first"][f][0] == pytest.approx(theirs["S1"][i], abs=0.01)
        assert ours["probability_total"][f][0] == pytest.approx(theirs["ST"][i], abs=0.01)
    for (i, f), (j, g) in combinations(enumerate("abc"), 2):
        assert ours["probability_first"][f"{f}:{g}"][0] == pytest.approx(theirs["S2"][i, j], abs=0.01)


def test_one_factor_is_the_textbook() -> None:
    effects = crossed((7,), seed=1, scale=1.3, draws=5, order=1)
    u = effects.effects["a"]
    s2 = u.var(axis=1, ddof=1)
    np.testing.assert_allclose(finite_shares(effects)["a"], s2 / (s2 + LOGISTIC_VARIANCE))
    sigma2 = effects.sds["a"] ** 2
    np.testing.assert_allclose(latent_shares(effects)["a"], sigma2 / (sigma2 + np.pi**2 / 3))
    p = expit(effects.intercept[:, None] + u)
    shares = variance_shares(effects).draws
    np.testing.assert_allclose(shares["probability_first"]["a"], 1)
    np.testing.assert_allclose(shares["probability_total"]["a"], 1)
    mean = p.mean(axis=1)
    np.testing.assert_allclose(shares["observation"]["a"], p.var(axis=1) / (mean * (1 - mean)))


def test_interaction_is_double_centred() -> None:
    effects = crossed((5, 3), seed=2, scale=1.0)
    u = effects.effects["a:b"]
    for draw in range(effects.draws):
        squares = sum(
            (u[draw, i, j] - u[draw, i].mean() - u[draw, :, j].mean() + u[draw].mean()) ** 2
            for i, j in product(range(5), range(3))
        )
        assert finite_variance(effects, "a:b")[draw] == pytest.approx(squares / 8)


def test_nested_effects_are_centred_within_their_parent() -> None:
    effects = make_effects()
    u = effects.effects["task:paraphrase"]
    by_model = effects.effects["task:paraphrase:model"]
    for draw in range(effects.draws):
        inside = [u[draw, t, list(present)] for t, present in enumerate(RAGGED)]
        expected = sum(((x - x.mean()) ** 2).sum() for x in inside) / sum(len(x) - 1 for x in inside)
        assert finite_variance(effects, "task:paraphrase")[draw] == pytest.approx(expected)
        total, free = 0.0, 0
        for t, present in enumerate(RAGGED):
            x = by_model[draw, t, list(present)]
            centred = x - x.mean(axis=0) - x.mean(axis=1, keepdims=True) + x.mean()
            total, free = total + (centred**2).sum(), free + (x.shape[0] - 1) * (x.shape[1] - 1)
        assert finite_variance(effects, "task:paraphrase:model")[draw] == pytest.approx(total / free)


def test_finite_variance_recovers_many_levels() -> None:
    rng = np.random.default_rng(0)
    u = rng.normal(0, 1.7, (1, 40, 60))
    effects = Effects(
        np.zeros(1), {}, {"a:b": ("a", "b")}, {"a:b": u}, {"a": [], "b": []}, {}, {}, {"a": 40, "b": 60}
    )
    assert finite_variance(effects, "a:b")[0] == pytest.approx(1.7**2, rel=0.07)


def test_single_levels_have_no_share() -> None:
    effects = crossed((1, 3), seed=0, scale=1.0)
    shares = variance_shares(effects).draws
    for scale in SCALES[1:]:
        np.testing.assert_allclose(shares[scale]["a"], 0, atol=1e-24)
        np.testing.assert_allclose(shares[scale]["a:b"], 0, atol=1e-24)
    assert (shares["latent"]["a"] > 0).all()


def test_constant_probabilities_have_no_shares_and_a_note() -> None:
    effects = crossed((3, 3), seed=0, scale=1.0, draws=3)
    for name in effects.effects:
        effects.effects[name][0] = 0
    effects.intercept[1] = 2000
    shares = variance_shares(effects)
    assert len(shares.notes) == 1
    assert "2 of 3 draws" in shares.notes[0]
    for rows in (shares.draws["probability_first"], shares.draws["probability_total"]):
        for share in rows.values():
            np.testing.assert_array_equal(share[:2], 0)
    assert shares.draws["observation"][RESIDUAL][0] == pytest.approx(1)
    assert sum(shares.draws["observation"].values())[2] == pytest.approx(1)


def test_rare_refusals_keep_their_digits() -> None:
    effects = crossed((3, 2), seed=4, scale=0.5, draws=1)
    effects.intercept[:] = -300
    shares = variance_shares(effects)
    rates = np.exp(
        effects.effects["a"][0][:, None] + effects.effects["b"][0] + effects.effects["a:b"][0]
    )  # p is exp(log-odds) this far down
    assert not shares.notes
    assert shares.draws["probability_first"]["a"][0] == pytest.approx(rates.mean(axis=1).var() / rates.var())
    assert shares.draws["probability_total"]["a"][0] == pytest.approx(rates.var(axis=0).mean() / rates.var())


def test_relabelling_levels_changes_nothing() -> None:
    effects = make_effects()
    moved = {"persona": [2, 0, 1], "model": [1, 0], "task": [1, 2, 0], "paraphrase": [2, 0, 1]}
    other = Effects(
        effects.intercept,
        effects.sds,
        effects.terms,
        {
            name: effects.effects[name][np.ix_(range(effects.draws), *(moved[f] for f in term))]
            for name, term in effects.terms.items()
        },
        effects.levels,
        effects.nested,
        {"paraphrase": effects.present["paraphrase"][np.ix_(moved["task"], moved["paraphrase"])]},
        effects.sizes,
    )
    one, two = variance_shares(effects).draws, variance_shares(other).draws
    for scale in SCALES:
        for row, share in one[scale].items():
            np.testing.assert_allclose(two[scale][row], share, atol=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    effects = make_effects(draws=5)
    whole = variance_shares(effects).draws
    monkeypatch.setattr(grid, "CHUNK_CELLS", 2 * effects.cells)
    parts = variance_shares(effects).draws
    for scale in SCALES:
        for row, share in whole[scale].items():
            np.testing.assert_allclose(parts[scale][row], share, rtol=1e-12)
