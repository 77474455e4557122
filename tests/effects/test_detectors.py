"""Rankings by detector against definitions written out, and against data in which nothing matters."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from src.effects.detectors import correlations, own_indices, rank_factors
from src.effects.sensitivity import indices
from src.errors import InputError

FACTORS = ["task", "paraphrase", "model"]
NESTED = {"paraphrase": "task"}


def grid(repeats: int) -> np.ndarray:
    """Three tasks with four wordings each, asked of five models."""
    codes = np.array(list(product(range(3), range(4), range(5))))
    return np.repeat(codes, repeats, axis=0)


def test_index_is_variance_of_level_rates_beyond_chance_and_parent() -> None:
    rng = np.random.default_rng(1)
    codes = grid(7)
    flags = rng.random((len(codes), 2)) < 0.1 + 0.1 * codes[:, [0]] + 0.02 * codes[:, [1]] * [1, 0]
    counts = rng.integers(1, 4, (3, len(codes))).astype(float)
    found = own_indices(codes, flags, counts, FACTORS, NESTED)
    assert found.shape == (3, 2, 3)
    for d, draw in product(range(2), range(3)):
        rows = pd.DataFrame(codes, columns=FACTORS).assign(y=flags[:, d], n=counts[draw])
        rows = rows.loc[rows.index.repeat(rows["n"].astype(int))]
        total, p = len(rows), rows["y"].mean()
        beyond = {}
        for by in (["task"], ["task", "paraphrase"], ["model"]):
            levels = rows.groupby(by)["y"].agg(["mean", "size"])
            index = (levels["size"] / total * (levels["mean"] - p) ** 2).sum() / (p * (1 - p))
            refusals = (levels["mean"] * levels["size"]).to_numpy()[None]
            # The same as the index that the report shows, which has its own tests.
            assert index == pytest.approx(indices(refusals, levels["size"].to_numpy())[0, 0])
            beyond[by[-1]] = index - (len(levels) - 1) / (total - 1)
        beyond["paraphrase"] -= beyond["task"]
        assert found[:, d, draw] == pytest.approx([beyond[f] for f in FACTORS])


def test_where_nothing_matters_the_index_is_zero_on_average() -> None:
    rng = np.random.default_rng(2)
    codes = grid(4)
    flags = np.stack([rng.permutation(np.arange(len(codes)) < 30) for _ in range(2_000)], axis=1)
    found = own_indices(codes, flags, np.ones((1, len(codes))), FACTORS, NESTED)[..., 0]
    error = found.std(axis=1) / np.sqrt(found.shape[1])
    assert (np.abs(found.mean(axis=1)) < 4 * error).all()


def test_a_detector_that_misses_one_model_changes_the_ranking() -> None:
    rng = np.random.default_rng(3)
    codes = grid(60)
    refused = rng.random(len(codes)) < np.array([0.1, 0.2, 0.4])[codes[:, 0]]
    blind = refused & (codes[:, 2] < 3)
    found = rank_factors(
        codes,
        np.stack([refused, refused, blind], axis=1),
        np.ones(len(codes), int),
        FACTORS,
        ["true", "twin", "blind"],
        rng,
        NESTED,
    )
    top = found.table[found.table["rank"] == 1].set_index("detector")["term"]
    assert top.to_dict() == {"true": "task", "twin": "task", "blind": "model"}
    pairs = found.agreement.set_index(["first", "second"])
    assert pairs.loc[("true", "twin"), "prob_same_top"] == 1
    assert pairs.loc[("true", "twin"), ["spearman", "kendall"]].tolist() == pytest.approx([1, 1])
    assert pairs.loc[("true", "blind"), "prob_same_top"] < 0.05
    assert pairs["same_top"].tolist() == [True, False, False]
    assert (found.table["ci_lower"] < found.table["index"]).all()
    assert (found.table["index"] < found.table["ci_upper"]).all()
    # Counts in place of repeated rows are the same data.
    distinct, counts = np.unique(np.column_stack([codes, refused, blind]), axis=0, return_counts=True)
    again = rank_factors(
        distinct[:, :3], distinct[:, 3:].astype(bool), counts, FACTORS, ["true", "blind"], rng, NESTED
    )
    wanted = found.table[found.table["detector"] != "twin"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.table[["term", "index", "rank"]], wanted[["term", "index", "rank"]])


def test_intervals_cover_the_index_of_the_population() -> None:
    rng = np.random.default_rng(4)
    rates = np.array([0.05, 0.1, 0.15, 0.3])
    truth = rates.var() / (rates.mean() * (1 - rates.mean()))
    covered = 0
    for _ in range(100):
        codes = rng.integers(0, 4, (400, 1))
        flags = rng.random((400, 1)) < rates[codes]
        table = rank_factors(codes, flags, np.ones(400, int), ["model"], ["rules"], rng).table
        covered += bool(table["ci_lower"][0] < truth < table["ci_upper"][0])
    # 90 % intervals; the standard error of 100 of them is 3 %.
    assert 0.81 <= covered / 100 <= 0.99


def test_nothing_to_rank_is_no_error() -> None:
    codes = grid(1)
    found = rank_factors(codes, np.zeros((60, 2), bool), np.ones(60, int), FACTORS, ["a", "b"],
                         np.random.default_rng(5), NESTED)  # fmt: skip
    assert (found.table["index"] == 0).all()
    assert found.agreement["spearman"].isna().all()
    assert all(np.isnan(correlations(np.array([1.0]), np.array([2.0]))))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flags": np.zeros((60, 1), bool)}, "do not fit"),
        ({"counts": np.zeros(60, int)}, "at least one response"),
        ({"nested": {"model": "tsak"}}, "unknown factor of a nesting 'tsak'; did you mean task"),
    ],
)
def test_contradictions_are_named(changes: dict, said: str) -> None:
    given = {"codes": grid(1), "flags": np.zeros((60, 2), bool), "counts": np.ones(60, int), **changes}
    with pytest.raises(InputError, match=said):
        rank_factors(**given, factors=FACTORS, detectors=["a", "b"], rng=np.random.default_rng(0))
