"""Log density and gradient where flags err: another likelihood between the halves of `src.inference.density`.

The unconstrained vector holds three blocks, each laid out as there: the model of true refusals, that of
logit Se, and that of logit Sp (`src.inference.detector_error`). A cell costs one exponential and two
logarithms, where the plain likelihood takes one of each; what a person has read is visited apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np

from src.inference.blocks import Block
from src.inference.cells import Cells
from src.inference.density import (
    BLOCK,
    INLINED,
    INTERNAL,
    LEAF,
    SIGNATURE,
    TABLE,
    Problem,
    address_of,
    address_table,
    arguments,
    arrays_at,
    effect_positions,
    effects_of,
    gather,
    pointer_at,
    prior_density,
    scatter,
)
from src.inference.detector_error import RATES, DetectorError
from src.inference.logistic import EXACT, exp_of_negative, log_of_positive


@dataclass(frozen=True, slots=True)
class FlagProblem:
    """Arrays that the compiled density reads; all contiguous."""

    blocks: tuple[Problem, ...]
    """True refusals, sensitivity, specificity."""
    unlabelled: np.ndarray
    """float64 (2, cells): flagged and unflagged responses that nobody has read."""
    read: np.ndarray
    """int64 (cells read,): the cells in which a person has read a response."""
    truths: np.ndarray
    """float64 (cells read, 2): how many of what was read is refused, and answered."""
    group: np.ndarray
    """uint64 (cells,): group of each cell."""
    positions: np.ndarray
    """int64 (groups, components): a group's effects in the vector of effects of a rate."""
    known: np.ndarray
    """float64 (groups, 4): labelled responses by verdict."""

    @property
    def dimension(self) -> int:
        """Length of the unconstrained vector."""
        return sum(block.dimension for block in self.blocks)

    def callback(self) -> tuple[int | None, np.ndarray]:
        """Return the address of the compiled density and the table that it reads."""
        table = np.zeros((len(self.blocks) + 1, TABLE), dtype=np.int64)
        for row, block in zip(table, self.blocks, strict=False):
            row[:] = address_table(block)
        own = (self.unlabelled, self.read, self.truths, self.group, self.positions, self.known)
        table[-1, : len(own)] = [array.ctypes.data for array in own]
        table[-1, len(own) :][:6] = [
            len(self.group),
            len(self.read),
            *self.positions.shape,
            self.blocks[0].dimension,
            self.blocks[1].dimension,
        ]
        return flag_callback.address, table


def build_flag_problem(cells: Cells, error: DetectorError, blocks: Sequence[Block]) -> FlagProblem:
    """Lay out flags and labels for the compiled density.

    Parameters
    ----------
    cells : Cells
        The counts of flags.
    error : DetectorError
        Labelled responses and the model of the detector's rates.
    blocks : sequence of Block
        True refusals, sensitivity, specificity.

    Returns
    -------
    FlagProblem
        Ready for `log_density_of_flags`.
    """
    counts = (cells, *(error.trials_of(rate) for rate in RATES))
    problems = tuple(block.problem(own) for block, own in zip(blocks, counts, strict=True))
    order = problems[0].order
    positions = effect_positions(error.structure, counts[1].codes)[0]
    truths = error.truths()[order]
    read = np.flatnonzero(truths.sum(axis=1))
    return FlagProblem(
        problems,
        np.ascontiguousarray(error.unlabelled(cells)[order].T),
        read,
        truths[read],
        np.ascontiguousarray(error.group[order], dtype=np.uint64),
        np.ascontiguousarray(positions),
        np.ascontiguousarray(error.known),
    )


def flag_arguments(problem: FlagProblem) -> tuple:
    """Return a problem's arrays in the order of `log_density_of_flags`."""
    first, second, _ = (block.dimension for block in problem.blocks)
    return (
        *(arguments(block) for block in problem.blocks),
        problem.unlabelled,
        problem.read,
        problem.truths,
        problem.group,
        problem.positions,
        problem.known,
        (first, first + second),
    )


@nb.njit(**LEAF)
def _likelihood(
    effects, outer, starts, inner, unlabelled, read, truths, group, right, wrong, gradient, by_rate
):
    """Return the log likelihood of flags and truths by cell; add its gradient by effect and by rate.

    `right` holds sensitivity and specificity, `wrong` their complements, shape (2, groups).
    """
    value = 0.0
    log_odds, residual, terms = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    hit, miss, alarm, passed = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    by_hit, by_pass = np.empty(BLOCK), np.empty(BLOCK)
    # A plain 0 would be a type of its own, and its callees compiled for both.
    of_group, next_read = np.int64(0), 0
    for first in range(0, len(group), BLOCK):
        last = min(first + BLOCK, len(group))
        gather(effects, outer, starts, inner, of_group, first, last, log_odds)
        for i in range(last - first):
            k = group[first + i]
            hit[i], miss[i], alarm[i], passed[i] = right[0, k], wrong[0, k], wrong[1, k], right[1, k]
        flagged, other = unlabelled[0, first:last], unlabelled[1, first:last]
        _each_cell(log_odds, flagged, other, hit, miss, alarm, passed, residual, terms, by_hit, by_pass)
        for i in range(last - first):
            value += terms[i]
            by_rate[0, group[first + i]] += by_hit[i]
            by_rate[1, group[first + i]] += by_pass[i]
        while next_read < len(read) and read[next_read] < last:
            i = read[next_read] - first
            refused, both = truths[next_read, 0], truths[next_read, 0] + truths[next_read, 1]
            small = np.exp(-abs(log_odds[i]))
            value += refused * log_odds[i] - both * (max(log_odds[i], 0.0) + np.log1p(small))
            residual[i] += refused - both * (1.0 if log_odds[i] >= 0 else small) / (1.0 + small)
            next_read += 1
        of_group = scatter(residual, outer, starts, inner, of_group, first, last, gradient)
    return value


@nb.njit(**INTERNAL, fastmath=EXACT)
def _each_cell(log_odds, flagged, other, hit, miss, alarm, passed, residual, terms, by_hit, by_pass):
    """Write each cell's log likelihood of flags, and its derivatives by log-odds, Se and Sp.

    No branches, calls or look-ups, so that vector registers can be used (`src.inference.logistic`).
    """
    for i in range(len(flagged)):
        eta = log_odds[i]
        small = exp_of_negative(-abs(eta))
        large = 1.0 / (1.0 + small)
        refuses = large if eta >= 0 else small * large
        answers = small * large if eta >= 0 else large
        flag = hit[i] * refuses + alarm[i] * answers
        none = miss[i] * refuses + passed[i] * answers
        terms[i] = flagged[i] * log_of_positive(flag) + other[i] * log_of_positive(none)
        by_flag = (flagged[i] * none - other[i] * flag) / (flag * none)
        by_hit[i] = by_flag * refuses
        by_pass[i] = -by_flag * answers
        residual[i] = by_flag * (hit[i] - alarm[i]) * refuses * answers


@nb.njit(**INTERNAL)
def _rate(effects, positions, right, wrong):
    """Write a rate and its complement by group."""
    for g in range(len(positions)):
        eta = 0.0
        for a in range(positions.shape[1]):
            eta += effects[positions[g, a]]
        small = exp_of_negative(-abs(eta))
        likely = 1.0 / (1.0 + small)
        right[g] = likely if eta >= 0 else small * likely
        wrong[g] = small * likely if eta >= 0 else likely


@nb.njit(**INTERNAL)
def _labels(right, wrong, successes, failures, by_rate, positions, at_effects):
    """Return the log likelihood of labelled responses; write the gradient by effect."""
    value = 0.0
    for g in range(len(right)):
        if successes[g] > 0:
            value += successes[g] * np.log(right[g])
        if failures[g] > 0:
            value += failures[g] * np.log(wrong[g])
        slope = by_rate[g] * right[g] * wrong[g] + successes[g] * wrong[g] - failures[g] * right[g]
        for a in range(positions.shape[1]):
            at_effects[positions[g, a]] += slope
    return value


@nb.njit(**INTERNAL)
def _block_prior(x, gradient, state, at_effects, arrays):
    sds, variances, scaled, _ = state
    sizes, mixing, _, information, dims, _, _, _, _, _, prior, covariate = arrays
    return prior_density(
        x, gradient, sds, variances, scaled, at_effects, sizes, mixing, information, dims, prior, covariate
    )


@nb.njit(**INTERNAL)
def _block_effects(x, arrays):
    sizes, mixing, constants, information, dims, _, _, _, _, _, _, covariate = arrays
    return effects_of(x, sizes, mixing, constants, information, dims, covariate)


@nb.njit(**INLINED)
def log_density_of_flags(
    x, gradient, refusal, sensitivity, specificity, unlabelled, read, truths, group, positions, known, ends
):
    """Return the log density at `x` and write its gradient.

    Parameters
    ----------
    x, gradient : ndarray
        Shape (dimension,).
    refusal, sensitivity, specificity : tuple of ndarray
        `src.inference.density.arguments` of each block.
    unlabelled, read, truths, group, positions, known : ndarray
        As in `FlagProblem`.
    ends : tuple of int
        Where the first and the second block end in `x`.

    Returns
    -------
    float
        Up to binomial coefficients.
    """
    first, second = ends
    blocks = (slice(0, first), slice(first, second), slice(second, len(x)))
    of_refusal = _block_effects(x[blocks[0]], refusal)
    of_sensitivity = _block_effects(x[blocks[1]], sensitivity)
    of_specificity = _block_effects(x[blocks[2]], specificity)
    groups = len(positions)
    right, wrong, by_rate = np.empty((2, groups)), np.empty((2, groups)), np.zeros((2, groups))
    _rate(of_sensitivity[3], positions, right[0], wrong[0])
    _rate(of_specificity[3], positions, right[1], wrong[1])
    at_refusal = np.zeros(len(of_refusal[3]))
    at_sensitivity, at_specificity = np.zeros(len(of_sensitivity[3])), np.zeros(len(of_specificity[3]))
    _, _, _, _, _, outer, starts, inner, _, _, _, _ = refusal
    value = _likelihood(
        of_refusal[3],
        outer,
        starts,
        inner,
        unlabelled,
        read,
        truths,
        group,
        right,
        wrong,
        at_refusal,
        by_rate,
    )
    value += _labels(right[0], wrong[0], known[:, 0], known[:, 1], by_rate[0], positions, at_sensitivity)
    value += _labels(right[1], wrong[1], known[:, 3], known[:, 2], by_rate[1], positions, at_specificity)
    value += _block_prior(x[blocks[0]], gradient[blocks[0]], of_refusal, at_refusal, refusal)
    value += _block_prior(x[blocks[1]], gradient[blocks[1]], of_sensitivity, at_sensitivity, sensitivity)
    value += _block_prior(x[blocks[2]], gradient[blocks[2]], of_specificity, at_specificity, specificity)
    return value


@nb.cfunc(SIGNATURE, cache=True, error_model="numpy")
def flag_callback(dimension, x_, gradient_, value_, table_):
    """Evaluate `log_density_of_flags` for a sampler in another language; `table_` is from `FlagProblem`."""
    start: int = address_of(table_)  # type: ignore[call-arg]
    row = 8 * TABLE
    own = nb.carray(pointer_at(start + 3 * row), (TABLE,), np.int64)
    cells, reads, groups, components, first = own[6], own[7], own[8], own[9], own[10]
    x = nb.carray(x_, (dimension,))
    gradient = nb.carray(gradient_, (dimension,))
    value = nb.carray(value_, (1,))
    value[0] = log_density_of_flags(
        x,
        gradient,
        arrays_at(start),
        arrays_at(start + row),
        arrays_at(start + 2 * row),
        nb.carray(pointer_at(own[0]), (2, cells), np.float64),
        nb.carray(pointer_at(own[1]), (reads,), np.int64),
        nb.carray(pointer_at(own[2]), (reads, 2), np.float64),
        nb.carray(pointer_at(own[3]), (cells,), np.uint64),
        nb.carray(pointer_at(own[4]), (groups, components), np.int64),
        nb.carray(pointer_at(own[5]), (groups, 4), np.float64),
        (first, first + own[11]),
    )
    total = value[0]
    for i in range(dimension):
        total += abs(gradient[i])
    return 0 if np.isfinite(total) else 1
