"""Terms of the model, and the zero-sum components that carry the same prior with better geometry.

A term is a set of factors with one independent normal effect per combination of their levels. On the full
grid of levels these effects split into orthogonal components, one per subset of the term's factors: the
grand mean, main deviations, doubly centred interactions (the analysis-of-variance decomposition; Gelman
2005). Components of different terms on the same subset are only identified as their sum. The sum over all
terms that contain subset A is again isotropic normal on the zero-sum subspace of A, with variance

    v_A = sum over terms t containing A of sigma_t^2 / product of K_f over the factors f of t outside A

(K_f: number of levels). Sampling the sums instead of the effects leaves the posterior of standard deviations
and cell probabilities exactly that of the plain model, and removes its unidentified directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from src.errors import InputError, unknown
from src.inference.cells import Cells


@dataclass(frozen=True, slots=True)
class Component:
    """A zero-sum array of effects on a subset of the factors."""

    factors: tuple[str, ...]
    """The subset; empty for the intercept."""
    shape: tuple[int, ...]
    """Levels along each factor (positions within the parent for a nested factor)."""
    zero_sum: tuple[bool, ...]
    """Whether the effects sum to zero along each axis."""

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the free coordinates: one less along each zero-sum axis."""
        return tuple(k - z for k, z in zip(self.shape, self.zero_sum, strict=True))

    @property
    def size(self) -> int:
        """Number of free coordinates."""
        return int(np.prod(self.free_shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Slope:
    """A term whose standard deviation follows a covariate z of one of its factors: sd exp(slope z)."""

    term: tuple[str, ...]
    """The term's factors."""
    factor: str
    """The factor whose levels have a covariate."""
    covariate: np.ndarray
    """z of each level, standardised, shape (levels,)."""
    values: np.ndarray
    """The covariate as it was given, shape (levels,)."""

    def by_effect(self, structure: "Structure") -> np.ndarray:
        """Spread the covariate over the term's effects, flat."""
        shape = [structure.sizes[f] for f in self.term]
        place = [1] * len(shape)
        place[self.term.index(self.factor)] = -1
        return np.ascontiguousarray(np.broadcast_to(self.covariate.reshape(place), shape)).ravel()


@dataclass(frozen=True, slots=True)
class Structure:
    """Everything about a model that does not depend on the counts."""

    terms: tuple[tuple[str, ...], ...]
    """Factors of each term, parents before nested factors."""
    nested: dict[str, str]
    """Nested factor to its parent."""
    levels: dict[str, list[str]]
    """Level names of each factor."""
    positions: dict[str, np.ndarray]
    """Position of each level of a nested factor within each parent, or -1, shape (parents, levels)."""
    sizes: dict[str, int]
    """Axis length of each factor: its levels, or the most positions within a parent."""
    components: tuple[Component, ...]
    """The intercept's component first."""
    mixing: np.ndarray
    """Variance of each component per unit variance of each term, shape (components, terms)."""
    slope: Slope | None = None
    """A term kept whole, as the last component, because its standard deviation follows a covariate."""

    @property
    def names(self) -> list[str]:
        """Names of the terms, such as ``persona:model``."""
        return [":".join(term) for term in self.terms]

    def axis_codes(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Turn level codes, shape (n, factors), into axis positions per factor, each of shape (n,)."""
        order = list(self.levels)
        result = {}
        for factor in order:
            column = codes[:, order.index(factor)]
            if factor in self.nested:
                parent = codes[:, order.index(self.nested[factor])]
                column = self.positions[factor][parent, column]
            result[factor] = column
        return result


def build_structure(
    cells: Cells,
    interactions: Sequence[Sequence[str]] = (),
    nested: Mapping[str, str] | None = None,
    slope: Slope | None = None,
) -> Structure:
    """Set up terms and components for a table of cells.

    Parameters
    ----------
    cells : Cells
        The counts; every factor becomes a main term.
    interactions : sequence of sequences of str
        Each a set of two or more factors.
    nested : mapping, optional
        Nested factor to parent; a nested factor's main term becomes ``parent:factor``.
    slope : Slope, optional
        A covariate of one term's standard deviation.

    Returns
    -------
    Structure
        Terms in order: main terms, then interactions.

    Raises
    ------
    InputError
        If an interaction or nesting names an unknown factor.
    """
    factors = cells.factors
    nested = {
        child: parent for child, parent in (nested or {}).items() if child in factors and parent in factors
    }
    for child, parent in nested.items():
        if parent in nested or parent == child:
            raise InputError(
                f"nested: {child!r} in {parent!r} is nested twice or in itself; one depth is supported"
            )
    terms: list[tuple[str, ...]] = [_close((factor,), nested, factors) for factor in factors]
    for interaction in interactions:
        if isinstance(interaction, str) or len(set(interaction)) < 2:
            raise InputError(f"an interaction needs two or more factors, received {list(interaction)!r}")
        for factor in interaction:
            if factor not in factors:
                raise unknown("factor of an interaction", factor, factors)
        term = _close(tuple(interaction), nested, factors)
        if term not in terms:
            terms.append(term)
    positions = {child: _positions(cells, child, parent) for child, parent in nested.items()}
    sizes = {f: int(positions[f].max()) + 1 if f in nested else len(cells.levels[f]) for f in factors}
    shared = [term for term in terms if slope is None or term != slope.term]
    components = _components(shared, nested, sizes, factors)
    mixing = np.array([[_share(c, t, sizes) if t in shared else 0.0 for t in terms] for c in components])
    if slope is not None:
        if slope.term not in terms:
            raise unknown("term with a covariate", ":".join(slope.term), [":".join(term) for term in terms])
        own = Component(slope.term, tuple(sizes[f] for f in slope.term), (False,) * len(slope.term))
        components = (*components, own)
        mixing = np.vstack([mixing, [[float(term == slope.term) for term in terms]]])
    return Structure(tuple(terms), dict(nested), cells.levels, positions, sizes, components, mixing, slope)


def _close(term: tuple[str, ...], nested: Mapping[str, str], factors: list[str]) -> tuple[str, ...]:
    """Add the parents of nested factors, parents before children; else keep the order given."""
    closed: list[str] = []
    for factor in term:
        if factor in nested and nested[factor] not in closed:
            closed.append(nested[factor])
        if factor not in closed:
            closed.append(factor)
    return tuple(closed)


def _positions(cells: Cells, child: str, parent: str) -> np.ndarray:
    """Give each level of a nested factor its number within each parent level, in combinations that occur."""
    order = cells.factors
    pairs = np.unique(cells.codes[:, [order.index(parent), order.index(child)]], axis=0)
    table = np.full((len(cells.levels[parent]), len(cells.levels[child])), -1, dtype=np.int32)
    for code in range(len(cells.levels[parent])):
        inside = pairs[pairs[:, 0] == code, 1]
        table[code, inside] = np.arange(len(inside))
    return table


def _components(
    terms: list[tuple[str, ...]], nested: Mapping[str, str], sizes: Mapping[str, int], factors: list[str]
) -> tuple[Component, ...]:
    """List every subset of a term's factors that holds the parent of each nested factor it holds."""
    subsets = {()} | {
        tuple(sorted(subset, key=factors.index))
        for term in terms
        for size in range(len(term) + 1)
        for subset in combinations(term, size)
        if all(nested[f] in subset for f in subset if f in nested)
    }
    return tuple(
        Component(
            subset,
            tuple(sizes[f] for f in subset),
            tuple(not any(nested.get(other) == f for other in subset) for f in subset),
        )
        for subset in sorted(subsets, key=lambda s: (len(s), [factors.index(f) for f in s]))
    )


def _share(component: Component, term: tuple[str, ...], sizes: Mapping[str, int]) -> float:
    if not set(component.factors) <= set(term):
        return 0.0
    return 1.0 / float(np.prod([sizes[f] for f in term if f not in component.factors], dtype=np.float64))
