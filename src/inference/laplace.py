"""Nested Laplace approximation: effects integrated out at given standard deviations, and the mode of those.

At fixed standard deviations theta = log sigma the effects' posterior is nearly normal, with mode e and
precision H = T'X'WXT + 1/v (X: which effects a cell adds up, T: zero-sum basis, W = n p (1 - p), v: component
variances), so that

    log p(y, theta) = log p(y | e) - sum over components of (|e|^2 / v + d log v) / 2 - log det(H) / 2
                      + log p(theta) + const

(Tierney & Kadane 1986; Rue, Martino & Chopin 2009, section 3). Its gradient by theta is exact.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, sparse

from src.inference.cells import Cells
from src.inference.density import effect_positions
from src.inference.priors import PriorArrays, log_prior_of_sds
from src.inference.recover import component_variances
from src.inference.scales import coordinate, standard_deviations
from src.inference.terms import Structure
from src.inference.zero_sum import expand

_NEWTON_STEPS = 50
_TOLERANCE = 1e-8


@dataclass(frozen=True, slots=True)
class Conditional:
    """The normal approximation of the effects at one value of the standard deviations."""

    mode: np.ndarray
    """Free coordinates of all components, shape (coordinates,), log-odds."""
    information: np.ndarray
    """Observed information of the counts at the mode, T'X'WXT, shape (coordinates, coordinates)."""
    factor: np.ndarray
    """Lower Cholesky factor of the posterior precision, shape (coordinates, coordinates)."""
    log_marginal: float
    """log p(y, theta) up to a constant."""
    gradient: np.ndarray
    """Its gradient by log standard deviations, shape (terms,)."""


@dataclass(frozen=True, slots=True)
class Mode:
    """Where the standard deviations' approximate marginal posterior is highest."""

    coordinates: np.ndarray
    """Coordinates of the standard deviations (`src.inference.scales`), shape (terms,)."""
    conditional: Conditional
    """The effects there."""


class LaplaceModel:
    """The approximation for one table of counts.

    Parameters
    ----------
    cells : Cells
        The counts.
    structure : Structure
        Terms and components.
    prior : PriorArrays
        The prior.
    """

    def __init__(self, cells: Cells, structure: Structure, prior: PriorArrays) -> None:
        self._structure, self._prior = structure, prior
        self._refusals, self._trials = cells.refusals, cells.trials
        positions, offsets = effect_positions(structure, cells.codes)
        rows = np.repeat(np.arange(len(positions)), positions.shape[1])
        shape = (len(positions), int(offsets[-1]))
        self._positions = positions
        self._design = sparse.csr_array((np.ones(positions.size), (rows, positions.ravel())), shape=shape)
        self._basis = sparse.block_diag(
            [_basis(c.free_shape, c.zero_sum) for c in structure.components], "csr"
        )
        self._sizes = np.array([c.size for c in structure.components])
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self._warm = np.zeros(self._starts[-1])

    def conditional(self, log_sds: np.ndarray) -> Conditional:
        """Approximate the effects' posterior at given standard deviations.

        Parameters
        ----------
        log_sds : ndarray
            Shape (terms,).

        Returns
        -------
        Conditional
            Mode, precision and approximate marginal density.
        """
        v = component_variances(np.exp(log_sds)[None], self._structure, self._prior)[0]
        precision = np.repeat(1.0 / v, self._sizes)
        mode, eta = self._newton(precision)
        p = 1.0 / (1.0 + np.exp(-eta))
        information = self._information(self._trials * p * (1 - p))
        factor = linalg.cholesky(information + np.diag(precision), lower=True)
        squares = np.array([np.sum(part**2) for part in self._split(mode)])
        prior_gradient = np.zeros(len(log_sds))
        log_prior = log_prior_of_sds(log_sds, self._prior.kind, self._prior.parameters, prior_gradient)
        log_marginal = (
            self._log_likelihood(eta)
            - 0.5 * np.sum(squares / v + self._sizes * np.log(v))
            - np.log(np.diag(factor)).sum()
            + log_prior
        )
        inverse = linalg.cho_solve((factor, True), np.eye(len(mode)))
        traces = np.array([block.sum() for block in self._split(np.diag(inverse))])
        # How the mode's own movement changes log det(H): through W at every cell.
        spread = self._basis @ inverse @ self._basis.T
        leverage = spread[self._positions[:, :, None], self._positions[:, None, :]].sum(axis=(1, 2))
        slope = -0.5 * leverage * self._trials * p * (1 - p) * (1 - 2 * p)
        shift = inverse @ (self._basis.T @ (self._design.T @ slope))
        moved = np.array([s @ e for s, e in zip(self._split(shift), self._split(mode), strict=True)])
        by_variance = 0.5 * ((squares + traces) / v**2 - self._sizes / v) + moved / v**2
        gradient = by_variance @ self._structure.mixing * 2.0 * np.exp(2.0 * log_sds) + prior_gradient
        return Conditional(mode, information, factor, float(log_marginal), gradient)

    def marginal(self, y: np.ndarray) -> tuple[float, np.ndarray, Conditional]:
        """Approximate the marginal density of the standard deviations' coordinates.

        Parameters
        ----------
        y : ndarray
            Coordinates of `src.inference.scales`, shape (terms,).

        Returns
        -------
        log_density : float
            log p(y, counts) up to a constant.
        gradient : ndarray
            By y, shape (terms,).
        conditional : Conditional
            The effects there.
        """
        sds = standard_deviations(y)
        log_change = sds - 0.5 * y**2
        change = np.exp(log_change - 0.5 * np.log(2 * np.pi))
        at = self.conditional(np.log(sds))
        value = at.log_marginal + float(np.sum(log_change - np.log(sds)))
        return value, (at.gradient - 1.0) * change / sds + change - y, at

    def mode(self) -> Mode:
        """Find the mode of the standard deviations' coordinates.

        Returns
        -------
        Mode
            The highest point of `marginal`.
        """

        def objective(y: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient, _ = self.marginal(y)
            return -value, -gradient

        start = coordinate(np.full(len(self._structure.terms), 0.5))
        found = optimize.minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-5.0, 5.0)] * len(start),
            options={"ftol": 1e-7},
        )
        return Mode(found.x, self.conditional(np.log(standard_deviations(found.x))))

    def expand(self, coordinates: np.ndarray) -> list[np.ndarray]:
        """Turn free coordinates, shape (draws, coordinates), into effects of each component."""
        effects = coordinates @ self._basis.T
        sizes = [int(np.prod(c.shape, dtype=np.int64)) for c in self._structure.components]
        parts = np.split(effects, np.cumsum(sizes)[:-1], axis=1)
        pairs = zip(parts, self._structure.components, strict=True)
        return [part.reshape(len(part), *c.shape) for part, c in pairs]

    def _newton(self, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Climb to the effects' mode, halving steps that overshoot."""
        mode = self._warm
        eta = self._eta(mode)
        value = self._log_likelihood(eta) - 0.5 * precision @ mode**2
        for _ in range(_NEWTON_STEPS):
            p = 1.0 / (1.0 + np.exp(-eta))
            gradient = (
                self._basis.T @ (self._design.T @ (self._refusals - self._trials * p)) - precision * mode
            )
            hessian = self._information(self._trials * p * (1 - p))
            hessian[np.diag_indices_from(hessian)] += precision
            step = linalg.cho_solve(linalg.cho_factor(hessian, lower=True), gradient)
            length = 1.0
            while length > 1e-6:
                trial = mode + length * step
                trial_eta = self._eta(trial)
                trial_value = self._log_likelihood(trial_eta) - 0.5 * precision @ trial**2
                if trial_value >= value - 1e-12 * abs(value):
                    break
                length /= 2
            gain, mode, eta, value = trial_value - value, trial, trial_eta, trial_value
            if gain < _TOLERANCE * (1 + abs(value)) and gradient @ step < 1e-6:
                break
        self._warm = mode
        return mode, eta

    def _eta(self, mode: np.ndarray) -> np.ndarray:
        return self._prior.intercept_mean + self._design @ (self._basis @ mode)

    def _log_likelihood(self, eta: np.ndarray) -> float:
        return float(self._refusals @ eta - self._trials @ np.logaddexp(0.0, eta))

    def _information(self, weights: np.ndarray) -> np.ndarray:
        weighted = sparse.csr_array(
            (np.repeat(weights, self._positions.shape[1]), self._design.indices, self._design.indptr),
            shape=self._design.shape,
        )
        full = (self._design.T @ weighted).toarray()
        return np.asarray(self._basis.T @ (self._basis.T @ full).T)

    def _split(self, coordinates: np.ndarray) -> list[np.ndarray]:
        return np.split(coordinates, self._starts[1:-1])


def _basis(free_shape: tuple[int, ...], zero_sum: tuple[bool, ...]) -> sparse.sparray:
    """Write a component's expansion as a matrix, shape (effects, coordinates)."""
    basis = sparse.csr_array(np.ones((1, 1)))
    for size, constrained in zip(free_shape, zero_sum, strict=True):
        axis = expand(np.eye(size), 1).T if constrained else np.eye(size)
        basis = sparse.kron(basis, sparse.csr_array(axis.reshape(size + constrained, size)), format="csr")
    return sparse.csr_array(basis)


_PROPOSALS = 200
_DEGREES = 7


def draw_nested(
    model: LaplaceModel, structure: Structure, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray], float]:
    """Draw from the nested approximation.

    Standard deviations are proposed from a multivariate t at their mode, weighted by their approximate
    marginal density (Pareto-smoothed; Vehtari et al. 2024) and resampled; effects are normal given each.

    Parameters
    ----------
    model : LaplaceModel
        The approximation.
    structure : Structure
        Its terms and components.
    draws : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    sds : ndarray
        Shape (draws, terms).
    components : list of ndarray
        Zero-sum effects of each component, shape (draws, *component shape).
    pareto_k : float
        Reliability of the weights; above 0.7 they are not.
    """
    from arviz_stats.base import array_stats

    y = model.mode().coordinates
    terms = len(y)
    scale = linalg.cholesky(linalg.inv(_curvature(model, y)), lower=True)
    normal = rng.normal(size=(_PROPOSALS, terms))
    wide = np.sqrt(_DEGREES / rng.chisquare(_DEGREES, size=_PROPOSALS))[:, None]
    proposals = y + (normal * wide) @ scale.T
    log_proposal = -0.5 * (_DEGREES + terms) * np.log1p(((normal * wide) ** 2).sum(axis=1) / _DEGREES)
    found = [model.marginal(point) for point in proposals]
    log_weights, pareto_k = array_stats.psislw(log_proposal - np.array([value for value, _, _ in found]))
    picks = np.sort(rng.choice(_PROPOSALS, size=draws, p=np.exp(log_weights)))
    coordinates = np.empty((draws, len(found[0][2].mode)))
    for which in np.unique(picks):
        rows = np.flatnonzero(picks == which)
        at = found[which][2]
        noise = rng.normal(size=(len(at.mode), len(rows)))
        coordinates[rows] = (at.mode[:, None] + linalg.solve_triangular(at.factor.T, noise)).T
    order = rng.permutation(draws)
    components = model.expand(coordinates[order])
    return standard_deviations(proposals[picks][order]), components, float(pareto_k)


def _curvature(model: LaplaceModel, y: np.ndarray, step: float = 0.05) -> np.ndarray:
    """Measure minus the second derivatives of the log marginal by differences of its exact gradient."""
    offsets = np.eye(len(y)) * step
    rows = np.array([model.marginal(y - o)[1] - model.marginal(y + o)[1] for o in offsets]) / (2 * step)
    curvature = (rows + rows.T) / 2
    values, vectors = linalg.eigh(curvature)
    # At a box's edge the surface may be flat; the coordinate's own prior scale is one.
    return (vectors * np.maximum(values, 0.5)) @ vectors.T
