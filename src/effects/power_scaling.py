"""How much each share of variance would move if prior or likelihood counted a little more or less.

Power-scaling sensitivity (Kallioinen, Paananen, Bürkner & Vehtari 2024): the prior of intercept and standard
deviations, or the likelihood, is raised to powers near one by importance weights, and the change of the
posterior is measured per doubling of the power. Above 0.05 it matters.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

COLUMNS = ["term", "scale", "prior", "likelihood", "diagnosis"]
"""Columns of ``power_scaling.csv``."""
DRAWS = 1000
"""Draws that suffice for a figure compared with 0.05."""
THRESHOLD = 0.05
"""Sensitivity above which a share depends on prior or likelihood."""


def power_scaling_table(tree: xr.DataTree, shares: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Tabulate the sensitivity of every share.

    Parameters
    ----------
    tree : xarray.DataTree
        With groups ``posterior``, ``log_prior`` and ``log_likelihood``.
    shares : mapping
        Scale to term to shares of each draw, chains one after another, shape (draws,).

    Returns
    -------
    pandas.DataFrame
        One row per share that varies; ``detector_prior`` is the sensitivity to the prior of a detector's
        error, where the fit has one. Empty if shares or log likelihood were thinned: they no longer match.
    """
    likelihood, prior = tree["log_likelihood"].to_dataset(), tree["log_prior"].to_dataset()
    chains, draws = (tree["posterior"].sizes[name] for name in ("chain", "draw"))
    thinned = any(len(values) < chains * draws for by_term in shares.values() for values in by_term.values())
    if thinned or likelihood.sizes["draw"] < draws:
        return pd.DataFrame(columns=COLUMNS)
    from arviz_stats import psense

    rows = [
        (term, scale)
        for scale, by_term in shares.items()
        for term, values in by_term.items()
        if values.std() > 0
    ]
    values = np.stack([shares[scale][term].reshape(chains, draws) for term, scale in rows], axis=-1)
    coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
    every = {"draw": slice(None, None, max(1, chains * draws // DRAWS))}
    total = likelihood["refusals"].isel(every).astype(np.float64).sum("cell")
    small = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"share": (("chain", "draw", "row"), values)}, coords).isel(every),
            "log_likelihood": xr.Dataset({"refusals": total}),
            "log_prior": prior.isel(every),
        }
    )
    # The prior of a detector's error has a column of its own.
    parts = {"prior": ("prior", ["intercept", "sd"]), "likelihood": ("likelihood", None)}
    if "detector_error" in prior:
        parts["detector_prior"] = ("prior", ["detector_error"])
    found = {
        column: np.asarray(
            psense(small, var_names=["share"], group=group, group_var_names=names)["share"], dtype=float
        )
        for column, (group, names) in parts.items()
    }
    return pd.DataFrame(rows, columns=["term", "scale"]).assign(
        **found, diagnosis=list(map(_diagnosis, found["prior"], found["likelihood"]))
    )


def _diagnosis(prior: float, likelihood: float) -> str:
    """Put sensitivities into words (Kallioinen et al. 2024, section 3)."""
    if prior < THRESHOLD:
        return ""
    return "the prior matters" if likelihood < THRESHOLD else "prior and data pull apart"
