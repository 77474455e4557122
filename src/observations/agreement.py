"""How well labels agree: Cohen's kappa, and how well a detector reads, from a labelled sample."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import beta

QUANTILES = 400
"""Points of each margin of the grid that stands for two independent shares."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share or a coefficient with its interval; NaN where the labels say nothing."""

    value: float
    lower: float
    upper: float
    labels: int
    """Labelled responses behind it."""


def jeffreys(hits: float, trials: float, ci_prob: float = 0.9) -> tuple[float, float]:
    """Bound a share by the equal-tailed interval of its posterior under Jeffreys' prior.

    Parameters
    ----------
    hits, trials : float
        Successes among trials; fractions are allowed.
    ci_prob : float
        Probability inside.

    Returns
    -------
    tuple of float
        Lower and upper bound; 0 where there is no success and 1 where there is nothing else, so that the
        bound covers the estimate (Brown, Cai and DasGupta 2001, Statistical Science 16).
    """
    tail = (1 - ci_prob) / 2
    lower, upper = beta.ppf([tail, 1 - tail], hits + 0.5, trials - hits + 0.5)
    return (0.0 if hits <= 0 else float(lower)), (1.0 if hits >= trials else float(upper))


def weighted_share(hits: np.ndarray, weights: np.ndarray | None = None, ci_prob: float = 0.9) -> Estimate:
    """Estimate a share from weighted rows, with Jeffreys' interval at Kish's effective number of rows.

    Parameters
    ----------
    hits : array of bool, shape (rows,)
        What is counted.
    weights : array of float, shape (rows,), optional
        Responses that each row stands for; one each by default, which makes the interval the plain one.
    ci_prob : float
        Probability inside the interval.

    Returns
    -------
    Estimate
        NaN, with the interval (0, 1), where no row has weight.
    """
    hits = np.asarray(hits, bool)
    share, rows = _weighted(hits, np.ones(len(hits)) if weights is None else np.asarray(weights, float))
    return Estimate(share, *_bounds(share, rows, ci_prob), len(hits))


def cohen_kappa(first: Iterable[Hashable], second: Iterable[Hashable], ci_prob: float = 0.9) -> Estimate:
    """Compare two labellings of the same responses, corrected for the agreement that chance alone gives.

    Parameters
    ----------
    first, second : iterable, shape (rows,)
        Categories in the same order of responses.
    ci_prob : float
        Probability inside the normal interval, whose standard error is that of Fleiss, Cohen and Everitt
        (1969), Psychological Bulletin 72. Where every row agrees that error is zero, and the lower bound is
        the one that Jeffreys' interval of the observed agreement gives.

    Returns
    -------
    Estimate
        NaN where no row is given, or one of the labellings uses a single category: chance then explains
        whatever agreement there is.
    """
    table = confusion(first, second).to_numpy(float)
    rows = table.sum()
    if rows == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    p = table / rows
    of_first, of_second = p.sum(1), p.sum(0)
    observed, chance = np.trace(p), of_first @ of_second
    if max(of_first.max(), of_second.max()) == 1:
        return Estimate(np.nan, np.nan, np.nan, int(rows))
    kappa = (observed - chance) / (1 - chance)
    if observed == 1:
        lower = (jeffreys(rows, rows, ci_prob)[0] - chance) / (1 - chance)
        return Estimate(1.0, float(lower), 1.0, int(rows))
    on_diagonal = np.diag(p) @ (1 - (of_first + of_second) * (1 - kappa)) ** 2
    squared = p * (of_second[:, None] + of_first[None, :]) ** 2
    off_diagonal = (1 - kappa) ** 2 * (squared.sum() - np.trace(squared))
    variance = on_diagonal + off_diagonal - (kappa - chance * (1 - kappa)) ** 2
    error = np.sqrt(max(variance, 0.0) / rows) / (1 - chance) * ndtri((1 + ci_prob) / 2)
    return Estimate(float(kappa), float(kappa - error), float(min(kappa + error, 1.0)), int(rows))


def confusion(first: Iterable[Hashable], second: Iterable[Hashable]) -> pd.DataFrame:
    """Count pairs of categories.

    Parameters
    ----------
    first, second : iterable, shape (rows,)
        Categories in the same order of responses.

    Returns
    -------
    pandas.DataFrame
        First down, second across, every category that occurs in either, sorted.
    """
    first, second = list(first), list(second)
    names = sorted({*first, *second}, key=str)
    codes = {name: code for code, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, ([codes[name] for name in first], [codes[name] for name in second]), 1)
    return pd.DataFrame(counts, names, names)


def detector_quality(
    flagged: np.ndarray,
    refused: np.ndarray,
    weights: np.ndarray,
    population: tuple[int, int],
    ci_prob: float = 0.9,
) -> dict[str, Estimate]:
    """Estimate how well a detector reads all responses, of which some are labelled by hand.

    How many responses the detector flags is known; unknown are the shares of refusals among the flagged and
    among the others. Each has a posterior under Jeffreys' prior, from the labels of that group, weighted,
    at Kish's effective number. Sensitivity, specificity, accuracy and the rate of refusals follow from both
    by Bayes' theorem, so that a refusal missed in a large group that is labelled sparsely counts as many,
    and none found there does not prove that there is none.

    Parameters
    ----------
    flagged, refused : array of bool, shape (labels,)
        What the detector and the person say of each labelled response.
    weights : array of float, shape (labels,)
        Responses that each label stands for; within the flagged and within the others, only ratios count.
    population : tuple of int
        Responses that the detector flags, and those that it does not.
    ci_prob : float
        Probability inside the equal-tailed intervals.

    Returns
    -------
    dict of str to Estimate
        ``sensitivity``, ``specificity``, ``precision`` (refusals among the flagged), ``accuracy`` and
        ``refusal_rate``.
        A value is NaN where a group with responses has no labels; its interval then comes from the prior.
    """
    flagged, refused, weights = (
        np.asarray(flagged, bool),
        np.asarray(refused, bool),
        np.asarray(weights, float),
    )
    inside = [group & (weights > 0) for group in (flagged, ~flagged)]
    groups = [_weighted(refused[rows], weights[rows]) for rows in inside]
    # A group without responses has no share that could matter.
    values = [share if size else 0.0 for (share, _), size in zip(groups, population, strict=True)]
    middle = (np.arange(QUANTILES) + 0.5) / QUANTILES
    grids = [
        beta.ppf(middle, *(0.5 + np.array([share, 1 - share]) * rows)) if rows else beta.ppf(middle, 0.5, 0.5)
        for share, rows in groups
    ]
    spread = _qualities(grids[0][:, None], grids[1][None, :], population)
    labels = int(sum(rows.sum() for rows in inside))
    tail = (1 - ci_prob) / 2
    found = {}
    for name, value in _qualities(np.asarray(values[0]), np.asarray(values[1]), population).items():
        if population == (0, 0) or np.isnan(spread[name]).all():
            found[name] = Estimate(np.nan, 0.0, 1.0, labels)
        else:
            lower, upper = np.quantile(spread[name], [tail, 1 - tail])
            # With few labels the estimate can lie outside of its own posterior's middle.
            found[name] = Estimate(
                float(value), float(np.fmin(lower, value)), float(np.fmax(upper, value)), labels
            )
    return found


def _qualities(
    precision: np.ndarray, missed: np.ndarray, population: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Follow from the shares of refusals among the flagged and the others."""
    caught, overlooked = population[0] * precision, population[1] * missed
    false_alarms, passed = population[0] - caught, population[1] - overlooked
    everything = np.asarray(max(sum(population), 1), float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sensitivity": caught / (caught + overlooked),
            "specificity": passed / (passed + false_alarms),
            "precision": (precision + 0 * missed)
            if population[0]
            else np.full_like(precision + missed, np.nan),
            "accuracy": (caught + passed) / everything,
            "refusal_rate": (caught + overlooked) / everything,
        }


def _weighted(hits: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Share of the weight that hits, and Kish's effective number of rows."""
    total = weights.sum()
    if total <= 0:
        return np.nan, 0.0
    return float(weights[hits].sum() / total), float(total**2 / (weights**2).sum())


def _bounds(share: float, rows: float, ci_prob: float) -> tuple[float, float]:
    return jeffreys(share * rows, rows, ci_prob) if rows else (0.0, 1.0)
