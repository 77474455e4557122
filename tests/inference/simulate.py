"""Draws tables of counts from the plain crossed random-effects model with known effects."""

from dataclasses import dataclass, replace

import numpy as np

from src.inference.cells import Cells
from src.inference.detector_error import DetectorError, build_error, read_error

FACTORS = ("persona", "model", "task", "paraphrase")
SDS = {
    "persona": 0.35,
    "model": 1.4,
    "task": 0.9,
    "task:paraphrase": 0.5,
    "persona:model": 0.3,
    "model:task": 0.6,
}
"""Standard deviations of the paper-scale benchmark, log-odds."""
INTERACTIONS = [["persona", "model"], ["model", "task"]]
NESTED = {"paraphrase": "task"}


@dataclass(frozen=True, slots=True)
class Simulated:
    """A table and the truth behind it."""

    cells: Cells
    intercept: float
    effects: dict[str, np.ndarray]


def simulate(
    responses: int,
    shape: tuple[int, int, int, int] = (16, 16, 3, 9),
    sds: dict[str, float] | None = None,
    intercept: float = -2.5,
    seed: int = 1,
) -> Simulated:
    """Spread responses at random over the grid of persona, model, task and nested paraphrase."""
    rng = np.random.default_rng(seed)
    sds = SDS if sds is None else sds
    sizes = dict(zip(FACTORS, shape, strict=True))
    effects, log_odds = {}, np.full(shape, intercept)
    for name, sd in sds.items():
        inside = name.split(":")
        effects[name] = sd * rng.normal(size=[sizes[f] for f in inside])
        log_odds = log_odds + effects[name].reshape([sizes[f] if f in inside else 1 for f in FACTORS])
    trials = rng.multinomial(responses, np.full(log_odds.size, 1 / log_odds.size)).reshape(shape)
    refusals = rng.binomial(trials, 1 / (1 + np.exp(-log_odds)))
    return Simulated(counts(trials, refusals), intercept, effects)


def counts(trials: np.ndarray, refusals: np.ndarray, factors: tuple[str, ...] = FACTORS) -> Cells:
    """Turn arrays over the grid into a table of its cells that were asked."""
    asked = trials.ravel() > 0
    codes = np.stack([axis.ravel() for axis in np.indices(trials.shape)], axis=1)[asked].astype(np.int32)
    levels = {f: [f"{f}{k:04d}" for k in range(n)] for f, n in zip(factors, trials.shape, strict=True)}
    return Cells(levels, codes, refusals.ravel()[asked].astype(float), trials.ravel()[asked].astype(float))


@dataclass(frozen=True, slots=True)
class Flagged:
    """Flags of a detector that errs, and a labelled sample of them."""

    cells: Cells
    """Flags as refusals."""
    labelled: np.ndarray
    """Labelled responses by cell: hits, misses, false alarms, passes."""
    truths: np.ndarray
    """True refusals by cell."""

    def groups(self, by: list[str]) -> int:
        """Count the combinations of levels of `by`."""
        return int(np.prod([len(self.cells.levels[f]) for f in by], dtype=int))

    def error(self, by: list[str], **priors: object) -> DetectorError:
        """Set up the model of the detector's error."""
        return build_error(self.cells, read_error({"by": by, **priors}), self.labelled)


def flagged(
    cells: Cells,
    sensitivity: dict[str, list[float]],
    specificity: float,
    labels: int,
    seed: int = 1,
    half_flagged: bool = True,
) -> Flagged:
    """Flag true refusals by a detector whose sensitivity differs by level of a factor, and label a sample.

    The sample holds flagged and unflagged responses in equal parts if `half_flagged`, as far as there are
    any; else it is drawn at random.
    """
    rng = np.random.default_rng([seed, 1])
    (factor, by_level), *_ = sensitivity.items()
    se = np.array(by_level)[cells.codes[:, cells.factors.index(factor)]]
    refused, answered = cells.refusals.astype(int), (cells.trials - cells.refusals).astype(int)
    hit = rng.binomial(refused, se)
    alarm = rng.binomial(answered, 1 - specificity)
    verdicts = np.stack([hit, refused - hit, alarm, answered - alarm], axis=1)
    labelled = np.zeros_like(verdicts)
    is_flag = np.array([True, False, True, False])
    strata = [is_flag, ~is_flag] if half_flagged else [np.full(4, True)]
    for kept in strata:
        pool = np.where(kept, verdicts, 0).ravel()
        size = min(labels // len(strata), pool.sum())
        labelled += rng.multivariate_hypergeometric(pool, size, method="marginals").reshape(verdicts.shape)
    flags = replace(cells, refusals=(hit + alarm).astype(float))
    return Flagged(flags, labelled.astype(float), cells.refusals)
