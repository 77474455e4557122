"""A block of the sampler's vector, one crossed random-effects model: where it starts, its scaling, its draws.

Without an error of the detector there is one block, the model of refusals. With it there are three: true
refusals, sensitivity and specificity (`src.inference.detector_error`).
"""

from dataclasses import dataclass, replace

import numpy as np

from src.inference.cells import Cells
from src.inference.centring import observed_information
from src.inference.density import Problem, build_problem
from src.inference.detector_error import DetectorError
from src.inference.laplace import LaplaceModel
from src.inference.priors import PriorArrays
from src.inference.recover import PlainDraws, component_variances, components_of, recover_effects
from src.inference.scales import coordinate, standard_deviations
from src.inference.terms import Structure
from src.inference.zero_sum import project

FIRST_SD = 0.5
"""Standard deviation, log-odds, at which the spread of a rate starts."""


@dataclass(frozen=True, slots=True)
class Block:
    """How a model is laid out in the unconstrained vector."""

    structure: Structure
    """Terms and components."""
    prior: PriorArrays
    """The prior."""
    information: np.ndarray
    """I and a of each effect's coordinate (`src.inference.centring`), shape (2, coordinates)."""
    start: np.ndarray
    """Where chains start, shape (dimension,)."""

    def problem(self, cells: Cells) -> Problem:
        """Lay out counts for the compiled density."""
        return build_problem(cells, self.structure, self.prior, self.information)

    def plain(self, unconstrained: np.ndarray, rng: np.random.Generator) -> PlainDraws:
        """Recover the plain effects from draws of the block, shape (draws, dimension)."""
        sds, components = components_of(unconstrained, self.structure, self.information, self.prior)
        plain = recover_effects(sds, components, self.structure, self.prior, rng)
        if self.structure.slope is None:
            return plain
        return replace(plain, slope=unconstrained[:, len(self.structure.terms)])


def response_block(cells: Cells, structure: Structure, prior: PriorArrays) -> Block:
    """Lay out the model of the responses, started at the mode of its nested Laplace approximation.

    Parameters
    ----------
    cells : Cells
        The counts; they need not be whole.
    structure : Structure
        Terms.
    prior : PriorArrays
        The prior.

    Returns
    -------
    Block
        Whose effects' mode stands at zero.
    """
    model = LaplaceModel(cells, structure, prior)
    coordinates = model.mode()
    at = model.marginal(coordinates, gradient=False)[2]
    return _block(structure, prior, cells.codes, coordinates, at.weights, model.components(at.mode))


def rate_block(error: DetectorError, rate: str) -> Block:
    """Lay out the model of a rate of the detector, started at its labelled counts, pulled together.

    Parameters
    ----------
    error : DetectorError
        Labelled responses and prior.
    rate : {"sensitivity", "specificity"}
        Which one.

    Returns
    -------
    Block
        Of logit Se or logit Sp.
    """
    structure, prior = error.structure, error.priors[rate]
    at, counts = first_rate(error, rate), error.trials_of(rate)
    log_odds = (np.log(at / (1 - at)) - prior.intercept_mean).reshape(list(structure.sizes.values()))
    parts = []
    for component in structure.components:
        over = tuple(i for i, f in enumerate(structure.levels) if f not in component.factors)
        part = log_odds.mean(axis=over)
        for axis in range(len(component.factors)):
            part = project(part, axis)
        parts.append(part.ravel())
    coordinates = coordinate(np.full(len(structure.terms), FIRST_SD))
    return _block(structure, prior, counts.codes, coordinates, counts.trials * at * (1 - at), parts)


def first_rate(error: DetectorError, rate: str) -> np.ndarray:
    """Guess a rate by group: labelled counts and a few more at the rate of all, shape (groups,)."""
    counts, few = error.trials_of(rate), 4.0
    median = 1 / (1 + np.exp(-error.priors[rate].intercept_mean))
    pooled = (counts.refusals.sum() + few * median) / (counts.trials.sum() + few)
    return (counts.refusals + few * pooled) / (counts.trials + few)


def informative_counts(cells: Cells, error: DetectorError) -> Cells:
    """Find binomial counts that say of true refusals about what flags and labels say.

    At a first guess of p by cell they have the same score and the same Fisher information for logit p: a
    flag that is often wrong counts as less than a response.

    Parameters
    ----------
    cells : Cells
        The counts of flags.
    error : DetectorError
        Labelled responses.

    Returns
    -------
    Cells
        With counts that are not whole; a start for the sampler, no more.
    """
    se, sp = (first_rate(error, rate)[error.group] for rate in ("sensitivity", "specificity"))
    power = np.maximum(se + sp - 1, 0.05)
    rate = (cells.refusals + cells.refusals.sum() / cells.trials.sum()) / (cells.trials + 1)
    p = np.clip((rate - (1 - sp)) / power, 0.01, 0.99)
    flag = se * p + (1 - sp) * (1 - p)
    flagged, other = error.unlabelled(cells).T
    refused, answered = error.truths().T
    score = (flagged / flag - other / (1 - flag)) * power * p * (1 - p) + refused - (refused + answered) * p
    trials = (flagged + other) * power**2 * p * (1 - p) / (flag * (1 - flag)) + refused + answered
    return replace(cells, refusals=np.clip(trials * p + score, 0, trials), trials=trials, error=None)


def _block(
    structure: Structure,
    prior: PriorArrays,
    codes: np.ndarray,
    coordinates: np.ndarray,
    weights: np.ndarray,
    parts: list[np.ndarray],
) -> Block:
    """Scale coordinates by the cells' weights, such that these parts of the components stand at zero."""
    variances = component_variances(standard_deviations(coordinates)[None], structure, prior)[0]
    variance = np.repeat(variances, [component.size for component in structure.components])
    precision = observed_information(structure, codes, weights)
    score = np.concatenate(parts) * (1.0 / variance + precision)
    slope = np.zeros(int(structure.slope is not None))
    start = np.concatenate([coordinates, slope, np.zeros(len(score))])
    return Block(structure, prior, np.stack([precision, score]), start)
