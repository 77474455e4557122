"""From zero-sum components back to the plain random effects of every term, exactly, one draw at a time.

Given a draw of the standard deviations, the parts w_tA of component e_A that belong to the terms t (and, for
the empty subset, to the intercept) are independent normals with variances q_tA that sum to v_A. Conditional
on their sum they are drawn by Matheron's rule (Journel & Huijbregts 1978): independent draws, corrected by
q_tA / v_A times what is missing from the sum. The plain effects are u_t = sum over A within t of w_tA.
"""

from dataclasses import dataclass

import numpy as np

from src.inference.centring import by_coordinate
from src.inference.priors import PriorArrays
from src.inference.scales import standard_deviations
from src.inference.terms import Component, Structure
from src.inference.zero_sum import expand


@dataclass(frozen=True, slots=True)
class PlainDraws:
    """Draws of the model's own parameters; the leading axis or axes run over draws."""

    intercept: np.ndarray
    """Log-odds, shape (draws,)."""
    sds: np.ndarray
    """Standard deviation of each term, log-odds, shape (draws, terms)."""
    effects: list[np.ndarray]
    """Effects of each term, log-odds, shape (draws, *axis lengths of the term's factors)."""
    slope: np.ndarray | None = None
    """Slope of a term's log standard deviation by its covariate, shape (draws,); None without one. The term's
    entry in `sds` is then its standard deviation where the covariate is zero."""


def components_of(
    unconstrained: np.ndarray, structure: Structure, information: np.ndarray, prior: PriorArrays
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Split the sampler's vector into standard deviations and zero-sum effects.

    Parameters
    ----------
    unconstrained : ndarray
        Shape (draws, dimension); see `src.inference.density`.
    structure : Structure
        Terms and components.
    information : ndarray
        As for `src.inference.density.build_problem`.
    prior : PriorArrays
        Holds the intercept's prior.

    Returns
    -------
    sds : ndarray
        Shape (draws, terms).
    effects : list of ndarray
        Zero-sum effects of each component, shape (draws, *component shape), without the intercept's prior
        mean.
    """
    terms = len(structure.terms)
    sds = standard_deviations(unconstrained[:, :terms])
    variances = component_variances(sds, structure, prior)
    precision, score = by_coordinate(structure, information)
    before = terms + (structure.slope is not None)
    effects, start = [], before
    for c, component in enumerate(structure.components):
        free = unconstrained[:, start : start + component.size]
        own = variances[:, c, None]
        if structure.slope is not None and c == len(structure.components) - 1:
            own = own * np.exp(2.0 * unconstrained[:, [terms]] * structure.slope.by_effect(structure))
        here = slice(start - before, start - before + component.size)
        squared = own / (1.0 + precision[here] * own)
        scaled = np.sqrt(squared) * free + squared * score[here]
        effects.append(_expand_all(scaled.reshape(len(free), *component.free_shape), component))
        start += component.size
    return sds, effects


def component_variances(sds: np.ndarray, structure: Structure, prior: PriorArrays) -> np.ndarray:
    """Return the variance v_A of each component (see `src.inference.terms`), shape (draws, components)."""
    variances = sds**2 @ structure.mixing.T
    variances[:, 0] += prior.intercept_sd**2
    return variances


def recover_effects(
    sds: np.ndarray,
    components: list[np.ndarray],
    structure: Structure,
    prior: PriorArrays,
    rng: np.random.Generator,
) -> PlainDraws:
    """Draw the plain effects given the components.

    Parameters
    ----------
    sds : ndarray
        Shape (draws, terms).
    components : list of ndarray
        From `components_of`.
    structure : Structure
        Terms and components.
    prior : PriorArrays
        Holds the intercept's prior.
    rng : numpy.random.Generator
        Source of the noise that splits sums into parts.

    Returns
    -------
    PlainDraws
        Whose sums over terms equal the sums over components.
    """
    draws = len(sds)
    totals = component_variances(sds, structure, prior)
    plain = [np.zeros((draws, *(structure.sizes[f] for f in term))) for term in structure.terms]
    intercept = np.zeros(draws)
    if structure.slope is not None:
        plain[structure.terms.index(structure.slope.term)] += components[-1]
    mixed = structure.components[: len(components) - (structure.slope is not None)]
    for c, (component, effect) in enumerate(zip(mixed, components, strict=False)):
        holders = [t for t in range(len(structure.terms)) if structure.mixing[c, t] > 0]
        shares = [sds[:, t] ** 2 * structure.mixing[c, t] for t in holders]
        if c == 0:
            shares.append(np.full(draws, prior.intercept_sd**2))
        parts = [np.sqrt(_align(share, effect)) * _isotropic(component, draws, rng) for share in shares]
        missing = (effect - sum(parts)) / _align(totals[:, c], effect)
        for i, share in enumerate(shares):
            parts[i] += _align(share, effect) * missing
        if c == 0:
            intercept = prior.intercept_mean + parts[-1]
        for t, part in zip(holders, parts, strict=False):
            plain[t] += _spread(part, component, structure.terms[t])
    return PlainDraws(intercept, sds, plain)


def draw_prior(structure: Structure, prior: PriorArrays, draws: int, rng: np.random.Generator) -> PlainDraws:
    """Draw every parameter from the prior.

    Parameters
    ----------
    structure : Structure
        Terms.
    prior : PriorArrays
        The prior.
    draws : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    PlainDraws
        Independent draws.
    """
    from src.inference.priors import draw_sds

    sds = draw_sds(prior, draws, rng)
    effects = [
        sds[:, t].reshape(-1, *[1] * len(term))
        * rng.normal(size=(draws, *(structure.sizes[f] for f in term)))
        for t, term in enumerate(structure.terms)
    ]
    intercept = rng.normal(prior.intercept_mean, prior.intercept_sd, draws)
    if structure.slope is None:
        return PlainDraws(intercept, sds, effects)
    slope = rng.normal(size=draws)
    which = structure.terms.index(structure.slope.term)
    scale = np.exp(slope[:, None] * structure.slope.by_effect(structure)).reshape(effects[which].shape)
    effects[which] = effects[which] * scale
    return PlainDraws(intercept, sds, effects, slope)


def _expand_all(free: np.ndarray, component: Component) -> np.ndarray:
    for axis, zero_sum in enumerate(component.zero_sum):
        if zero_sum:
            free = expand(free, axis + 1)
    return free


def _isotropic(component: Component, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw standard normals on the component's zero-sum subspace."""
    noise = rng.normal(size=(draws, *component.shape))
    for axis, zero_sum in enumerate(component.zero_sum):
        if zero_sum:
            noise -= noise.mean(axis=axis + 1, keepdims=True)
    return noise


def _align(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _spread(part: np.ndarray, component: Component, term: tuple[str, ...]) -> np.ndarray:
    """Give a component's effects the axes of a term that holds it, of length one where it does not vary."""
    order = [factor for factor in term if factor in component.factors]
    part = np.moveaxis(part, [1 + component.factors.index(f) for f in order], range(1, 1 + len(order)))
    lengths = iter(part.shape[1:])
    return part.reshape(len(part), *(next(lengths) if f in component.factors else 1 for f in term))
