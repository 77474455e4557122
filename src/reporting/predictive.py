"""Posterior predictive check: refusal rates that the fitted model predicts beside those observed.

Each draw of the posterior predictive answers the same questions as often as they were asked; its refusals
are added up by level of a factor, or by pair of levels. Where the model is right, the observed rate lies
inside the predictive interval about as often as the interval's probability says.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse import csr_array

from src.effects.summaries import interval


def predictive_rates(
    predicted: xr.Dataset,
    observed: xr.Dataset,
    trials: xr.Dataset,
    nested: Mapping[str, str],
    ci_prob: float,
    ci_kind: str,
) -> dict[tuple[str, ...], pd.DataFrame]:
    """Tabulate observed and predicted refusal rates by every factor and every pair of factors.

    Parameters
    ----------
    predicted, observed, trials : xarray.Dataset
        Groups ``posterior_predictive``, ``observed_data`` and ``constant_data``: counts by cell, with a
        coordinate for each factor.
    nested : mapping
        Nested factor to its parent; its levels are counted within the parent's.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density.

    Returns
    -------
    dict of tuple of str to pandas.DataFrame
        One factor, or two, to columns level (names joined by colons), trials, observed, predicted (mean),
        lower and upper (rates), and inside (bool).
    """
    counts = predicted["refusals"].values.reshape(-1, predicted.sizes["cell"])
    factors = [str(name) for name in observed.coords if name != "cell"]
    names = {
        factor: [nested[factor], factor] if nested.get(factor) in factors else [factor] for factor in factors
    }
    several = [f for f in factors if len(np.unique(observed[f].values)) > 1]
    # A nested factor's levels hold its parent's; a factor with one level makes no pairs.
    pairs = [(a, b) for a, b in combinations(several, 2) if b not in names[a] and a not in names[b]]
    sets: list[tuple[str, ...]] = [*((f,) for f in factors), *pairs]
    asked = trials["trials"].values
    tables = {}
    for chosen in sets:
        columns = list(dict.fromkeys(name for factor in chosen for name in names[factor]))
        keys = pd.MultiIndex.from_arrays([observed[name].values for name in columns])
        codes, levels = keys.factorize(sort=True)
        groups = csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)))
        total = asked @ groups
        rates = counts @ groups / total
        lower, upper = interval(rates, ci_prob, ci_kind)
        seen = observed["refusals"].values @ groups / total
        tables[chosen] = pd.DataFrame(
            {
                "level": [":".join(map(str, level)) for level in levels],
                "trials": total.astype(np.int64),
                "observed": seen,
                "predicted": rates.mean(axis=0),
                "lower": lower,
                "upper": upper,
                # Rates are counts over trials: a tie with an end of the interval is inside.
                "inside": (seen >= lower - 1e-12) & (seen <= upper + 1e-12),
            }
        )
    return tables
