"""Given-data indices against loops over responses, brute-force permutation, and simulated nulls."""

from itertools import permutations as orderings
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from src.effects import sensitivity as module
from src.effects.sensitivity import INDICES, indices, permuted, sensitivity
from src.errors import InputError


def of(table, term: str, index: str = "sobol_first"):
    return table[(table.term == term) & (table["index"] == index)].iloc[0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=6))
def test_indices_equal_loops_over_responses(counts: list[tuple[int, int]]) -> None:
    trials = np.array([n for n, _ in counts])
    refusals = np.minimum([k for _, k in counts], trials)
    outcomes = [[1] * k + [0] * (n - k) for n, k in zip(trials, refusals, strict=True)]
    pooled = np.array([y for level in outcomes for y in level], dtype=float)
    found = indices(refusals[None], trials)[:, 0]
    if pooled.var() == 0:
        assert (found == 0).all()
        return
    share = trials / trials.sum()
    between = sum(w * (np.mean(y) - pooled.mean()) ** 2 for w, y in zip(share, outcomes, strict=True))
    transport = sum(w * stats.wasserstein_distance(y, pooled) for w, y in zip(share, outcomes, strict=True))
    spread = np.abs(pooled[:, None] - pooled).mean()
    assert found == pytest.approx([between / pooled.var(), transport / spread], abs=1e-12)
    assert (found <= 1 + 1e-12).all()


def test_a_factor_that_decides_has_both_indices_one() -> None:
    assert indices(np.array([[7, 0, 0]]), np.array([7, 5, 9]))[:, 0] == pytest.approx([1, 1])


def test_permutation_is_hypergeometric() -> None:
    # Levels of 4, 3 and 2 responses, 5 refusals: every outcome's frequency against its probability.
    trials, refusals = np.array([4, 3, 2]), np.array([1, 3, 1])
    drawn = permuted(np.arange(3), np.zeros(3, int), refusals, trials, 40_000, np.random.default_rng(0))
    support = [k for k in product(range(5), range(4), range(3)) if sum(k) == 5]
    expected = [np.prod([comb(n, x) for n, x in zip(trials, k, strict=True)]) / comb(9, 5) for k in support]
    observed = [(drawn == k).all(axis=1).sum() for k in support]
    assert sum(observed) == 40_000
    assert stats.chisquare(observed, 40_000 * np.array(expected)).pvalue > 0.001


def test_blocks_keep_their_refusals() -> None:
    # Two blocks of single responses, enumerated: all orders of outcomes within each block.
    levels, blocks = np.array([0, 1, 1, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    outcomes = np.array([1, 0, 0, 1, 1, 0])
    expected: dict[tuple[int, ...], float] = {}
    for first, second in product(orderings(range(3)), orderings(range(3))):
        moved = outcomes[[*first, *(3 + i for i in second)]]
        key = tuple(np.bincount(levels, moved, 3).astype(int))
        expected[key] = expected.get(key, 0) + 1 / 36
    drawn = permuted(levels, blocks, outcomes, np.ones(6, int), 20_000, np.random.default_rng(1))
    observed = [(drawn == key).all(axis=1).sum() for key in expected]
    assert sum(observed) == 20_000
    assert stats.chisquare(observed, 20_000 * np.array(list(expected.values()))).pvalue > 0.001


def test_levels_alone_in_their_block_keep_their_refusals() -> None:
    drawn = permuted(
        np.array([0, 1, 0, 1]),
        np.array([0, 0, 1, 2]),
        np.array([2, 0, 3, 1]),
        np.array([4, 4, 5, 5]),
        200,
        np.random.default_rng(0),
    )
    assert (drawn.sum(axis=1) == 6).all()
    assert set(drawn[:, 0]) == {3, 4, 5}


def test_normal_limit_has_the_moments_of_the_exact_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    levels, blocks = np.tile(np.arange(4), 6), np.repeat(np.arange(6), 4)
    trials = rng.integers(20, 60, 24)
    refusals = rng.binomial(trials, rng.uniform(0.2, 0.6, 6)[blocks])
    exact = permuted(levels, blocks, refusals, trials, 20_000, rng)
    monkeypatch.setattr(module, "EXACT_DRAWS", 0)
    normal = permuted(levels, blocks, refusals, trials, 20_000, rng)
    scale = np.sqrt(np.diag(np.cov(exact.T)))
    np.testing.assert_allclose(normal.mean(axis=0), exact.mean(axis=0), atol=0.05 * scale.max())
    np.testing.assert_allclose(np.cov(normal.T), np.cov(exact.T), atol=0.05 * scale.max() ** 2)
    np.testing.assert_allclose(normal.sum(axis=1), refusals.sum())


def test_counts_of_ten_million() -> None:
    codes = np.array(list(product(range(16), range(16))))
    trials = np.full(256, 10_000_000)
    refusals = np.random.default_rng(0).binomial(trials, np.where(codes[:, 0] == 3, 0.11, 0.1))
    found = sensitivity(codes, refusals, trials, ["persona", "model"], np.random.default_rng(1), 0.9, "eti")
    persona, model = of(found.table, "persona"), of(found.table, "model")
    assert persona.value > 100 * persona.null_q95
    assert model.value < 3 * model.null_q95
    # Noise floor of the index: (K - 1) / N.
    assert persona.null_q95 == pytest.approx(stats.chi2.ppf(0.95, 15) / trials.sum(), rel=0.1)


def simulate(seed: int, balanced: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Persona without effect, model with a strong one; if unbalanced, personas met models unequally."""
    rng = np.random.default_rng(seed)
    codes = np.array(list(product(range(4), range(3))))
    trials = (
        np.full(12, 40)
        if balanced
        else np.array([[60, 20, 10], [10, 60, 20], [20, 10, 60], [30] * 3]).ravel()
    )
    return codes, rng.binomial(trials, expit(np.array([-2.0, 0.0, 2.0])[codes[:, 1]])), trials


@pytest.mark.parametrize("index", INDICES)
def test_null_covers_a_factor_without_effect(index: str) -> None:
    below = 0
    for seed in range(400):
        codes, refusals, trials = simulate(seed, balanced=False)
        rng = np.random.default_rng(seed)
        found = sensitivity(codes, refusals, trials, ["persona", "model"], rng, 0.9, "eti", permutations=300)
        row = of(found.table, "persona", index)
        below += row.value <= row.null_q95
        strong = of(found.table, "model", index)
        assert strong.value > strong.null_q95
    # 95 % of 400, give or take three standard errors.
    assert below / 400 == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 400))


def test_without_blocks_confounding_would_pose_as_an_effect() -> None:
    codes, refusals, trials = simulate(0, balanced=False)
    rng = np.random.default_rng(0)
    blocked = of(sensitivity(codes, refusals, trials, ["persona", "model"], rng, 0.9, "eti").table, "persona")
    alone = of(sensitivity(codes[:, :1], refusals, trials, ["persona"], rng, 0.9, "eti").table, "persona")
    assert alone.value == blocked.value > alone.null_q95
    assert blocked.value < blocked.null_q95


def test_balanced_designs_are_permuted_freely() -> None:
    codes, refusals, trials = simulate(0, balanced=True)
    both = sensitivity(codes, refusals, trials, ["persona", "model"], np.random.default_rng(0), 0.9, "eti")
    alone = sensitivity(codes[:, :1], refusals, trials, ["persona"], np.random.default_rng(0), 0.9, "eti")
    assert of(both.table, "persona").null_q95 == of(alone.table, "persona").null_q95


def simulate_wordings(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two tasks of two and three wordings in five models; tasks differ, wordings do not."""
    codes = np.array([(m, t, w) for m in range(5) for t, w in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))])
    trials = np.full(25, 80)
    return codes, np.random.default_rng(seed).binomial(trials, np.where(codes[:, 1] == 0, 0.1, 0.6)), trials


def test_nested_levels_are_combinations_with_the_parent() -> None:
    # Wording 0 of one task has nothing to do with wording 0 of the other.
    codes, refusals, trials = simulate_wordings(3)
    names, rng = ["model", "task", "wording"], np.random.default_rng(0)
    found = sensitivity(codes, refusals, trials, names, rng, 0.9, "eti", {"wording": "task"})
    assert found.table.term.tolist() == ["model"] * 2 + ["task"] * 2 + ["task:wording"] * 2
    assert found.notes == []
    key = codes[:, 1] * 3 + codes[:, 2]
    rates = [refusals[key == k].sum() / trials[key == k].sum() for k in np.unique(key)]
    p = refusals.sum() / trials.sum()
    wording, task = of(found.table, "task:wording"), of(found.table, "task")
    # Wordings have equal shares of the responses.
    assert wording.value == pytest.approx(np.mean((np.array(rates) - p) ** 2) / (p * (1 - p)))
    assert task.value > task.null_q95


def test_null_of_a_nested_factor_holds_what_its_parent_explains() -> None:
    names, below = ["model", "task", "wording"], 0
    for seed in range(300):
        codes, refusals, trials = simulate_wordings(seed)
        rng = np.random.default_rng(seed)
        found = sensitivity(
            codes, refusals, trials, names, rng, 0.9, "eti", {"wording": "task"}, permutations=200
        )
        wording = of(found.table, "task:wording")
        below += wording.value <= wording.null_q95
        assert wording.null_q95 > of(found.table, "task").value
    assert below / 300 == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 300))


def test_sparse_designs_drop_blocks_and_say_so() -> None:
    # Every response has its own item: within items nothing could move.
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, 4, 300), np.arange(300)], axis=1)
    refusals = (rng.random(300) < np.array([0.1, 0.1, 0.1, 0.6])[codes[:, 0]]).astype(int)
    found = sensitivity(codes, refusals, np.ones(300), ["persona", "item"], rng, 0.9, "eti")
    assert any("persona" in note and "not blocked by item" in note for note in found.notes)
    row = of(found.table, "persona")
    assert row.value > row.null_q95


def test_intervals_cover_the_true_index() -> None:
    rates = np.array([0.05, 0.1, 0.2, 0.4])
    truth = indices(1e6 * rates[None], np.full(4, 1e6))[:, 0]
    covered = np.zeros(2)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        refusals = rng.binomial(200, rates)
        table = sensitivity(
            np.arange(4)[:, None], refusals, np.full(4, 200), ["model"], rng, 0.9, "eti", permutations=2
        ).table
        covered += (table.ci_lower <= truth).to_numpy() & (truth <= table.ci_upper).to_numpy()
    assert covered / 300 == pytest.approx([0.9, 0.9], abs=0.05)


def test_rows_in_another_order_and_split_counts_give_the_same_answer() -> None:
    codes, refusals, trials = simulate(1, balanced=False)
    order = np.random.default_rng(0).permutation(12)
    one_each = np.repeat(codes, trials, axis=0)
    outcomes = np.concatenate([[1] * k + [0] * (n - k) for n, k in zip(trials, refusals, strict=True)])
    tables = [
        sensitivity(c, r, n, ["persona", "model"], np.random.default_rng(5), 0.9, "eti").table
        for c, r, n in (
            (codes, refusals, trials),
            (codes[order], refusals[order], trials[order]),
            (one_each, outcomes, np.ones(len(outcomes))),
        )
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


@pytest.mark.parametrize("refused", [0, 1])
def test_no_variation_is_no_sensitivity(refused: int) -> None:
    codes = np.array(list(product(range(3), range(2))))
    trials = np.full(6, 5)
    rng = np.random.default_rng(0)
    table = sensitivity(codes, refused * trials, trials, ["a", "b"], rng, 0.9, "eti").table
    assert (table[["value", "ci_lower", "ci_upper", "null_q95"]] == 0).all(axis=None)


def test_one_level_and_empty_cells() -> None:
    codes, trials = np.array([[0, 4], [0, 2], [0, 0]]), np.array([5, 5, 0])
    table = sensitivity(
        codes, np.array([1, 4, 0]), trials, ["a", "b"], np.random.default_rng(0), 0.9, "eti"
    ).table
    assert of(table, "a").value == of(table, "a").null_q95 == 0
    assert of(table, "b").value == pytest.approx(0.3**2 / 0.25)


@pytest.mark.parametrize(
    ("codes", "refusals", "trials", "nested", "message"),
    [
        (np.zeros((2, 1)), [0, 0], [1, 1], {}, r"\(n, factors\), \(n,\) and \(n,\) would be right"),
        (np.zeros((2, 2)), [0, 2], [1, 1], {}, "between 0 and trials"),
        (np.zeros((2, 2)), [0, 0], [0, 0], {}, "no cell holds a response"),
        (np.zeros((2, 2)), [0, 0], [1, 1], {"taks": "b"}, "unknown factor of a nesting 'taks'"),
    ],
)
def test_bad_input_is_refused(codes, refusals, trials, nested, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sensitivity(
            codes.astype(int),
            np.array(refusals),
            np.array(trials),
            ["task", "b"],
            np.random.default_rng(0),
            0.9,
            "eti",
            nested,
        )
