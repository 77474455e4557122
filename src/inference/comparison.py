"""Which terms predict: PSIS-LOO of the model without each of its interactions, beside the whole model."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from src.inference.cells import Cells
from src.inference.fitting import fit_cells
from src.inference.priors import read_prior
from src.inference.request import Request
from src.inference.terms import build_structure
from src.inference.tree import log_likelihood_tree

COLUMNS = ["left_out", "elpd", "se", "p_loo", "elpd_diff", "dse", "pareto_k_bad", "cells"]
"""Columns of ``compare.csv``."""
PARETO_K = 0.7
"""Above this a cell's importance weights cannot be trusted."""


def compare_terms(request: Request, cells: Cells) -> pd.DataFrame:
    """Fit the model with all terms, without each interaction, and without any, and compare them.

    Parameters
    ----------
    request : Request
        The fit.
    cells : Cells
        The counts.

    Returns
    -------
    pandas.DataFrame
        Best first. ``elpd``: expected log predictive density of a cell left out, summed over cells (Vehtari,
        Gelman & Gabry 2017), with standard error; ``elpd_diff`` and ``dse``: difference from the best one;
        ``pareto_k_bad``: cells whose weights cannot be trusted (k above 0.7).
    """
    import arviz_stats

    variants = {"": request.interactions}
    if len(request.interactions) > 1:
        for one in request.interactions:
            variants[":".join(one)] = [other for other in request.interactions if other != one]
    if request.interactions:
        variants["all interactions"] = []
    settings = replace(request.settings, progress=False)
    found = {}
    for name, interactions in variants.items():
        structure = build_structure(cells, interactions, request.nested)
        fitted = fit_cells(cells, structure, read_prior(request.priors, structure.names), settings)
        with warnings.catch_warnings():
            # The table counts the cells that the warning is about.
            warnings.simplefilter("ignore", UserWarning)
            found[name] = arviz_stats.loo(log_likelihood_tree(cells, structure, fitted), pointwise=True)
    order = sorted(found, key=lambda name: -found[name].elpd)
    best = found[order[0]].elpd_i.values
    return pd.DataFrame([_row(name, found[name], best) for name in order], columns=COLUMNS)


def _row(name: str, loo: Any, best: np.ndarray) -> dict[str, Any]:
    difference = loo.elpd_i.values - best
    return {
        "left_out": name,
        "elpd": float(loo.elpd),
        "se": float(loo.se),
        "p_loo": float(loo.p),
        "elpd_diff": float(difference.sum()),
        "dse": float(np.sqrt(len(difference) * difference.var())),
        "pareto_k_bad": int((loo.pareto_k.values > PARETO_K).sum()),
        "cells": len(best),
    }
