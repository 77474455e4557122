"""Log density and gradient of the model in zero-sum coordinates, compiled once and cached on disk.

The unconstrained vector is: a coordinate of each term's standard deviation (`src.inference.scales`), then
those of each component (`src.inference.terms`), the intercept first. A coordinate x carries the effect

    z = s^2 a + s x,   s = sqrt(v / (1 + I v)),

where s^2 a and s would be its posterior mean and standard deviation if the counts were one normal observation
a / I with precision I. So x is about standard normal at every v: effects are centred where the counts speak
(I v large) and not where they are silent (Betancourt & Girolami 2015), and move with v as they would in the
posterior. With u = x + s a, exactly and for any I and a,

    log p(x | v) = sum of -u^2 / (2 (1 + I v)) - log(1 + I v) / 2 + const.

A term whose standard deviation follows a covariate z, sd exp(b z), is a component of its own with
v exp(2 b z) for v; its slope b stands between standard deviations and components.

The likelihood visits each cell once. Cells that differ only in one factor form a group, so that the effects
of all other components are added once per group.
"""

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from src.inference.cells import Cells
from src.inference.centring import by_coordinate
from src.inference.logistic import FAST, binomial_log_likelihood
from src.inference.priors import PriorArrays, log_prior_of_sds
from src.inference.scales import log_slope, standard_deviation
from src.inference.terms import Structure


@dataclass(frozen=True, slots=True)
class Problem:
    """Arrays that the compiled density reads; all contiguous."""

    sizes: np.ndarray
    """int64: terms, components, effects, groups, outer and inner components, kind of prior, slopes."""
    mixing: np.ndarray
    """float64 (components, terms)."""
    constants: np.ndarray
    """float64: intercept mean, intercept variance."""
    information: np.ndarray
    """float64 (2, effects' coordinates): I and a of each coordinate."""
    dims: np.ndarray
    """int64 (components, 2 + 2 * MAX_AXES): number of axes, first effect, lengths, zero-sum flags."""
    outer: np.ndarray
    """int32 (groups, outer components): positions in the vector of effects."""
    starts: np.ndarray
    """int64 (groups + 1,): first cell of each group."""
    inner: np.ndarray
    """int32 (cells, inner components): positions in the vector of effects."""
    refusals: np.ndarray
    """float64 (cells,)."""
    trials: np.ndarray
    """float64 (cells,)."""
    prior: np.ndarray
    """float64 (parameters of the prior,)."""
    covariate: np.ndarray
    """float64 (effects of the last component,): z of each, or empty if no term follows a covariate."""
    order: np.ndarray
    """int64 (cells,): the table's cell behind each row here."""

    @property
    def dimension(self) -> int:
        """Length of the unconstrained vector."""
        free = self.dims[:, 2 : 2 + MAX_AXES] - self.dims[:, 2 + MAX_AXES :]
        used = np.arange(MAX_AXES) < self.dims[:, :1]
        return int(self.sizes[0] + self.sizes[7] + np.where(used, free, 1).prod(axis=1).sum())

    def callback(self) -> tuple[int | None, np.ndarray]:
        """Return the address of the compiled density and the table that it reads."""
        return density_callback.address, address_table(self)


MAX_AXES = 6
"""Most factors that one term may have."""
TABLE = 32
"""Length of a table of addresses."""
BLOCK = 1024
"""Cells whose log-odds are worked on together: they stay in the processor's nearest cache."""
INLINED: dict[str, Any] = {"inline": "always", "error_model": "numpy"}
"""Of a function compiled as part of its callers: one compiled by itself is optimised once more in each."""
INTERNAL: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Of a function that only compiled code calls."""
LEAF: dict[str, Any] = {**INTERNAL, "fastmath": FAST}
"""Of one that may reorder its sums, too."""


def build_problem(cells: Cells, structure: Structure, prior: PriorArrays, information: np.ndarray) -> Problem:
    """Lay out counts and structure for the compiled density.

    Parameters
    ----------
    cells : Cells
        The counts.
    structure : Structure
        Terms and components.
    prior : PriorArrays
        Prior of the intercept and of the standard deviations.
    information : ndarray
        I and a of each effect's coordinate, shape (2, coordinates), or I of each component, shape
        (components,); I at least zero. Any values give the same posterior.

    Returns
    -------
    Problem
        Ready for `log_density`.
    """
    components = structure.components
    flat, offsets = effect_positions(structure, cells.codes)
    dims = np.zeros((len(components), 2 + 2 * MAX_AXES), dtype=np.int64)
    for row, component, offset in zip(dims, components, offsets, strict=False):
        n = len(component.shape)
        row[0], row[1] = n, offset
        row[2 : 2 + n] = component.shape
        row[2 + MAX_AXES : 2 + MAX_AXES + n] = component.zero_sum
    inner_columns = _inner_columns(structure, flat)
    outer_columns = [i for i in range(len(components)) if i not in inner_columns]
    keys, group = np.unique(flat[:, outer_columns], axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group.ravel(), minlength=len(keys)))])
    return Problem(
        sizes=np.array(
            [
                len(structure.terms),
                len(components),
                offsets[-1],
                len(keys),
                len(outer_columns),
                len(inner_columns),
                prior.kind,
                structure.slope is not None,
            ],
            dtype=np.int64,
        ),
        mixing=np.ascontiguousarray(structure.mixing),
        constants=np.array([prior.intercept_mean, prior.intercept_sd**2]),
        information=by_coordinate(structure, information),
        dims=dims,
        outer=np.ascontiguousarray(keys, dtype=np.int32),
        starts=starts.astype(np.int64),
        inner=np.ascontiguousarray(flat[np.ix_(order, inner_columns)], dtype=np.int32),
        refusals=np.ascontiguousarray(cells.refusals[order]),
        trials=np.ascontiguousarray(cells.trials[order]),
        prior=np.ascontiguousarray(prior.parameters, dtype=np.float64),
        covariate=np.zeros(0) if structure.slope is None else structure.slope.by_effect(structure),
        order=order,
    )


def effect_positions(structure: Structure, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Locate each cell's effects in the concatenated effects of all components.

    Parameters
    ----------
    structure : Structure
        Terms and components.
    codes : ndarray
        Level codes, shape (n, factors).

    Returns
    -------
    positions : ndarray
        Shape (n, components), int64.
    offsets : ndarray
        First position of each component, then the total, shape (components + 1,).
    """
    axis = structure.axis_codes(codes)
    lengths = [int(np.prod(c.shape, dtype=np.int64)) for c in structure.components]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    positions = np.empty((len(codes), len(lengths)), dtype=np.int64)
    for column, component in enumerate(structure.components):
        index = np.zeros(len(codes), dtype=np.int64)
        for factor, size in zip(component.factors, component.shape, strict=True):
            index = index * size + axis[factor]
        positions[:, column] = index + offsets[column]
    return positions, offsets


def _inner_columns(structure: Structure, flat: np.ndarray) -> list[int]:
    """Choose the factor whose components are visited per cell, so that the fewest effects are added."""
    best: tuple[float, list[int]] = (float("inf"), [])
    for factor in structure.levels:
        inner = [i for i, c in enumerate(structure.components) if factor in c.factors]
        outer = [i for i in range(flat.shape[1]) if i not in inner]
        groups = len(np.unique(flat[:, outer], axis=0))
        cost = groups * len(outer) + len(flat) * len(inner)
        best = min(best, (cost, inner))
    return best[1]


@intrinsic
def pointer_at(typingctx, address):
    """Turn an address into a pointer."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(address), codegen


@intrinsic
def address_of(typingctx, pointer):
    """Turn a pointer into an address."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], cgutils.intp_t)

    return types.int64(pointer), codegen


@nb.njit(**LEAF)
def _expand(source, dims, target):
    """Write a component's zero-sum effects; `source` holds its free coordinates."""
    n = dims[0]
    total = 1
    for a in range(n):
        total *= dims[2 + a]
    work = np.empty(total)
    other = np.empty(total)
    length = 1
    for a in range(n):
        length *= dims[2 + a] - dims[2 + MAX_AXES + a]
    for i in range(length):
        work[i] = source[i]
    before = 1
    for a in range(n):
        k = dims[2 + a]
        after = 1
        for b in range(a + 1, n):
            after *= dims[2 + b] - dims[2 + MAX_AXES + b]
        if dims[2 + MAX_AXES + a] == 1:
            for o in range(before):
                for i in range(after):
                    running = 0.0
                    for j in range(k - 1, 0, -1):
                        scaled = work[(o * (k - 1) + j - 1) * after + i] / np.sqrt(j * (j + 1.0))
                        other[(o * k + j) * after + i] = running - j * scaled
                        running += scaled
                    other[o * k * after + i] = running
            work, other = other, work
        before *= k
    for i in range(total):
        target[i] = work[i]


@nb.njit(**LEAF)
def _project(source, dims, target):
    """Write the transpose of `_expand`, for gradients."""
    n = dims[0]
    total = 1
    for a in range(n):
        total *= dims[2 + a]
    work = np.empty(total)
    other = np.empty(total)
    for i in range(total):
        work[i] = source[i]
    before = total
    after = 1
    for a in range(n - 1, -1, -1):
        k = dims[2 + a]
        before //= k
        if dims[2 + MAX_AXES + a] == 1:
            for o in range(before):
                for i in range(after):
                    running = work[o * k * after + i]
                    for j in range(1, k):
                        value = work[(o * k + j) * after + i]
                        other[(o * (k - 1) + j - 1) * after + i] = (running - j * value) / np.sqrt(
                            j * (j + 1.0)
                        )
                        running += value
            work, other = other, work
            after *= k - 1
        else:
            after *= k
    for i in range(before * after):
        target[i] = work[i]


@nb.njit(**LEAF)
def _likelihood(effects, outer, starts, inner, refusals, trials, gradient):
    """Return the log likelihood up to binomial coefficients; add its gradient by effect."""
    value = 0.0
    log_odds, residual, terms = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    # A plain 0 would be a type of its own, and its callees compiled for both.
    group = np.int64(0)
    for first in range(0, len(refusals), BLOCK):
        last = min(first + BLOCK, len(refusals))
        gather(effects, outer, starts, inner, group, first, last, log_odds)
        value += binomial_log_likelihood(log_odds, refusals[first:last], trials[first:last], residual, terms)
        group = scatter(residual, outer, starts, inner, group, first, last, gradient)
    return value


@nb.njit(**LEAF)
def gather(effects, outer, starts, inner, group, first, last, log_odds):
    """Add up the effects of the cells from `first` to `last`; `group` is that of the first."""
    cell = first
    while cell < last:
        base = 0.0
        for a in range(outer.shape[1]):
            base += effects[outer[group, a]]
        end = min(starts[group + 1], last)
        for i in range(cell, end):
            eta = base
            for a in range(inner.shape[1]):
                eta += effects[inner[i, a]]
            log_odds[i - first] = eta
        cell = end
        group += 1


@nb.njit(**LEAF)
def scatter(residual, outer, starts, inner, group, first, last, gradient):
    """Add each cell's residual to the gradient of its effects; return the group of the cell `last`."""
    cell = first
    while cell < last:
        total = 0.0
        end = min(starts[group + 1], last)
        for i in range(cell, end):
            total += residual[i - first]
            for a in range(inner.shape[1]):
                gradient[inner[i, a]] += residual[i - first]
        for a in range(outer.shape[1]):
            gradient[outer[group, a]] += total
        cell = end
        group += end == starts[group + 1]
    return group


@nb.njit(**INLINED)
def log_density(
    x,
    gradient,
    sizes,
    mixing,
    constants,
    information,
    dims,
    outer,
    starts,
    inner,
    refusals,
    trials,
    prior,
    covariate,
):
    """Return the log density at `x` and write its gradient; arguments as in `Problem`."""
    sds, variances, scaled, effects = effects_of(x, sizes, mixing, constants, information, dims, covariate)
    at_effects = np.zeros(sizes[2])
    value = _likelihood(effects, outer, starts, inner, refusals, trials, at_effects)
    return value + prior_density(
        x,
        gradient,
        sds,
        variances,
        scaled,
        at_effects,
        sizes,
        mixing,
        information,
        dims,
        prior,
        covariate,
    )


@nb.njit(**INLINED)
def effects_of(x, sizes, mixing, constants, information, dims, covariate):
    """Return standard deviations, each component's variance, scaled coordinates, and all effects."""
    terms, components = sizes[0], sizes[1]
    sds = np.empty(terms)
    for t in range(terms):
        sds[t] = standard_deviation(x[t])
    effects = np.empty(sizes[2])
    component_variance = np.empty(components)
    scaled = x.copy()
    slopes = sizes[7]
    before = terms + slopes
    start = before
    for c in range(components - slopes):
        v = constants[1] if c == 0 else 0.0
        for t in range(terms):
            v += mixing[c, t] * sds[t] * sds[t]
        component_variance[c] = v
        size = 1
        for a in range(dims[c, 0]):
            size *= dims[c, 2 + a] - dims[c, 2 + MAX_AXES + a]
        for i in range(start, start + size):
            w = v / (1.0 + information[0, i - before] * v)
            scaled[i] = np.sqrt(w) * x[i] + w * information[1, i - before]
        _expand(scaled[start : start + size], dims[c], effects[dims[c, 1] :])
        start += size
    if slopes:
        v = 0.0
        for t in range(terms):
            v += mixing[components - 1, t] * sds[t] * sds[t]
        component_variance[components - 1] = v
        target = effects[dims[components - 1, 1] :]
        for i in range(len(covariate)):
            own = v * np.exp(2.0 * x[terms] * covariate[i])
            w = own / (1.0 + information[0, start + i - before] * own)
            target[i] = np.sqrt(w) * x[start + i] + w * information[1, start + i - before]
    effects[0] += constants[0]
    return sds, component_variance, scaled, effects


@nb.njit(**INLINED)
def prior_density(
    x,
    gradient,
    sds,
    component_variance,
    scaled,
    at_effects,
    sizes,
    mixing,
    information,
    dims,
    prior,
    covariate,
):
    """Return the log prior of `x`, and write the gradient; `at_effects` holds the likelihood's by effect.

    `sds`, `component_variance` and `scaled` are from `effects_of`.
    """
    terms, components, slopes = sizes[0], sizes[1], sizes[7]
    log_sds = np.empty(terms)
    for t in range(terms):
        log_sds[t] = np.log(sds[t])
    value = log_prior_of_sds(log_sds, sizes[6], prior, gradient[:terms])
    before = terms + slopes
    start = before
    for c in range(components - slopes):
        v = component_variance[c]
        size = 1
        for a in range(dims[c, 0]):
            size *= dims[c, 2 + a] - dims[c, 2 + MAX_AXES + a]
        free = gradient[start : start + size]
        _project(at_effects[dims[c, 1] :], dims[c], free)
        by_log_variance = 0.0
        for i in range(size):
            at = start + i - before
            added, free[i], moved = _coordinate(
                x[start + i], v, information[0, at], information[1, at], free[i]
            )
            value += added
            by_log_variance += moved
        for t in range(terms):
            gradient[t] += by_log_variance / v * mixing[c, t] * 2.0 * sds[t] * sds[t]
        start += size
    if slopes:
        value -= 0.5 * x[terms] ** 2
        by_slope = -x[terms]
        by_log_sd = 0.0
        for i in range(len(covariate)):
            own = component_variance[components - 1] * np.exp(2.0 * x[terms] * covariate[i])
            at = start + i - before
            added, gradient[start + i], moved = _coordinate(
                x[start + i],
                own,
                information[0, at],
                information[1, at],
                at_effects[dims[components - 1, 1] + i],
            )
            value += added
            by_log_sd += 2.0 * moved
            by_slope += 2.0 * covariate[i] * moved
        gradient[terms] = by_slope
        for t in range(terms):
            gradient[t] += by_log_sd * mixing[components - 1, t]
    for t in range(terms):
        log_change = log_slope(x[t], sds[t])
        change = np.exp(log_change)
        value += log_change - log_sds[t]
        gradient[t] = (gradient[t] - 1.0) * change / sds[t] + change - x[t]
    return value


@nb.njit(**INLINED)
def _coordinate(x, v, information, a, by_effect):
    """Return a coordinate's log density, the derivative by x, and that by log v.

    `by_effect` is the log likelihood's derivative by the effect z.
    """
    widening = 1.0 + information * v
    s = np.sqrt(v / widening)
    u = x + s * a
    square = u * u / widening
    by_x = s * by_effect - u / widening
    pull = s * by_effect * u + information * v * (square - 1.0) + by_x * s * a
    return -0.5 * (square + np.log(widening)), by_x, 0.5 * pull / widening


def arguments(problem: Problem) -> tuple[np.ndarray, ...]:
    """Return a problem's arrays in the order of `log_density`."""
    names = (
        "sizes", "mixing", "constants", "information", "dims", "outer", "starts", "inner", "refusals",
        "trials", "prior", "covariate",
    )  # fmt: skip
    return tuple(getattr(problem, name) for name in names)


SIGNATURE = types.int64(
    types.uint64,
    types.CPointer(types.double),
    types.CPointer(types.double),
    types.CPointer(types.double),
    types.voidptr,
)


@nb.njit(**INTERNAL)
def arrays_at(address):
    """Return a problem's arrays in the order of `log_density`; `address` is that of its `address_table`."""
    table = nb.carray(pointer_at(address), (TABLE,), np.int64)  # type: ignore[call-arg]
    sizes = nb.carray(pointer_at(table[0]), (8,), np.int64)
    terms, components, groups, n_outer, n_inner = sizes[0], sizes[1], sizes[3], sizes[4], sizes[5]
    cells = table[12]
    return (
        sizes,
        nb.carray(pointer_at(table[1]), (components, terms), np.float64),
        nb.carray(pointer_at(table[2]), (2,), np.float64),
        nb.carray(pointer_at(table[3]), (2, table[15]), np.float64),
        nb.carray(pointer_at(table[4]), (components, 2 + 2 * MAX_AXES), np.int64),
        nb.carray(pointer_at(table[5]), (groups, n_outer), np.int32),
        nb.carray(pointer_at(table[6]), (groups + 1,), np.int64),
        nb.carray(pointer_at(table[7]), (cells, n_inner), np.int32),
        nb.carray(pointer_at(table[8]), (cells,), np.float64),
        nb.carray(pointer_at(table[9]), (cells,), np.float64),
        nb.carray(pointer_at(table[10]), (table[13],), np.float64),
        nb.carray(pointer_at(table[11]), (table[14],), np.float64),
    )


@nb.cfunc(SIGNATURE, cache=True, error_model="numpy")
def density_callback(dimension, x_, gradient_, value_, table_):
    """Evaluate `log_density` for a sampler in another language; `table_` is from `address_table`."""
    gradient = nb.carray(gradient_, (dimension,))
    value = nb.carray(value_, (1,))
    address: int = address_of(table_)  # type: ignore[call-arg]
    (
        sizes, mixing, constants, information, dims, outer, starts, inner, refusals, trials, prior, covariate,
    ) = arrays_at(address)  # fmt: skip
    value[0] = log_density(
        nb.carray(x_, (dimension,)), gradient, sizes, mixing, constants, information, dims, outer, starts,
        inner, refusals, trials, prior, covariate,
    )  # fmt: skip
    total = value[0]
    for i in range(dimension):
        total += abs(gradient[i])
    return 0 if np.isfinite(total) else 1


def address_table(problem: Problem) -> np.ndarray:
    """List the addresses of a problem's arrays for `density_callback`; `problem` must outlive their use."""
    arrays = arguments(problem)
    table = np.zeros(TABLE, dtype=np.int64)
    for i, array in enumerate(arrays):
        table[i] = array.ctypes.data
    table[len(arrays)] = len(problem.refusals)
    table[len(arrays) + 1] = len(problem.prior)
    table[len(arrays) + 2] = len(problem.covariate)
    table[len(arrays) + 3] = problem.information.shape[1]
    return table


@nb.cfunc(
    types.int64(
        types.uint64, types.uint64, types.CPointer(types.double), types.CPointer(types.double), types.voidptr
    ),
    cache=True,
)
def copy_callback(dimension, expanded, x_, out_, table_):
    """Hand the unconstrained vector back as it is."""
    for i in range(dimension):
        out_[i] = x_[i]
    return 0
