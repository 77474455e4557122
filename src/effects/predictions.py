"""Refusal probability at a level that was never asked: a new persona, model, task or wording."""

from dataclasses import replace

import numpy as np
import pandas as pd

from src.effects.grid import ConditionalMeans, Effects, probabilities
from src.effects.summaries import summarise

COLUMNS = ["factor", "mean", "sd", "ci_lower", "ci_upper", "ci_prob", "ci_kind"]
"""Columns of ``predictions.csv``."""


def prediction_table(
    effects: Effects, rng: np.random.Generator, ci_prob: float, ci_kind: str
) -> pd.DataFrame:
    """Tabulate the predictive distribution of a new level of each factor.

    Parameters
    ----------
    effects : Effects
        Posterior draws.
    rng : numpy.random.Generator
        Source of the new levels' effects.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density.

    Returns
    -------
    pandas.DataFrame
        One row a factor: where the refusal probability of one new level lies, averaged over the levels at
        hand of all other factors; uncertain by the posterior and by which level it turns out to be.
    """
    rows = [
        {"factor": factor} | summarise(new_level(effects, factor, rng), ci_prob, ci_kind)
        for factor in effects.factors
    ]
    table = pd.DataFrame(rows).assign(ci_prob=ci_prob, ci_kind=ci_kind)[COLUMNS]
    return table.astype(dict.fromkeys(["mean", "sd", "ci_lower", "ci_upper"], float))


def new_level(effects: Effects, factor: str, rng: np.random.Generator) -> np.ndarray:
    """Draw the refusal probability of one new level of a factor.

    Parameters
    ----------
    effects : Effects
        Posterior draws.
    factor : str
        The factor; what is nested in a new level is new as well.
    rng : numpy.random.Generator
        Source of the new effects, normal with each draw's own standard deviations.

    Returns
    -------
    ndarray
        Mean over the grid of the other factors, shape (draws,).
    """
    parent = effects.nested.get(factor)
    children = {child for child, of in effects.nested.items() if of == factor}
    sizes = {**effects.sizes, factor: 1}
    drawn = dict(effects.effects)
    for name, term in effects.terms.items():
        if {factor, *children} & set(term):
            noise = rng.normal(size=(effects.draws, *(sizes[f] for f in term)))
            drawn[name] = effects.sds[name].reshape(-1, *(1 for _ in term)) * noise
    present = dict(effects.present)
    if parent is not None:
        present[factor] = np.ones((sizes[parent], 1), dtype=bool)
    for child in children:
        # As many as a level at hand has at most.
        present[child] = np.ones((1, sizes[child]), dtype=bool)
    changed = replace(effects, effects=drawn, sizes=sizes, present=present, positions={})
    result = np.empty(effects.draws)
    for draws, grid in probabilities(changed):
        result[draws] = ConditionalMeans(changed, grid)[()]
    return result
