"""Draws tables of counts from the plain crossed random-effects model with known effects."""

from dataclasses import dataclass

import numpy as np

from src.inference.cells import Cells

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
