"""The full grid of refusal probabilities behind each posterior draw, and exact averages over it.

Every combination of levels has a weight: levels of a factor are equally likely, levels of a nested factor
equally likely within their parent, and factors are otherwise independent. The weights sum to one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from src.errors import InputError, unknown

CHUNK_CELLS = 2**19
"""Probabilities held at once; 4 MiB of float64 stay in a processor's cache."""
GRID_CELLS = 2**24
"""Most combinations of levels in one draw: 128 MiB, half a GiB with all that is computed from it."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Posterior (or prior) draws of the plain random effects of a model, on the log-odds scale."""

    intercept: np.ndarray
    """Shape (draws,)."""
    sds: dict[str, np.ndarray]
    """Standard deviation of each term, shape (draws,)."""
    terms: dict[str, tuple[str, ...]]
    """Factors of each term; a nested factor comes with its parent, as in ``("task", "paraphrase")``."""
    effects: dict[str, np.ndarray]
    """Effects of each term, shape (draws, *axis lengths of its factors); anything where absent."""
    levels: dict[str, list[str]]
    """Level names of each factor."""
    nested: dict[str, str]
    """Nested factor to its parent."""
    present: dict[str, np.ndarray]
    """For a nested factor: which positions exist within each parent, bool, shape (parents, positions)."""
    sizes: dict[str, int]
    """Axis length of each factor: its levels, or the most positions within a parent."""
    positions: dict[str, np.ndarray] = field(default_factory=dict)
    """For a nested factor: position of each level within each parent, shape (parents, levels), -1 if absent.

    Only names levels in tables; without it they are numbered.
    """

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes contradict the factors."""
        for child, parent in self.nested.items():
            for factor in (child, parent):
                if factor not in self.sizes:
                    raise unknown("factor of a nesting", factor, self.sizes)
            shape = self.sizes[parent], self.sizes[child]
            if child not in self.present or self.present[child].shape != shape:
                raise InputError(f"present[{child!r}] must have the shape (parents, positions) {shape}")
            if not self.present[child].any(axis=1).all():
                raise InputError(f"a level of {parent!r} has no level of {child!r}; each needs at least one")
        for name, term in self.terms.items():
            for factor in term:
                if factor not in self.sizes:
                    raise unknown(f"factor of term {name}", factor, self.sizes)
                parent = self.nested.get(factor, factor)
                if parent not in term:
                    raise InputError(f"term {name!r} has {factor!r}, but not its parent {parent!r}")
            right, found = (self.draws, *(self.sizes[f] for f in term)), self.effects[name].shape
            if found != right:
                raise InputError(f"effects of {name!r} have the shape {found}; {right} would be right")

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the factors, in the order of the grid's axes."""
        return tuple(self.sizes)

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(self.intercept)

    @property
    def cells(self) -> int:
        """Number of cells of one draw's grid, absent ones included."""
        return int(np.prod(list(self.sizes.values()), dtype=np.int64))


def in_grid_order(effects: Effects, factors: Iterable[str]) -> tuple[str, ...]:
    """Sort factors as the axes of the grid are.

    Parameters
    ----------
    effects : Effects
        The draws, which know the order.
    factors : iterable of str
        Some of the factors.

    Returns
    -------
    tuple of str
        The same, without repeats.
    """
    kept = set(factors)
    return tuple(f for f in effects.factors if f in kept)


def shares_within_parent(effects: Effects, child: str) -> np.ndarray:
    """Weights of a nested factor's positions given the parent level.

    Parameters
    ----------
    effects : Effects
        The draws.
    child : str
        A nested factor.

    Returns
    -------
    ndarray
        Shape (parents, positions); equal where present, 0 where absent; rows sum to one.
    """
    present = effects.present[child]
    return present / present.sum(axis=1, keepdims=True)


def weights(effects: Effects, factors: Iterable[str]) -> np.ndarray:
    """Probability of each combination of levels of some factors.

    Parameters
    ----------
    effects : Effects
        The draws.
    factors : iterable of str
        A set that holds the parent of each nested factor in it.

    Returns
    -------
    ndarray
        Axes in the order of the grid; sums to one.
    """
    axes = in_grid_order(effects, factors)
    result = np.ones([effects.sizes[f] for f in axes])
    for factor in axes:
        if factor in effects.nested:
            pair = effects.nested[factor], factor
            result *= spread(shares_within_parent(effects, factor), pair, axes)
        else:
            result /= effects.sizes[factor]
    return result


def average_out(effects: Effects, array: np.ndarray, axes: tuple[str, ...], factor: str) -> np.ndarray:
    """Average over the levels of one factor, given all the others.

    Parameters
    ----------
    effects : Effects
        The draws.
    array : ndarray
        Shape (draws, *axis lengths of `axes`).
    axes : tuple of str
        Factors of the axes; none of them is nested in `factor`.
    factor : str
        The one to average over.

    Returns
    -------
    ndarray
        One axis fewer.
    """
    axis = axes.index(factor) + 1
    if factor in effects.nested:
        share = shares_within_parent(effects, factor)
        over = [axes.index(effects.nested[factor]) + 1, axis]
    else:
        share = np.full(effects.sizes[factor], 1 / effects.sizes[factor])
        over = [axis]
    every = list(range(array.ndim))
    # A weighted sum in one pass is three times as fast as mean() along a short axis.
    return np.einsum(array, every, share, over, [a for a in every if a != axis])


def term_effects(effects: Effects, name: str, draws: slice) -> tuple[np.ndarray, tuple[str, ...]]:
    """Arrange the effects of a term as the grid is.

    Parameters
    ----------
    effects : Effects
        The draws.
    name : str
        A term.
    draws : slice
        Which draws.

    Returns
    -------
    array : ndarray
        Shape (some draws, *axis lengths of `axes`); zero where a combination is absent.
    axes : tuple of str
        The term's factors in the order of the grid.
    """
    term = effects.terms[name]
    axes = in_grid_order(effects, term)
    array = effects.effects[name][draws].transpose(0, *(term.index(f) + 1 for f in axes))
    for factor in axes:
        if factor in effects.nested and not effects.present[factor].all():
            pair = effects.nested[factor], factor
            array = np.where(spread(effects.present[factor], pair, axes), array, 0.0)
    return array, axes


def spread(array: np.ndarray, have: tuple[str, ...], want: tuple[str, ...]) -> np.ndarray:
    """Make the last axes of an array broadcast against axes in another order.

    Parameters
    ----------
    array : ndarray
        Its last axes are the factors `have`; axes before those (the draws) stay in front.
    have : tuple of str
        Factors of the array's axes.
    want : tuple of str
        Factors of the axes to come, all of `have` among them.

    Returns
    -------
    ndarray
        An axis for each of `want`, of length one where `have` lacks it.
    """
    lead = array.ndim - len(have)
    ordered = [f for f in want if f in have]
    array = array.transpose(*range(lead), *(have.index(f) + lead for f in ordered))
    lengths = iter(array.shape[lead:])
    return array.reshape(*array.shape[:lead], *(next(lengths) if f in have else 1 for f in want))


def mean_log_odds(effects: Effects, kept: Iterable[str]) -> np.ndarray:
    """Log-odds of refusal averaged over the grid, given the levels of some factors.

    Parameters
    ----------
    effects : Effects
        The draws.
    kept : iterable of str
        A set that holds the parent of each nested factor in it.

    Returns
    -------
    ndarray
        Shape (draws, *axis lengths of `kept` in the order of the grid).
    """
    kept = in_grid_order(effects, kept)
    total = np.zeros((effects.draws, *(effects.sizes[f] for f in kept)))
    total += effects.intercept.reshape(-1, *(1 for _ in kept))
    for name in effects.terms:
        array, axes = term_effects(effects, name, slice(None))
        # Nested factors first: their weights depend on the parent.
        for factor in sorted((f for f in axes if f not in kept), key=lambda f: f not in effects.nested):
            array = average_out(effects, array, axes, factor)
            axes = tuple(f for f in axes if f != factor)
        total += spread(array, axes, kept)
    return total


def probabilities(effects: Effects) -> Iterator[tuple[slice, np.ndarray]]:
    """Walk the grid of refusal probabilities, some draws at a time.

    Parameters
    ----------
    effects : Effects
        The draws.

    Yields
    ------
    slice
        Which draws.
    ndarray
        Their probabilities, shape (some draws, *axis lengths of all factors), the caller's to change. Absent
        combinations hold a finite number, and have no weight.

    Raises
    ------
    InputError
        If one draw's grid is too large to hold.
    """
    if effects.cells > GRID_CELLS:
        raise InputError(
            f"the grid of {effects.cells:,} combinations of levels is too large to average exactly "
            f"(at most {GRID_CELLS:,}); leave out a factor, or nest it in another"
        )
    step = max(1, CHUNK_CELLS // effects.cells)
    for start in range(0, effects.draws, step):
        draws = slice(start, min(start + step, effects.draws))
        yield draws, _expit(_log_odds(effects, draws))


class ConditionalMeans:
    """Averages of a grid given the levels of any set of factors, each computed once, from a larger one."""

    def __init__(self, effects: Effects, grid: np.ndarray) -> None:
        """Start from a grid of shape (draws, *axis lengths of all factors)."""
        self._effects = effects
        self._known: dict[tuple[str, ...], np.ndarray] = {effects.factors: grid}

    def __getitem__(self, kept: Iterable[str]) -> np.ndarray:
        """Average over all factors but `kept`, which holds the parent of each nested factor in it.

        Returns an array of shape (draws, *axis lengths of `kept` in the order of the grid).
        """
        axes = in_grid_order(self._effects, kept)
        if axes not in self._known:
            # The cheapest way is over the smallest larger set; parents must be there before their children.
            missing = [f for f in self._effects.factors if f not in axes]
            possible = [f for f in missing if self._effects.nested.get(f) in (None, *axes)]
            factor = min(possible, key=self._effects.sizes.__getitem__)
            larger = in_grid_order(self._effects, (*axes, factor))
            self._known[axes] = average_out(self._effects, self[larger], larger, factor)
        return self._known[axes]


def _log_odds(effects: Effects, draws: slice) -> np.ndarray:
    factors = effects.factors
    total = effects.intercept[draws].reshape(-1, *(1 for _ in factors)).astype(np.float64)
    # Small terms first: the sum grows to the size of the grid as late as possible.
    for name in sorted(effects.terms, key=lambda n: effects.effects[n].size):
        array, axes = term_effects(effects, name, draws)
        total = total + spread(array, axes, factors)
    shape = (total.shape[0], *effects.sizes.values())
    return total if total.shape == shape else np.broadcast_to(total, shape).copy()


def _expit(log_odds: np.ndarray) -> np.ndarray:
    """Turn log-odds into probabilities in place; overflow of exp is a probability of zero."""
    with np.errstate(over="ignore"):
        np.negative(log_odds, out=log_odds)
        np.exp(log_odds, out=log_odds)
    log_odds += 1.0
    return np.reciprocal(log_odds, out=log_odds)
