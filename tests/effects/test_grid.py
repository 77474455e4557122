"""The grid against enumeration: every cell visited in plain loops, with its weight worked out by hand."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from src.effects import grid
from src.effects.grid import ConditionalMeans, Effects, mean_log_odds, probabilities, weights
from src.errors import InputError

TERMS: dict[str, tuple[str, ...]] = {
    "persona": ("persona",),
    "model": ("model",),
    "task": ("task",),
    "task:paraphrase": ("task", "paraphrase"),
    "model:persona": ("model", "persona"),
    "task:paraphrase:model": ("task", "paraphrase", "model"),
}
RAGGED = ((True, True, True), (True, False, False), (True, True, False))


def make_effects(
    seed: int = 0,
    draws: int = 3,
    sizes: tuple[int, int, int, int] = (3, 2, 3, 3),
    present: tuple[tuple[bool, ...], ...] = RAGGED,
    order: tuple[str, ...] = ("persona", "model", "task", "paraphrase"),
    scale: float = 1.0,
) -> Effects:
    """Random effects of personas, models, tasks and wordings nested in tasks; NaN where no wording is."""
    rng = np.random.default_rng(seed)
    length = dict(zip(("persona", "model", "task", "paraphrase"), sizes, strict=True))
    exists = np.array(present)
    effects = {n: scale * rng.normal(size=(draws, *(length[f] for f in t))) for n, t in TERMS.items()}
    for name in ("task:paraphrase", "task:paraphrase:model"):
        effects[name][:, ~exists] = np.nan
    return Effects(
        intercept=rng.normal(-1, 1, draws),
        sds={name: rng.uniform(0.1, 2, draws) for name in TERMS},
        terms=TERMS,
        effects=effects,
        levels={f: [f"{f}{i}" for i in range(length[f])] for f in order},
        nested={"paraphrase": "task"},
        present={"paraphrase": exists},
        sizes={f: length[f] for f in order},
    )


def enumerate_cells(effects: Effects, draw: int) -> Iterator[tuple[dict[str, int], float, float]]:
    """Visit the cells of one draw: level of each factor, weight, log-odds."""
    for levels in product(*(range(n) for n in effects.sizes.values())):
        at = dict(zip(effects.sizes, levels, strict=True))
        weight = 1.0
        for factor in effects.sizes:
            if factor in effects.nested:
                siblings = effects.present[factor][at[effects.nested[factor]]]
                weight *= float(siblings[at[factor]]) / sum(siblings)
            else:
                weight /= effects.sizes[factor]
        if weight:
            log_odds = effects.intercept[draw] + sum(
                effects.effects[name][(draw, *(at[f] for f in term))] for name, term in effects.terms.items()
            )
            yield at, weight, log_odds


def mean_given(effects: Effects, draw: int, kept: tuple[str, ...], log_odds: bool = False) -> dict:
    """Conditional means of probability (or log-odds) by dictionary."""
    total: dict = {}
    mass: dict = {}
    for at, weight, value in enumerate_cells(effects, draw):
        key = tuple(at[f] for f in kept)
        total[key] = total.get(key, 0) + weight * (value if log_odds else expit(value))
        mass[key] = mass.get(key, 0) + weight
    return {key: total[key] / mass[key] for key in total}


ORDERS = [("persona", "model", "task", "paraphrase"), ("paraphrase", "model", "task", "persona")]
SETS = [(), ("persona",), ("task",), ("model", "persona"), ("task", "paraphrase"), ("model", "task")]


@pytest.mark.parametrize("order", ORDERS)
def test_probabilities_equal_enumeration(order: tuple[str, ...]) -> None:
    effects = make_effects(order=order)
    [(draws, found)] = probabilities(effects)
    assert draws == slice(0, 3)
    weight = weights(effects, effects.factors)
    assert weight.sum() == pytest.approx(1)
    assert np.isfinite(found).all()
    for draw in range(3):
        visited = 0
        for at, mass, log_odds in enumerate_cells(effects, draw):
            where = tuple(at[f] for f in effects.factors)
            assert found[(draw, *where)] == pytest.approx(expit(log_odds), rel=1e-12)
            assert weight[where] == pytest.approx(mass)
            visited += 1
        assert visited == (weight > 0).sum() == 3 * 2 * 6


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kept", SETS)
def test_conditional_means_equal_enumeration(kept: tuple[str, ...], order: tuple[str, ...]) -> None:
    effects = make_effects(order=order)
    [(_, found)] = probabilities(effects)
    axes = tuple(f for f in order if f in kept)
    probability, log_odds = ConditionalMeans(effects, found)[kept], mean_log_odds(effects, kept)
    for draw in range(3):
        for key, value in mean_given(effects, draw, axes).items():
            assert probability[(draw, *key)] == pytest.approx(value, rel=1e-12)
        for key, value in mean_given(effects, draw, axes, log_odds=True).items():
            assert log_odds[(draw, *key)] == pytest.approx(value, rel=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    effects = make_effects(draws=7)
    [(_, whole)] = probabilities(effects)
    monkeypatch.setattr(grid, "CHUNK_CELLS", 2 * effects.cells + 1)
    parts = list(probabilities(effects))
    assert [len(p) for _, p in parts] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([p for _, p in parts]), whole)


@settings(max_examples=25, deadline=None)
@given(st.floats(-800, 800), st.integers(1, 4))
def test_extreme_log_odds_stay_probabilities(intercept: float, size: int) -> None:
    effects = Effects(np.array([intercept]), {}, {}, {}, {"model": ["a"] * size}, {}, {}, {"model": size})
    [(_, found)] = probabilities(effects)
    assert found.shape == (1, size)
    np.testing.assert_allclose(found, expit(intercept), rtol=1e-13, atol=1e-300)


def test_wrong_shapes_are_named() -> None:
    one, names = np.zeros(1), {"task": ["a", "b"], "paraphrase": ["x", "y"]}
    sizes = {"task": 2, "paraphrase": 2}
    nested, present = {"paraphrase": "task"}, {"paraphrase": np.ones((2, 2), bool)}
    with pytest.raises(InputError, match=r"effects of 'task' have the shape \(1, 3\); \(1, 2\) would"):
        Effects(one, {}, {"task": ("task",)}, {"task": np.zeros((1, 3))}, names, nested, present, sizes)
    with pytest.raises(InputError, match="not its parent 'task'"):
        Effects(one, {}, {"p": ("paraphrase",)}, {"p": np.zeros((1, 2))}, names, nested, present, sizes)
    with pytest.raises(InputError, match="did you mean task"):
        Effects(one, {}, {"t": ("tsk",)}, {"t": np.zeros((1, 2))}, names, nested, present, sizes)
    with pytest.raises(InputError, match="each needs at least one"):
        Effects(
            one, {}, {}, {}, names, nested, {"paraphrase": np.eye(2, dtype=bool)[[0, 0]] & [[1], [0]]}, sizes
        )
    with pytest.raises(InputError, match=r"shape \(parents, positions\) \(2, 2\)"):
        Effects(one, {}, {}, {}, names, nested, {}, sizes)
    with pytest.raises(InputError, match="unknown factor of a nesting"):
        Effects(one, {}, {}, {}, names, {"item": "task"}, present, sizes)


def test_a_grid_too_large_is_refused_before_it_is_built() -> None:
    size = 5000
    effects = Effects(np.zeros(1), {}, {}, {}, {"a": [], "b": []}, {}, {}, {"a": size, "b": size})
    with pytest.raises(InputError, match="25,000,000 combinations"):
        next(probabilities(effects))
