"""Variance explained by each term of the model, per draw, on five scales.

latent             share of the log-odds variance of new levels: sigma_t^2 / (sum of sigma^2 + pi^2 / 3)
finite             the same for the levels at hand (Gelman 2005): s_t^2 in place of sigma_t^2
probability_first  a term's own share of the variance of the probability p over the grid. A factor:
                   Var(E[p | f]) / Var(p), the first-order Sobol' index; an interaction: its component in
                   the analysis of variance; a nested factor: Var(E[p | parent, f]) - Var(E[p | parent])
probability_total  what involves all factors of a term. A factor: E[Var_f(p)] / Var(p), the total Sobol'
                   index (a parent's includes its nested factors); an interaction: its superset importance
observation        the variances of probability_first over pbar (1 - pbar), which leaves the Bernoulli
                   noise its share

Factors are independent, nested ones given their parent, so conditional means commute and Var(p) is a sum of
one component for every set of factors that holds the parents of its nested ones. Inclusion and exclusion
over a set's innermost factors turns variances of conditional means into components (Hoeffding 1948; Sobol'
1993; superset importance: Liu & Owen 2006). All is averaged exactly over the grid, with ddof 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from src.effects.grid import (
    ConditionalMeans,
    Effects,
    average_out,
    in_grid_order,
    probabilities,
    spread,
    term_effects,
    weights,
)

SCALES = ("latent", "finite", "probability_first", "probability_total", "observation")
LOGISTIC_VARIANCE = np.pi**2 / 3
"""Variance of the standard logistic distribution: a response's own noise on the latent scale."""
RESIDUAL = "residual"
HIGHER_ORDER = "higher_order"
CONSTANT = 1e-10
"""Relative spread below which differences of probabilities are rounding for the most part."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of variance of each draw."""

    draws: dict[str, dict[str, np.ndarray]]
    """Scale to row (term, ``residual`` or ``higher_order``) to shares, shape (draws,)."""
    notes: list[str]
    """What a reader must know about them."""


def variance_shares(effects: Effects) -> Shares:
    """Compute the shares of variance on every scale.

    Parameters
    ----------
    effects : Effects
        The draws.

    Returns
    -------
    Shares
        Rows sum to one on every scale but ``probability_total``, whose rows overlap. The row ``residual`` is
        the noise of a single response, ``higher_order`` all variance of p that no term of the model owns.

    Raises
    ------
    InputError
        If the grid is too large.
    """
    first, total, observation, notes = _probability_shares(effects)
    shares = (latent_shares(effects), finite_shares(effects), first, total, observation)
    return Shares(dict(zip(SCALES, shares, strict=True)), notes)


def latent_shares(effects: Effects) -> dict[str, np.ndarray]:
    """Compute shares of the log-odds variance over new levels.

    Parameters
    ----------
    effects : Effects
        The draws.

    Returns
    -------
    dict of str to ndarray
        Term, and ``residual``, to shares of shape (draws,).
    """
    return _with_logistic_noise({name: effects.sds[name] ** 2 for name in effects.terms})


def finite_shares(effects: Effects) -> dict[str, np.ndarray]:
    """Compute shares of the log-odds variance over the levels at hand.

    Parameters
    ----------
    effects : Effects
        The draws.

    Returns
    -------
    dict of str to ndarray
        Term, and ``residual``, to shares of shape (draws,); a term without degrees of freedom has none.
    """
    return _with_logistic_noise({name: finite_variance(effects, name) for name in effects.terms})


def finite_variance(effects: Effects, name: str) -> np.ndarray:
    """Compute the variance of a term's effects over the levels at hand.

    Effects are centred along every factor, along a nested factor within each level of its parent, and not
    along a parent whose nested factor is in the term. The sum of squares is divided by what centring leaves
    free: K - 1 for one factor, (K_a - 1)(K_b - 1) for two, the sum over parents of K_parent - 1 for a nested
    one.

    Parameters
    ----------
    effects : Effects
        The draws.
    name : str
        A term.

    Returns
    -------
    ndarray
        Shape (draws,), squared log-odds; 0 if nothing is free.

    Notes
    -----
    Gelman 2005, Analysis of variance: why it is more important than ever, section 3.
    """
    array, axes = term_effects(effects, name, slice(None))
    free = np.ones([1] * len(axes))
    for factor in axes:
        if factor in effects.nested:
            counts = effects.present[factor].sum(axis=1)
            free = free * spread(counts - 1, (effects.nested[factor],), axes)
        elif any(effects.nested.get(f) == factor for f in axes):
            continue
        else:
            free = free * (effects.sizes[factor] - 1)
        mean = average_out(effects, array, axes, factor)
        array = array - np.expand_dims(mean, axes.index(factor) + 1)
    if free.sum() == 0:
        return np.zeros(effects.draws)
    present = weights(effects, axes) > 0
    return (array**2 * present).reshape(effects.draws, -1).sum(axis=1) / free.sum()


def _with_logistic_noise(variances: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    total = _sum(variances.values()) + LOGISTIC_VARIANCE
    shares = {name: variance / total for name, variance in variances.items()}
    return {**shares, RESIDUAL: LOGISTIC_VARIANCE / total}


def _probability_shares(
    effects: Effects,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], list[str]]:
    """Shares of the scales probability_first, probability_total and observation, and notes."""
    mean, explained = explained_variances(effects)
    components = {kept: _component(effects, explained, kept) for kept in explained}
    variance = explained[effects.factors]
    bernoulli = mean * (1 - mean)
    own = {name: components[in_grid_order(effects, term)] for name, term in effects.terms.items()}
    own[HIGHER_ORDER] = np.maximum(variance - _sum(own.values()), 0)
    total = {
        name: _sum(components[kept] for kept in components if set(term) <= set(kept))
        for name, term in effects.terms.items()
    }
    observation = {name: _ratio(part, bernoulli) for name, part in own.items()}
    observation[RESIDUAL] = _ratio(bernoulli - variance, bernoulli)
    constant = int((variance == 0).sum())
    notes = []
    if constant:
        notes.append(
            f"the probability of refusal is the same everywhere in {constant} of {effects.draws} draws; "
            "their shares on the probability scale are 0"
        )
    return (
        {name: _ratio(part, variance) for name, part in own.items()},
        {name: _ratio(part, variance) for name, part in total.items()},
        observation,
        notes,
    )


def explained_variances(effects: Effects) -> tuple[np.ndarray, dict[tuple[str, ...], np.ndarray]]:
    """Compute the variance of E[p | A] over the grid for every set A of factors.

    Parameters
    ----------
    effects : Effects
        The draws.

    Returns
    -------
    mean : ndarray
        Mean of p over the grid, shape (draws,).
    explained : dict of tuple of str to ndarray
        Every set of factors that holds the parents of its nested factors, to shape (draws,). The empty set
        has 0, all factors together Var(p). All are 0 for a draw whose probabilities differ by rounding.
    """
    sets = _closed_sets(effects)
    weight = {kept: weights(effects, kept).ravel() for kept in sets}
    mean = np.empty(effects.draws)
    explained = {kept: np.zeros(effects.draws) for kept in sets}
    for draws, grid in probabilities(effects):
        mean[draws] = grid.reshape(len(grid), -1) @ weight[effects.factors]
        # Centred first: variances as differences of squares would lose the digits of small ones.
        grid -= mean[draws].reshape(-1, *(1 for _ in effects.factors))
        means = ConditionalMeans(effects, grid)
        for kept in sets[1:]:
            explained[kept][draws] = means[kept].reshape(len(grid), -1) ** 2 @ weight[kept]
    constant = explained[effects.factors] <= (CONSTANT * mean) ** 2
    for variance in explained.values():
        variance[constant] = 0
    return mean, explained


def _closed_sets(effects: Effects) -> list[tuple[str, ...]]:
    """List every set of factors that holds the parents of its nested factors, the empty set first."""
    return [
        kept
        for size in range(len(effects.factors) + 1)
        for kept in combinations(effects.factors, size)
        if all(effects.nested.get(f, f) in kept for f in kept)
    ]


def _component(
    effects: Effects, explained: dict[tuple[str, ...], np.ndarray], kept: tuple[str, ...]
) -> np.ndarray:
    """Variance that belongs to a set of factors and to none of its subsets."""
    innermost = [f for f in kept if not any(effects.nested.get(other) == f for other in kept)]
    total = np.zeros(effects.draws)
    for size in range(len(innermost) + 1):
        for left_out in combinations(innermost, size):
            total += (-1) ** size * explained[tuple(f for f in kept if f not in left_out)]
    return np.maximum(total, 0)


def _sum(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.sum(list(arrays), axis=0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    share = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return np.minimum(share, 1.0)
