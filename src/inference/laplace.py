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
from src.inference.terms import Structure
from src.inference.zero_sum import expand

_BOUNDS = (-5.0, 2.5)
"""Range of log standard deviations that is searched; below e^-5 a term is as good as absent."""
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

    log_sds: np.ndarray
    """Shape (terms,)."""
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
        self._basis = sparse.block_diag([_basis(c.free_shape, c.zero_sum) for c in structure.components], "csr")
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

    def mode(self, start: np.ndarray | None = None) -> Mode:
        """Find the mode of the standard deviations.

        Parameters
        ----------
        start : ndarray, optional
            First guess of the log standard deviations, shape (terms,).

        Returns
        -------
        Mode
            The mode within a wide box.
        """
        terms = len(self._structure.terms)
        if start is None:
            start = np.full(terms, np.log(0.5))

        def objective(log_sds: np.ndarray) -> tuple[float, np.ndarray]:
            at = self.conditional(log_sds)
            return -at.log_marginal, -at.gradient

        found = optimize.minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=[_BOUNDS] * terms, options={"ftol": 1e-7}
        )
        return Mode(found.x, self.conditional(found.x))

    def _newton(self, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Climb to the effects' mode, halving steps that overshoot."""
        mode = self._warm
        eta = self._eta(mode)
        value = self._log_likelihood(eta) - 0.5 * precision @ mode**2
        for _ in range(_NEWTON_STEPS):
            p = 1.0 / (1.0 + np.exp(-eta))
            gradient = self._basis.T @ (self._design.T @ (self._refusals - self._trials * p)) - precision * mode
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
