"""Whether the ranking of factors depends on which detector reads the refusals.

For each detector and factor, with shares w_k and rates p_k of its K levels, overall rate p and N responses,

    index = sum of w_k (p_k - p)^2 / (p (1 - p))  -  (K - 1) / (N - 1)

is the given-data first-order Sobol' index of the outcome less what it is on average if outcomes are shuffled.
A nested factor's index is that of its combinations with the parent less that of the parent, so that what
belongs to the task does not count for its wordings as well. Detectors are compared on the same responses, and
in the bootstrap on the same resampled ones: what only chance in the responses moves, moves for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import kendalltau, spearmanr

from src.effects.summaries import interval
from src.errors import InputError, unknown

DRAWS = 400
"""Bootstrap draws."""
AFFORDABLE = 2**25
"""Resampled counts in all; more distinct rows get fewer draws, but not fewer than `FEWEST_DRAWS`."""
FEWEST_DRAWS = 50
AT_ONCE = 2**22
"""Resampled counts held at a time."""


@dataclass(frozen=True, slots=True)
class Rankings:
    """The factors' indices and ranks by each detector, and how far they agree."""

    table: pd.DataFrame
    """Columns detector, term, index, ci_lower, ci_upper, rank; the largest index has rank 1."""
    agreement: pd.DataFrame
    """Columns first, second, spearman, kendall, same_top, prob_same_top: one row a pair of detectors. The
    correlations of ranks are NaN for fewer than two factors; prob_same_top is the share of bootstrap draws in
    which both have the same factor on top."""


def rank_factors(
    codes: np.ndarray,
    flags: np.ndarray,
    counts: np.ndarray,
    factors: Sequence[str],
    detectors: Sequence[str],
    rng: np.random.Generator,
    nested: Mapping[str, str] | None = None,
    ci_prob: float = 0.9,
    ci_kind: str = "eti",
) -> Rankings:
    """Rank factors by each detector.

    Parameters
    ----------
    codes : ndarray
        Level codes, whole and not negative, shape (rows, factors).
    flags : ndarray
        What each detector reads as refused, shape (rows, detectors).
    counts : ndarray
        Responses that have these levels and flags, positive, shape (rows,).
    factors, detectors : sequence of str
        Names of the columns of `codes` and `flags`.
    rng : numpy.random.Generator
        Source of the bootstrap.
    nested : mapping, optional
        Nested factor to parent.
    ci_prob, ci_kind
        Of the intervals, see `src.effects.summaries.interval`.

    Returns
    -------
    Rankings
        Terms are named ``parent:factor`` where nested.

    Raises
    ------
    InputError
        If shapes contradict each other, or a name is unknown.
    """
    nested = {child: parent for child, parent in (nested or {}).items() if child in factors}
    _check(codes, flags, counts, factors, detectors, nested)
    draws = int(np.clip(AFFORDABLE // len(counts), FEWEST_DRAWS, DRAWS))
    total = int(counts.sum())
    terms = [f"{nested[f]}:{f}" if f in nested else f for f in factors]
    # Shapes (factors, detectors) and (factors, detectors, draws).
    value = own_indices(codes, flags, counts[None].astype(np.float64), factors, nested)[..., 0]
    block = max(1, AT_ONCE // len(counts))
    resampled = (
        rng.multinomial(total, counts / total, min(block, draws - start)).astype(np.float64)
        for start in range(0, draws, block)
    )
    parts = [own_indices(codes, flags, some, factors, nested) for some in resampled]
    drawn = np.concatenate(parts, axis=-1)
    bias = drawn.mean(axis=-1) - value
    order = np.argsort(-value, axis=0, kind="stable")
    ranks = np.argsort(order, axis=0, kind="stable") + 1
    rows = []
    for d, detector in enumerate(detectors):
        lower, upper = (end - bias[:, d] for end in interval(drawn[:, d].T, ci_prob, ci_kind))
        for f, term in enumerate(terms):
            rows.append((detector, term, value[f, d], lower[f], upper[f], int(ranks[f, d])))
    table = pd.DataFrame(rows, columns=["detector", "term", "index", "ci_lower", "ci_upper", "rank"])
    top = (drawn - bias[..., None]).argmax(axis=0)
    pairs = []
    for a, b in combinations(range(len(detectors)), 2):
        same = order[0, a] == order[0, b]
        alike = float((top[a] == top[b]).mean())
        pairs.append((detectors[a], detectors[b], *correlations(value[:, a], value[:, b]), bool(same), alike))
    names = ["first", "second", "spearman", "kendall", "same_top", "prob_same_top"]
    return Rankings(table, pd.DataFrame(pairs, columns=names))


def own_indices(
    codes: np.ndarray,
    flags: np.ndarray,
    counts: np.ndarray,
    factors: Sequence[str],
    nested: Mapping[str, str],
) -> np.ndarray:
    """Compute every factor's index beyond chance and beyond its parent, for many weightings of the rows.

    Parameters
    ----------
    codes, flags
        As in `rank_factors`.
    counts : ndarray
        Responses of each row, shape (draws, rows).
    factors : sequence of str
        Names of the columns of `codes`.
    nested : mapping
        Nested factor to parent, both among `factors`.

    Returns
    -------
    ndarray, shape (factors, detectors, draws)
        Zero where nothing or everything is flagged. May be below zero.
    """
    place = {factor: i for i, factor in enumerate(factors)}
    of = {
        factor: _beyond_chance(
            codes[:, [place[nested[factor]], i]] if factor in nested else codes[:, [i]], flags, counts
        )
        for factor, i in place.items()
    }
    return np.stack([of[f] - of[nested[f]] if f in nested else of[f] for f in factors])


def correlations(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Correlate two rankings.

    Parameters
    ----------
    first, second : ndarray, shape (factors,)
        Values that are ranked.

    Returns
    -------
    tuple of float
        Spearman's rho and Kendall's tau-b; NaN where there are fewer than two factors or all are equal.
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan, np.nan
    return float(spearmanr(first, second).statistic), float(kendalltau(first, second).statistic)


def _beyond_chance(levels: np.ndarray, flags: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Index of the combinations of some columns less its mean under shuffling, shape (detectors, draws)."""
    ids = np.unique(levels, axis=0, return_inverse=True)[1].ravel()
    trials = _by_level(ids, np.ones(len(ids)), counts)
    total = trials.sum(axis=1)
    present = (trials > 0).sum(axis=1)
    chance = (present - 1) / np.maximum(total - 1, 1)
    result = []
    for flag in np.asarray(flags, bool).T:
        refusals = _by_level(ids, flag.astype(np.float64), counts)
        rate = refusals.sum(axis=1) / total
        gap = np.divide(refusals, trials, out=np.zeros_like(trials), where=trials > 0) - rate[:, None]
        spread = (trials * gap**2).sum(axis=1) / total
        noise = rate * (1 - rate)
        share = np.divide(spread, noise, out=np.zeros_like(spread), where=noise > 0)
        result.append(np.where(noise > 0, share - chance, 0.0))
    return np.stack(result)


def _by_level(ids: np.ndarray, kept: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum the counts of kept rows by level, shape (draws, levels)."""
    member = csr_array((kept, (ids, np.arange(len(ids)))), shape=(ids.max() + 1, len(ids)))
    return (member @ counts.T).T


def _check(
    codes: np.ndarray,
    flags: np.ndarray,
    counts: np.ndarray,
    factors: Sequence[str],
    detectors: Sequence[str],
    nested: Mapping[str, str],
) -> None:
    rows = len(counts)
    if np.shape(codes) != (rows, len(factors)) or np.shape(flags) != (rows, len(detectors)):
        raise InputError(
            f"codes {np.shape(codes)}, flags {np.shape(flags)} and counts {np.shape(counts)} of "
            f"{len(factors)} factors and {len(detectors)} detectors do not fit; (n, factors), (n, detectors) "
            "and (n,) would be right"
        )
    if rows == 0 or not np.all(np.asarray(counts) > 0):
        raise InputError("every row needs at least one response, and there must be a row")
    for parent in nested.values():
        if parent not in factors:
            raise unknown("factor of a nesting", parent, factors)
