"""Whether a fit may be called a result: thresholds, warnings and the verdict."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

R_HAT = 1.01
"""R-hat must be below this (Vehtari et al. 2021)."""
ESS = 400
"""Bulk and tail effective sample sizes must be above this (Vehtari et al. 2021)."""
BFMI = 0.3
"""The energy Bayesian fraction of missing information must be above this (Betancourt 2016)."""


def diagnose(
    effects: pd.DataFrame, statistics: Mapping[str, np.ndarray], approximate: bool
) -> dict[str, Any]:
    """Judge the draws.

    Parameters
    ----------
    effects : pandas.DataFrame
        Rows of ``effects.csv``.
    statistics : mapping
        Sampler statistics, shape (chains, draws); empty where there was no sampler.
    approximate : bool
        Whether the draws come from an approximation; the verdict then says so, whatever the numbers.

    Returns
    -------
    dict
        ``rhat_max``, ``ess_bulk_min``, ``ess_tail_min``, ``divergences``, ``bfmi_min``, ``verdict``
        (``pass``, ``fail`` or ``approximate``) and ``warnings``, one sentence each. Numbers that cannot be
        had are None.
    """
    numbers: dict[str, Any] = {
        "rhat_max": _extreme(effects["r_hat"], np.nanmax),
        "ess_bulk_min": _extreme(effects["ess_bulk"], np.nanmin),
        "ess_tail_min": _extreme(effects["ess_tail"], np.nanmin),
        "divergences": int(statistics["diverging"].sum()) if "diverging" in statistics else None,
        "bfmi_min": _bfmi(statistics["energy"]) if "energy" in statistics else None,
    }
    if approximate:
        return {**numbers, "verdict": "approximate", "warnings": []}
    warnings = list(_warnings(numbers, effects))
    return {**numbers, "verdict": "fail" if warnings else "pass", "warnings": warnings}


def _warnings(numbers: Mapping[str, Any], effects: pd.DataFrame) -> list[str]:
    found = []
    if numbers["rhat_max"] is None:
        found.append("R-hat cannot be had from a single chain or so few draws: raise fit.chains or fit.draws")
    elif numbers["rhat_max"] >= R_HAT:
        worst = _name(effects, effects["r_hat"].idxmax())
        found.append(
            f"R-hat {numbers['rhat_max']:.3f} of {worst} is not below {R_HAT}: raise fit.draws or fit.tune"
        )
    for kind in ("bulk", "tail"):
        smallest = numbers[f"ess_{kind}_min"]
        if smallest is not None and smallest <= ESS:
            worst = _name(effects, effects[f"ess_{kind}"].idxmin())
            found.append(
                f"{kind} effective sample size {smallest:.0f} of {worst} is not above {ESS}: raise fit.draws"
            )
    if numbers["divergences"]:
        found.append(
            f"{numbers['divergences']} divergent transitions: the draws may miss a part of the posterior"
        )
    if numbers["bfmi_min"] is not None and numbers["bfmi_min"] < BFMI:
        found.append(
            f"E-BFMI {numbers['bfmi_min']:.2f} is below {BFMI}: the draws may miss the posterior's tails"
        )
    return found


def _name(effects: pd.DataFrame, row: Any) -> str:
    term, level = effects.loc[row, "term"], effects.loc[row, "level"]
    return f"{term} {level}".strip()


def _extreme(values: pd.Series, which: Any) -> float | None:
    return float(which(values)) if values.notna().any() else None


def _bfmi(energy: np.ndarray) -> float:
    """Smallest E-BFMI of the chains (Betancourt 2016, equation 6)."""
    steps = np.diff(energy, axis=1)
    return float(((steps**2).mean(axis=1) / energy.var(axis=1)).min())
