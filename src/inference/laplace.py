"""Nested Laplace approximation: effects integrated out at given standard deviations, and the mode of those.

At fixed standard deviations the posterior of the intercept and of all plain effects u is nearly normal, with
mode u and precision H = X'WX + D (X: which effects a cell adds up; W = n p (1 - p); D: prior precisions), so

    log p(y, sigma) = log p(y | u) + log p(u | sigma) - log det(H) / 2 + log p(sigma) + const

(Tierney & Kadane 1986; Rue, Martino & Chopin 2009, section 3). Its gradient is exact: it includes how the
mode, and through it W, moves with the standard deviations.
"""

from dataclasses import dataclass

import numba as nb
import numpy as np
from scipy import linalg, optimize, sparse

from src.inference.cells import Cells
from src.inference.priors import PriorArrays, log_prior_of_sds
from src.inference.recover import PlainDraws
from src.inference.scales import coordinate, standard_deviations
from src.inference.terms import Structure
from src.inference.zero_sum import project

NEWTON_STEPS = 50
TOLERANCE = 1e-13
PROPOSALS = 200
"""Points at which the standard deviations' marginal density is evaluated for draws."""
DEGREES = 7
"""Of the multivariate t that proposes them."""


@dataclass(frozen=True, slots=True)
class Conditional:
    """The normal approximation of the effects at one value of the standard deviations."""

    mode: np.ndarray
    """Intercept, then the effects of each term, log-odds, shape (effects,)."""
    factor: np.ndarray
    """Lower Cholesky factor of the posterior precision, shape (effects, effects)."""
    weights: np.ndarray
    """n p (1 - p) of each cell at the mode, shape (cells,)."""
    eta: np.ndarray
    """Log-odds of each cell at the mode, shape (cells,)."""


class LaplaceModel:
    """The approximation for one table of counts.

    Parameters
    ----------
    cells : Cells
        The counts.
    structure : Structure
        Terms.
    prior : PriorArrays
        The prior.
    """

    def __init__(self, cells: Cells, structure: Structure, prior: PriorArrays) -> None:
        self._structure, self._prior = structure, prior
        self._refusals, self._trials = cells.refusals, cells.trials
        axis = structure.axis_codes(cells.codes)
        self.shapes = [tuple(structure.sizes[f] for f in term) for term in structure.terms]
        self._lengths = np.array([int(np.prod(shape, dtype=np.int64)) for shape in self.shapes])
        starts = 1 + np.concatenate([[0], np.cumsum(self._lengths)])
        columns = [np.zeros(len(cells.codes), dtype=np.int64)]
        for term, shape, start in zip(structure.terms, self.shapes, starts, strict=False):
            columns.append(start + np.ravel_multi_index([axis[f] for f in term], shape))
        self._columns = np.stack(columns, axis=1)
        rows = np.arange(0, self._columns.size + 1, self._columns.shape[1])
        shape = (len(rows) - 1, int(starts[-1]))
        self._design = sparse.csr_array(
            (np.ones(self._columns.size), self._columns.ravel(), rows), shape=shape
        )
        self._transposed = self._design.T.tocsr()
        self._warm = np.zeros(shape[1])

    def marginal(self, y: np.ndarray, gradient: bool = True) -> tuple[float, np.ndarray, Conditional]:
        """Approximate the marginal density of the standard deviations' coordinates.

        Parameters
        ----------
        y : ndarray
            Coordinates of `src.inference.scales`, shape (terms,).
        gradient : bool
            Whether the gradient is wanted; it is the dearer half.

        Returns
        -------
        log_density : float
            log p(y, counts) up to a constant.
        gradient : ndarray
            By y, shape (terms,); empty if not wanted.
        conditional : Conditional
            The effects there.
        """
        sds = standard_deviations(y)
        precision = np.concatenate([[self._prior.intercept_sd**-2], np.repeat(sds**-2.0, self._lengths)])
        at = self._conditional(precision)
        prior_gradient = np.zeros(len(y))
        log_prior = log_prior_of_sds(np.log(sds), self._prior.kind, self._prior.parameters, prior_gradient)
        log_change = sds - 0.5 * y**2
        value = (
            self._log_likelihood(at.eta)
            - 0.5 * precision @ at.mode**2
            - self._lengths @ np.log(sds)
            - np.log(np.diag(at.factor)).sum()
            + log_prior
            + np.sum(log_change - np.log(sds))
        )
        if not gradient:
            return float(value), np.empty(0), at
        inverse = linalg.cho_solve((at.factor, True), np.eye(len(at.mode)))
        # How the mode's own movement changes log det(H), through W at every cell.
        leverage = inverse[self._columns[:, :, None], self._columns[:, None, :]].sum(axis=(1, 2))
        slope = -0.5 * leverage * at.weights * -np.tanh(0.5 * at.eta)
        shift = inverse @ (self._transposed @ slope)
        pieces = at.mode**2 + np.diag(inverse) + 2.0 * shift * at.mode
        by_log_sd = np.array([part.sum() for part in self.split(pieces)]) / sds**2 - self._lengths
        change = np.exp(log_change - 0.5 * np.log(2 * np.pi))
        return float(value), (by_log_sd + prior_gradient - 1.0) * change / sds + change - y, at

    def mode(self) -> np.ndarray:
        """Find the coordinates of the standard deviations at which `marginal` is highest, shape (terms,)."""

        def objective(y: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient, _ = self.marginal(y)
            return -value, -gradient

        start = coordinate(np.full(len(self._lengths), 0.5))
        bounds = [(-4.0, 4.0)] * len(start)
        found = optimize.minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-7, "maxiter": 30},
        )
        return found.x

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Cut what stands along the last axis into terms, the intercept left out."""
        return np.split(values[..., 1:], np.cumsum(self._lengths)[:-1], axis=-1)

    def components(self, mode: np.ndarray) -> list[np.ndarray]:
        """Gather plain effects into free coordinates of the zero-sum components.

        Parameters
        ----------
        mode : ndarray
            Intercept and effects, shape (effects,).

        Returns
        -------
        list of ndarray
            Of each component of the structure, flat.
        """
        effects = [part.reshape(shape) for part, shape in zip(self.split(mode), self.shapes, strict=True)]
        gathered = []
        for component, mixing in zip(self._structure.components, self._structure.mixing, strict=True):
            total = np.zeros(component.shape)
            for term, effect, share in zip(self._structure.terms, effects, mixing, strict=True):
                if share == 0:
                    continue
                over = tuple(i for i, f in enumerate(term) if f not in component.factors)
                kept = [f for f in term if f in component.factors]
                mean = effect.mean(axis=over) if over else effect
                total = total + mean.transpose([kept.index(f) for f in component.factors])
            for place, constrained in enumerate(component.zero_sum):
                if constrained:
                    total = project(total, place)
            gathered.append(total.ravel())
        gathered[0] = gathered[0] + mode[0]
        return gathered

    def _conditional(self, precision: np.ndarray) -> Conditional:
        """Climb to the effects' mode by Newton's steps, halved where they overshoot."""
        mode = self._warm
        eta = self._eta(mode)
        value = self._log_likelihood(eta) - 0.5 * precision @ mode**2
        for _ in range(NEWTON_STEPS):
            p = 1.0 / (1.0 + np.exp(-eta))
            weights = self._trials * p * (1 - p)
            factor = linalg.cholesky(self._hessian(weights, precision), lower=True, overwrite_a=True)
            gradient = self._transposed @ (self._refusals - self._trials * p) - precision * mode
            step = linalg.cho_solve((factor, True), gradient)
            if gradient @ step < TOLERANCE * (1.0 + abs(value)):
                break
            length = 1.0
            while length > 1e-6:
                trial = mode + length * step
                trial_eta = self._eta(trial)
                trial_value = self._log_likelihood(trial_eta) - 0.5 * precision @ trial**2
                if trial_value >= value - 1e-12 * (1.0 + abs(value)):
                    break
                length /= 2
            mode, eta, value = trial, trial_eta, trial_value
        self._warm = mode
        return Conditional(mode, factor, weights, eta)

    def _hessian(self, weights: np.ndarray, precision: np.ndarray) -> np.ndarray:
        hessian = np.diag(precision)
        _add_information(self._columns, weights, hessian)
        return hessian

    def _eta(self, mode: np.ndarray) -> np.ndarray:
        return self._prior.intercept_mean + self._design @ mode

    def _log_likelihood(self, eta: np.ndarray) -> float:
        return float(self._refusals @ eta - self._trials @ np.logaddexp(0.0, eta))


def draw_nested(
    model: LaplaceModel, prior: PriorArrays, draws: int, rng: np.random.Generator
) -> tuple[PlainDraws, float]:
    """Draw from the nested approximation.

    Standard deviations are proposed from a multivariate t at their mode, weighted by their approximate
    marginal density (Pareto-smoothed; Vehtari et al. 2024) and resampled; effects are normal given each.

    Parameters
    ----------
    model : LaplaceModel
        The approximation.
    prior : PriorArrays
        Holds the intercept's prior mean.
    draws : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    plain : PlainDraws
        Intercept, standard deviations and effects.
    pareto_k : float
        Reliability of the weights; above 0.7 they are not.
    """
    from arviz_stats.base import array_stats

    y = model.mode()
    terms = len(y)
    scale = linalg.cholesky(linalg.inv(_curvature(model, y)), lower=True)
    normal = rng.normal(size=(PROPOSALS, terms))
    wide = np.sqrt(DEGREES / rng.chisquare(DEGREES, size=PROPOSALS))[:, None]
    proposals = y + (normal * wide) @ scale.T
    log_proposal = -0.5 * (DEGREES + terms) * np.log1p(((normal * wide) ** 2).sum(axis=1) / DEGREES)
    values = np.array([model.marginal(point, gradient=False)[0] for point in proposals])
    log_weights, pareto_k = array_stats.psislw(log_proposal - values)
    picks = rng.choice(PROPOSALS, size=draws, p=np.exp(log_weights))
    effects = np.empty((draws, 1 + sum(int(np.prod(shape)) for shape in model.shapes)))
    for which in np.unique(picks):
        rows = np.flatnonzero(picks == which)
        at = model.marginal(proposals[which], gradient=False)[2]
        noise = rng.normal(size=(len(at.mode), len(rows)))
        effects[rows] = (at.mode[:, None] + linalg.solve_triangular(at.factor.T, noise)).T
    parts = [
        part.reshape(draws, *shape) for part, shape in zip(model.split(effects), model.shapes, strict=True)
    ]
    sds = standard_deviations(proposals[picks])
    return PlainDraws(prior.intercept_mean + effects[:, 0], sds, parts), float(pareto_k)


@nb.njit(cache=True, error_model="numpy")
def _add_information(columns, weights, hessian):
    """Add X'WX to the lower triangle: every cell adds its weight where two of its effects meet."""
    for cell in range(len(columns)):
        for a in range(columns.shape[1]):
            for b in range(a + 1):
                hessian[columns[cell, a], columns[cell, b]] += weights[cell]


def _curvature(model: LaplaceModel, y: np.ndarray, step: float = 0.05) -> np.ndarray:
    """Measure minus the second derivatives of the log marginal by differences of its exact gradient."""
    offsets = np.eye(len(y)) * step
    rows = np.array([model.marginal(y - o)[1] - model.marginal(y + o)[1] for o in offsets]) / (2 * step)
    values, vectors = linalg.eigh((rows + rows.T) / 2)
    # Where the surface is flat, at the edge of what is searched, the coordinate's own scale of one stands in.
    return (vectors * np.maximum(values, 0.5)) @ vectors.T
