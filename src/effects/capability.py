"""How far personas spread within each model, against the model's capability, on both scales."""

import json

import numpy as np
import pandas as pd
import xarray as xr

from src.effects.grid import ConditionalMeans, Effects, mean_log_odds, probabilities
from src.effects.summaries import summarise

COLUMNS = ["quantity", "model", "capability", "mean", "sd", "ci_lower", "ci_upper", "ci_prob", "ci_kind"]
"""Columns of ``capability.csv``."""


def capability_table(tree: xr.DataTree, effects: Effects, ci_prob: float, ci_kind: str) -> pd.DataFrame:
    """Tabulate slope and spreads.

    Parameters
    ----------
    tree : xarray.DataTree
        Of a fit with capability.
    effects : Effects
        Its posterior draws.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density.

    Returns
    -------
    pandas.DataFrame
        Rows ``slope`` (change of the log standard deviation of persona effects within a model per standard
        deviation of capability), ``slope_negative`` (its posterior probability, in ``mean``) and for each
        model: ``implied_sd`` (of persona:model, sd exp(slope z), log-odds), ``spread_log_odds`` and
        ``spread_probability`` (standard deviation over personas of log-odds, and of refusal probability,
        averaged over all else). A spread of probabilities falls with the refusal rate alone, so that only
        both together tell capability from rarity. Empty without capability.
    """
    if "capability" not in tree.attrs:
        return pd.DataFrame(columns=COLUMNS)
    about = json.loads(tree.attrs["capability"])
    posterior = tree["posterior"].to_dataset()
    slope = posterior["capability_slope"].values.ravel()
    sd = posterior["sd"].sel(term=about["term"]).values.ravel()
    implied = sd[:, None] * np.exp(slope[:, None] * np.array(about["z"]))
    by_quantity = {
        "slope": (slope[:, None], [""]),
        "slope_negative": ((slope[:, None] < 0).astype(float), [""]),
        "implied_sd": (implied, list(about["values"])),
        "spread_log_odds": (_spread(_mean_log_odds(effects)), list(about["values"])),
        "spread_probability": (_spread(_mean_probability(effects)), list(about["values"])),
    }
    tables = [
        pd.DataFrame(summarise(draws, ci_prob, ci_kind)).assign(
            quantity=quantity, model=models, capability=[about["values"].get(model) for model in models]
        )
        for quantity, (draws, models) in by_quantity.items()
    ]
    table = pd.concat(tables, ignore_index=True).assign(ci_prob=ci_prob, ci_kind=ci_kind)
    # A probability has no spread of its own.
    table.loc[table["quantity"] == "slope_negative", ["sd", "ci_lower", "ci_upper"]] = np.nan
    return table[COLUMNS]


def _spread(by_persona: np.ndarray) -> np.ndarray:
    """Take the standard deviation over personas: (draws, personas, models) to (draws, models)."""
    return by_persona.std(axis=1)


def _mean_probability(effects: Effects) -> np.ndarray:
    result = np.empty((effects.draws, effects.sizes["persona"], effects.sizes["model"]))
    for draws, grid in probabilities(effects):
        result[draws] = _personas_first(effects, ConditionalMeans(effects, grid)[_pair(effects)])
    return result


def _mean_log_odds(effects: Effects) -> np.ndarray:
    return _personas_first(effects, mean_log_odds(effects, _pair(effects)))


def _pair(effects: Effects) -> tuple[str, ...]:
    return tuple(f for f in effects.factors if f in ("persona", "model"))


def _personas_first(effects: Effects, array: np.ndarray) -> np.ndarray:
    return array if _pair(effects)[0] == "persona" else array.swapaxes(1, 2)
