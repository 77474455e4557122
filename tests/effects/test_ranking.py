"""Ranks and their agreement against scipy's rank correlations, and on counts whose order is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.effects.ranking import kendall, ranking_table, spearman

NAMES = ["persona", "model", "task", "task:paraphrase"]


def given_data(excess: list[float]) -> pd.DataFrame:
    rows = [
        (name, index, 0.1 + value, 0.0, 1.0, 0.1)
        for name, value in zip(NAMES, excess, strict=True)
        for index in ("sobol_first", "optimal_transport")
    ]
    return pd.DataFrame(rows, columns=["term", "index", "value", "ci_lower", "ci_upper", "null_q95"])


@pytest.mark.parametrize(
    ("ours", "theirs"), [(kendall, stats.kendalltau), (spearman, stats.spearmanr)], ids=["tau", "rho"]
)
@pytest.mark.parametrize(
    "values", [[3.0, 1.0, 2.0, 0.5, 9.0], [0.0, 0.0, 1.0, 2.0, 2.0]], ids=["plain", "ties"]
)
def test_correlations_are_scipys(ours, theirs, values):
    draws = np.random.default_rng(1).integers(0, 4, size=(50, 5)).astype(float)
    expected = [theirs(row, values).statistic for row in draws]
    np.testing.assert_allclose(ours(draws, np.array(values)), expected)


def table_of(shares: np.ndarray, excess: list[float]) -> pd.DataFrame:
    return ranking_table(dict(zip(NAMES, shares.T, strict=True)), given_data(excess), 0.9, "eti")


def test_ranks_and_the_probability_of_being_first():
    shares = np.array([[0.1, 0.6, 0.2, 0.05], [0.5, 0.3, 0.2, 0.05]] * 10)
    table = table_of(shares, [0.02, 0.4, 0.2, -0.05]).set_index(["quantity", "index", "term"]).sort_index()
    assert table.loc[("first", "", "model"), "mean"] == 0.5
    assert table.loc[("rank", "", "persona"), "mean"] == 2.0
    assert table.loc[("rank", "sobol_first"), "mean"].to_list() == [1, 3, 2, 4]
    assert table.loc[("kendall", "sobol_first", ""), "mean"] == pytest.approx((1 + 1 / 3) / 2)


def test_what_chance_could_have_made_is_tied():
    table = table_of(np.array([[0.1, 0.6, 0.2, 0.05]]), [-0.02, 0.4, -0.01, 0.0])
    ranks = table[(table["quantity"] == "rank") & (table["index"] == "sobol_first")]
    assert ranks["mean"].to_list() == [3, 1, 3, 3]


def test_no_order_at_all_is_no_agreement():
    table = table_of(np.array([[0.1, 0.6, 0.2, 0.05]]), [-0.1] * 4)
    assert table.loc[table["quantity"].isin(["kendall", "spearman"]), "mean"].isna().all()
