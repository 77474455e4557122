"""Draws reduced to the numbers of a table: mean, spread, interval, and how well the chains agree."""

import numpy as np

from src.errors import InputError, unknown

CI_KINDS = ("eti", "hdi")
"""Equal-tailed interval, and highest-density interval."""


def summarise(draws: np.ndarray, ci_prob: float, ci_kind: str) -> dict[str, np.ndarray]:
    """Summarise draws by mean, standard deviation and credible interval.

    Parameters
    ----------
    draws : ndarray
        Shape (draws, ...), chains joined.
    ci_prob : float
        Probability inside the interval, between 0 and 1.
    ci_kind : {"eti", "hdi"}
        Equal-tailed, or the shortest that holds `ci_prob`.

    Returns
    -------
    dict of str to ndarray
        ``mean``, ``sd``, ``ci_lower``, ``ci_upper``, each of the trailing shape.

    Raises
    ------
    InputError
        If the kind of interval is unknown or the probability is none.
    """
    lower, upper = interval(draws, ci_prob, ci_kind)
    return {"mean": draws.mean(axis=0), "sd": draws.std(axis=0), "ci_lower": lower, "ci_upper": upper}


def interval(draws: np.ndarray, ci_prob: float, ci_kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Compute a credible interval along the first axis.

    Parameters
    ----------
    draws : ndarray
        Shape (draws, ...).
    ci_prob : float
        Probability inside the interval, between 0 and 1.
    ci_kind : {"eti", "hdi"}
        Equal-tailed, or the shortest that holds `ci_prob`.

    Returns
    -------
    lower, upper : ndarray
        Each of the trailing shape.

    Raises
    ------
    InputError
        If the kind of interval is unknown or the probability is none.
    """
    if ci_kind not in CI_KINDS:
        raise unknown("ci_kind", ci_kind, CI_KINDS)
    if not 0 < ci_prob < 1:
        raise InputError(f"ci_prob must lie between 0 and 1, received {ci_prob}")
    if ci_kind == "eti":
        lower, upper = np.quantile(draws, [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=0)
        return lower, upper
    from arviz_stats.base import array_stats

    bounds = array_stats.hdi(draws, prob=ci_prob, axis=0)
    return bounds[..., 0], bounds[..., 1]


def convergence(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Measure how well chains agree: rank-normalised R-hat, bulk and tail effective sample sizes.

    Parameters
    ----------
    draws : ndarray
        Shape (chains, draws, ...).

    Returns
    -------
    dict of str to ndarray
        ``ess_bulk``, ``ess_tail`` (the smaller of the 5 % and 95 % quantiles') and ``r_hat``, each of the
        trailing shape. R-hat is NaN for draws that never change, and for a single chain.

    Notes
    -----
    Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Rank-normalization, folding, and localization.
    """
    from arviz_stats.base import array_stats

    axes = {"chain_axis": 0, "draw_axis": 1}
    with np.errstate(invalid="ignore"):
        return {
            "ess_bulk": np.asarray(array_stats.ess(draws, method="bulk", **axes)),
            "ess_tail": np.asarray(array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **axes)),
            "r_hat": np.asarray(array_stats.rhat(draws, **axes)),
        }
