"""Model-free sensitivity of refusal to each factor, from counts alone: given-data global sensitivity.

With level shares w_k, level rates p_k and overall rate p,

sobol_first        sum of w_k (p_k - p)^2 / (p (1 - p))      first-order Sobol' index of the outcome
optimal_transport  sum of w_k |p_k - p| / (2 p (1 - p))      Wasserstein index for binary output

Both are above zero by chance alone, the more so the more levels a factor has, so each stands beside the 95 %
quantile of its permutation null.

The null moves outcomes, never labels of the design. In a balanced design (each level of the factor has the
same share of responses at every combination of the other factors) outcomes are permuted freely. Otherwise
they are permuted within blocks of equal levels of the other factors, so that what these explain stays where
it is. A nested factor is always permuted within its parent, and a parent never within what is nested in it.
Where most responses would sit in blocks with one level of the factor, in which nothing can move, blocking
factors are dropped, most levels first, and a note says so.

Permuting N binary outcomes is a multivariate hypergeometric draw of the refusals of each cell, so the cost
depends on cells and not on responses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from src.effects.summaries import interval
from src.errors import InputError, unknown

INDICES = ("sobol_first", "optimal_transport")
NULL_QUANTILE = 0.95
MOVABLE = 0.5
"""Least share of responses that blocks must leave movable."""
HYPERGEOMETRIC_LIMIT = 10**9
"""NumPy's bound on the size of a hypergeometric urn."""
EXACT_DRAWS = 2**23
"""Hypergeometric draws affordable for a null; beyond them its normal limit, exact in mean and covariance."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Given-data indices of every factor."""

    table: pd.DataFrame
    """Columns term, index, value, ci_lower, ci_upper, null_q95; two rows a factor."""
    notes: list[str]
    """What a reader must know about them."""


def sensitivity(
    codes: np.ndarray,
    refusals: np.ndarray,
    trials: np.ndarray,
    factors: Sequence[str],
    rng: np.random.Generator,
    ci_prob: float,
    ci_kind: str,
    nested: Mapping[str, str] | None = None,
    permutations: int = 1000,
    bootstraps: int = 1000,
) -> Sensitivity:
    """Tabulate both indices of every factor, with bootstrap intervals and permutation nulls.

    Parameters
    ----------
    codes : ndarray
        Level codes, whole and not negative, shape (cells, factors).
    refusals, trials : ndarray
        Counts, shape (cells,).
    factors : sequence of str
        Names of the columns of `codes`.
    rng : numpy.random.Generator
        Source of the permutations and bootstraps.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density.
    nested : mapping, optional
        Nested factor to parent; such a factor's levels are its combinations with the parent's.
    permutations, bootstraps : int, optional
        How many of each.

    Returns
    -------
    Sensitivity
        The table and notes.

    Raises
    ------
    InputError
        If shapes or counts contradict each other, or a name is unknown.

    Notes
    -----
    Formulas: Borgonovo, Figalli, Plischke & Savaré 2024, Global sensitivity analysis via optimal transport;
    for a binary outcome both reduce to level rates. Intervals come from a bootstrap with binomial counts of
    each level and are cut to [0, 1]. Chance lifts an index, and lifts it again in the bootstrap, so they are
    moved down by twice the bootstrap's bias: an index that is all noise may lie above its interval. For
    optimal_transport near zero that is too little, and only the null tells noise from effect.
    """
    nested = dict(nested or {})
    _check(codes, refusals, trials, factors, nested)
    used = trials > 0
    refusals, trials = (np.asarray(x)[used].astype(np.int64) for x in (refusals, trials))
    columns = {f: np.asarray(codes)[used, i] for i, f in enumerate(factors)}
    ids = {f: _combine(*(columns[g] for g in (nested.get(f), f) if g)) for f in factors}
    rows, notes = [], []
    for factor in factors:
        name = f"{nested[factor]}:{factor}" if factor in nested else factor
        count, refused = (np.bincount(ids[factor], x).astype(np.int64) for x in (trials, refusals))
        blocks, dropped = _blocks(factor, ids, trials, nested)
        if dropped:
            notes.append(
                f"{name}: too few responses share all other levels; "
                f"its permutation null is not blocked by {', '.join(dropped)}"
            )
        value = indices(refused[None], count)[:, 0]
        resampled = indices(rng.binomial(count, refused / count, (bootstraps, len(count))), count)
        null = indices(permuted(ids[factor], blocks, refusals, trials, permutations, rng), count)
        bias = resampled.mean(axis=1) - value
        lower, upper = np.clip(np.stack(interval(resampled.T, ci_prob, ci_kind)) - 2 * bias, 0, 1)
        quantile = np.quantile(null, NULL_QUANTILE, axis=1)
        for i, index in enumerate(INDICES):
            rows.append((name, index, value[i], lower[i], upper[i], quantile[i]))
    table = pd.DataFrame(rows, columns=["term", "index", "value", "ci_lower", "ci_upper", "null_q95"])
    return Sensitivity(table, notes)


def indices(refusals: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Compute both indices of one factor from counts by level.

    Parameters
    ----------
    refusals : ndarray
        Shape (n, levels).
    trials : ndarray
        Positive, shape (levels,).

    Returns
    -------
    ndarray
        `INDICES` by n, shape (2, n); 0 where nothing or everything is refused.
    """
    share = trials / trials.sum()
    rate = (refusals.sum(axis=1) / trials.sum())[:, None]
    gap = refusals / trials - rate
    noise = (rate * (1 - rate))[:, 0]
    parts = np.stack([gap**2 @ share, np.abs(gap) @ share / 2])
    return np.divide(parts, noise, out=np.zeros_like(parts), where=noise > 0)


def permuted(
    levels: np.ndarray,
    blocks: np.ndarray,
    refusals: np.ndarray,
    trials: np.ndarray,
    permutations: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Permute the outcomes of responses within blocks, and count the refusals of each level.

    Parameters
    ----------
    levels, blocks : ndarray
        Level of the factor and block of each cell, numbered from 0 without gaps, shape (cells,).
    refusals, trials : ndarray
        Whole counts, shape (cells,).
    permutations : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        Refusals by level, shape (permutations, levels).
    """
    pair = _combine(blocks, levels)
    first = np.unique(pair, return_index=True)[1]
    block, level, count = blocks[first], levels[first], np.bincount(pair, trials)
    size, refused = np.bincount(blocks, trials), np.bincount(blocks, refusals)
    # Alone in its block, or in one where nothing or everything is refused, a level keeps its refusals.
    moving = ((np.bincount(block) > 1) & (refused > 0) & (refused < size))[block]
    kept = np.bincount(level, count * (refused / size)[block] * ~moving)
    if not moving.any():
        return np.tile(kept, (permutations, 1))
    some = np.unique(block[moving])
    size, refused = size[some].astype(np.int64), refused[some].astype(np.int64)
    block, level, count = _combine(block[moving]), level[moving], count[moving].astype(np.int64)
    membership = csr_array((np.ones(len(level)), (level, np.arange(len(level)))), (len(kept), len(level)))
    if moving.sum() * permutations <= EXACT_DRAWS and size.max() < HYPERGEOMETRIC_LIMIT:
        return kept + (membership @ _hypergeometric(block, count, size, refused, permutations, rng).T).T
    chance = csr_array((count / size[block], (level, block)), (len(kept), len(size)))
    spread = refused * (size - refused) / (size - 1)
    covariance = np.diag(chance @ spread) - (chance * spread @ chance.T).toarray()
    drawn = rng.multivariate_normal(
        kept + chance @ refused, covariance, permutations, method="eigh", check_valid="ignore"
    )
    return np.clip(drawn, 0, np.bincount(levels, trials))


def _hypergeometric(
    block: np.ndarray,
    count: np.ndarray,
    size: np.ndarray,
    refused: np.ndarray,
    permutations: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw refusals of every level of every block given the block's total, shape (permutations, pairs).

    One level of all blocks at a time, each given what the levels before it have left over.
    """
    rank = np.arange(len(block)) - np.searchsorted(block, block)
    order = np.argsort(rank, kind="stable")
    drawn = np.empty((permutations, len(block)), dtype=np.int64)
    trials_left, refused_left = size.copy(), np.tile(refused, (permutations, 1))
    for now in np.split(order, np.cumsum(np.bincount(rank))[:-1]):
        here = block[now]
        trials_left[here] -= count[now]
        drawn[:, now] = rng.hypergeometric(count[now], trials_left[here], refused_left[:, here])
        refused_left[:, here] -= drawn[:, now]
    return drawn


def _blocks(
    factor: str, ids: Mapping[str, np.ndarray], trials: np.ndarray, nested: Mapping[str, str]
) -> tuple[np.ndarray, list[str]]:
    """Choose the blocks within which a factor's outcomes are permuted, and the factors dropped from them."""
    parent = nested.get(factor)
    outer = _combine(ids[parent]) if parent else np.zeros(len(trials), dtype=np.int64)
    others = [f for f in ids if f not in (factor, parent) and nested.get(f) != factor]
    blocks = _combine(outer, *(ids[f] for f in others))
    if _balanced(ids[factor], blocks, outer, trials):
        return outer, []
    dropped: list[str] = []
    # Ties drop the nested factor, which implies its parent.
    others.sort(key=lambda f: (ids[f].max(), f in nested))
    while others and _movable(ids[factor], blocks, trials) < MOVABLE:
        dropped.append(others.pop())
        blocks = _combine(outer, *(ids[f] for f in others))
    return blocks, dropped


def _balanced(levels: np.ndarray, blocks: np.ndarray, outer: np.ndarray, trials: np.ndarray) -> bool:
    """Whether, within each outer level, every level has the same share of responses in every block."""
    pair = _combine(blocks, levels)
    first = np.unique(pair, return_index=True)[1]
    here = np.bincount(pair, trials) / np.bincount(blocks, trials)[blocks[first]]
    overall = np.bincount(levels, trials)[levels[first]] / np.bincount(outer, trials)[outer[first]]
    return bool(np.allclose(here, overall, rtol=1e-9, atol=0))


def _movable(levels: np.ndarray, blocks: np.ndarray, trials: np.ndarray) -> float:
    """Share of responses in blocks where more than one level of the factor occurs."""
    first = np.unique(_combine(blocks, levels), return_index=True)[1]
    several = np.bincount(blocks[first]) > 1
    return float(trials[several[blocks]].sum() / trials.sum())


def _combine(*columns: np.ndarray) -> np.ndarray:
    """Give each combination of codes that occurs a number, in order, from 0 without gaps."""
    result = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        result = np.unique(result * (int(column.max()) + 1) + column, return_inverse=True)[1]
    return result


def _check(
    codes: np.ndarray,
    refusals: np.ndarray,
    trials: np.ndarray,
    factors: Sequence[str],
    nested: Mapping[str, str],
) -> None:
    shape = (len(trials), len(factors))
    if np.shape(codes) != shape or np.shape(refusals) != np.shape(trials):
        raise InputError(
            f"codes {np.shape(codes)}, refusals {np.shape(refusals)} and trials {np.shape(trials)} of "
            f"{len(factors)} factors do not fit; (n, factors), (n,) and (n,) would be right"
        )
    if not np.any(trials):
        raise InputError("no cell holds a response")
    if np.any(refusals > trials) or np.any(refusals < 0):
        raise InputError("refusals must lie between 0 and trials in every cell")
    for factor in (*nested, *nested.values()):
        if factor not in factors:
            raise unknown("factor of a nesting", factor, factors)
