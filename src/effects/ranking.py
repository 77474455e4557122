"""Whether the counts alone rank the factors as the model does, with the uncertainty of both.

The model ranks factors by their own share of the variance of the refusal probability over the grid of levels.
Given-data indices rank them by what they have above chance: the index minus the 95 % quantile of its
permutation null, and never below zero, so that factors that chance could have made are tied. A nested
factor's index counts its parent's effect, and so does its null; what remains is its own. Agreement is
Kendall's tau-b and Spearman's rho between the two, for each draw of the shares; the order of the indices is
as observed.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from src.effects.sensitivity import INDICES
from src.effects.summaries import summarise

COLUMNS = ["quantity", "index", "term", "mean", "sd", "ci_lower", "ci_upper", "ci_prob", "ci_kind"]
"""Columns of ``ranking.csv``."""
QUANTITIES = ("rank", "first", "kendall", "spearman")
"""Rank (1: the largest), whether it is first by the model (its mean is a probability), and agreement."""


def ranking_table(
    shares: Mapping[str, np.ndarray],
    sensitivity: pd.DataFrame,
    ci_prob: float,
    ci_kind: str,
) -> pd.DataFrame:
    """Tabulate each factor's rank and the agreement of rankings.

    Parameters
    ----------
    shares : mapping
        Term to its share on the scale ``probability_first``, shape (draws,).
    sensitivity : pandas.DataFrame
        Rows of ``sensitivity.csv``.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`. Of each factor ``rank`` and ``first`` by the model (index empty) and ``rank`` by
        each index, which has no spread; ``kendall`` and ``spearman`` of each index with the model. Agreement
        is NaN where a ranking is all ties.
    """
    names = list(dict.fromkeys(sensitivity["term"]))
    own = np.stack([shares[name] for name in names], axis=1)
    excess = {index: _excess(sensitivity, index, names) for index in INDICES}
    ranks = len(names) + 1 - rankdata(own, axis=1)
    rows = [(("rank", "", name), ranks[:, i]) for i, name in enumerate(names)]
    rows += [(("first", "", name), ranks[:, i] == 1) for i, name in enumerate(names)]
    for index, values in excess.items():
        observed = len(names) + 1 - rankdata(values)
        rows += [(("rank", index, name), observed[[i]]) for i, name in enumerate(names)]
        rows.append((("kendall", index, ""), kendall(own, values)))
        rows.append((("spearman", index, ""), spearman(own, values)))
    return pd.DataFrame(
        [
            {
                **dict(zip(COLUMNS, key, strict=False)),
                **_summary(draws, ci_prob, ci_kind),
                "ci_prob": ci_prob,
                "ci_kind": ci_kind,
            }
            for key, draws in rows
        ]
    )[COLUMNS]


def kendall(draws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Correlate the order of each draw with one order by Kendall's tau-b.

    Parameters
    ----------
    draws : ndarray
        Shape (draws, n).
    values : ndarray
        Shape (n,).

    Returns
    -------
    ndarray
        Shape (draws,); NaN where all are tied. Equals `scipy.stats.kendalltau` of each row.
    """
    one, two = np.triu_indices(len(values), 1)
    signs, others = np.sign(draws[:, one] - draws[:, two]), np.sign(values[one] - values[two])
    return _cosine(signs, others)


def spearman(draws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Correlate the order of each draw with one order by Spearman's rho.

    Parameters
    ----------
    draws : ndarray
        Shape (draws, n).
    values : ndarray
        Shape (n,).

    Returns
    -------
    ndarray
        Shape (draws,); NaN where all are tied. Equals `scipy.stats.spearmanr` of each row.
    """
    ranks, others = rankdata(draws, axis=1), rankdata(values)
    return _cosine(ranks - ranks.mean(axis=1, keepdims=True), others - others.mean())


def _cosine(rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.sqrt((rows**2).sum(axis=1) * (other**2).sum())
    return np.divide(rows @ other, lengths, out=np.full(len(rows), np.nan), where=lengths > 0)


def _summary(draws: np.ndarray, ci_prob: float, ci_kind: str) -> dict[str, np.ndarray]:
    """Summarise the draws that have a value."""
    known = draws[np.isfinite(draws)].astype(float)
    return summarise(known if len(known) else np.full(1, np.nan), ci_prob, ci_kind)


def _excess(sensitivity: pd.DataFrame, index: str, names: list[str]) -> np.ndarray:
    rows = sensitivity[sensitivity["index"] == index].set_index("term").loc[names]
    return np.maximum(rows["value"].to_numpy() - rows["null_q95"].to_numpy(), 0.0)
