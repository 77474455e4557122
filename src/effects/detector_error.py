"""How often the detector is right, by group, and how often responses are true refusals."""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from src.effects.grid import Effects, probabilities
from src.effects.summaries import convergence, interval, summarise

COLUMNS = [
    *("quantity", "level", "mean", "sd", "ci_lower", "ci_upper", "ci_prob", "ci_kind"),
    *("prior_mean", "prior_ci_lower", "prior_ci_upper", "responses", "observed", "prior_sensitivity"),
    *("ess_bulk", "ess_tail", "r_hat"),
]
"""Columns of ``detector_error.csv``."""
RATES = {"sensitivity": ("hit", "miss"), "specificity": ("pass", "false_alarm")}
"""Rates of a detector: verdicts that count for and against each."""
THRESHOLD = 0.05
"""Power-scaling sensitivity above which a number moves with its prior (Kallioinen et al. 2024)."""
SURE = 0.95
"""Below this probability of Se + Sp > 1 a group's flags may say nothing of refusal, or the opposite."""
SHOWN = 3
"""Levels that a note names."""


def error_table(tree: xr.DataTree, effects: Effects, ci_prob: float, ci_kind: str) -> pd.DataFrame:
    """Tabulate the detector's rates and what they make of the flags.

    Parameters
    ----------
    tree : xarray.DataTree
        Of a fit with labels.
    effects : Effects
        Its posterior draws, or some of them.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density.

    Returns
    -------
    pandas.DataFrame
        Rows ``sensitivity`` and ``specificity`` for each group (``responses``: labelled responses that speak
        of it, ``observed``: share of them with the right flag); ``sensitivity_average`` and
        ``specificity_average`` (of the median level) and ``sensitivity_sd`` and ``specificity_sd`` (spread of
        the log-odds over levels); ``informative`` (in ``mean``, P(Se + Sp > 1)); ``refusal_rate`` (true
        refusals among the responses of a group, and of all; ``observed``: share of flags). The prior stands
        beside. ``prior_sensitivity`` is the power-scaling sensitivity to the priors of averages and spreads;
        above 0.05 they matter.
    """
    both = posterior, _ = tree["posterior"].to_dataset(), tree["prior"].to_dataset()
    labels = tree["labels"].to_dataset()
    known = labels["of_the_table"] + labels["elsewhere"]
    by = [str(dim) for dim in known.dims if dim != "verdict"]
    names = [":".join(map(str, levels)) or "all" for levels in product(*(known[f].values for f in by))]
    frames = []
    for rate, (right, wrong) in RATES.items():
        for_it, against = (known.sel(verdict=v).values.ravel() for v in (right, wrong))
        speaking = for_it + against
        with np.errstate(invalid="ignore"):
            share = for_it / speaking
        frames.append(
            _rows(rate, names, [data[rate] for data in both], ci_prob, ci_kind).assign(
                responses=speaking, observed=share
            )
        )
    for rate in RATES:
        average = [xr.DataArray(1 / (1 + np.exp(-data[f"{rate}_intercept"]))) for data in both]
        frames.append(_rows(f"{rate}_average", [""], average, ci_prob, ci_kind))
        if f"{rate}_sd" in posterior:
            terms = [str(term) for term in posterior["rate_term"].values]
            spreads = [data[f"{rate}_sd"] for data in both]
            frames.append(_rows(f"{rate}_sd", terms, spreads, ci_prob, ci_kind))
    useful, before = (
        (data["sensitivity"] + data["specificity"] > 1).mean(("chain", "draw")).values.ravel()
        for data in both
    )
    informative = {"quantity": "informative", "level": names, "mean": useful, "prior_mean": before}
    frames.append(pd.DataFrame(informative))
    frames.append(_refusal_rates(tree, effects, by, names, ci_prob, ci_kind))
    table = pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)
    table["prior_sensitivity"] = _prior_sensitivity(tree, table)
    return table.assign(ci_prob=ci_prob, ci_kind=ci_kind)


def error_notes(table: pd.DataFrame, power_scaling: pd.DataFrame) -> list[str]:
    """Say where the prior of the detector's error decides, and where flags may not tell refusals at all.

    Parameters
    ----------
    table : pandas.DataFrame
        From `error_table`.
    power_scaling : pandas.DataFrame
        Rows of ``power_scaling.csv``, with ``detector_prior``.

    Returns
    -------
    list of str
        One sentence each; empty where the labels settle everything.
    """
    notes = []
    for rate in RATES:
        moved = table[(table["quantity"] == rate) & (table["prior_sensitivity"] > THRESHOLD)]
        if len(moved):
            notes.append(f"{rate} moves with the weight of its prior: {_listed(moved['level'])}")
    useless = table[(table["quantity"] == "informative") & (table["mean"] < SURE)]
    if len(useless):
        notes.append(
            f"flags may not tell refusals at all (P(Se + Sp > 1) below {SURE}): {_listed(useless['level'])}"
        )
    if "detector_prior" in power_scaling:
        moved = power_scaling[power_scaling["detector_prior"] > THRESHOLD]
        if len(moved):
            terms = list(dict.fromkeys(moved["term"]))
            notes.append(
                f"shares move with the weight of the prior of the detector's error: {_listed(terms)}"
            )
    return notes


def _rows(
    quantity: str, levels: Sequence[str], both: Sequence[xr.DataArray], ci_prob: float, ci_kind: str
) -> pd.DataFrame:
    """Summarise draws of the posterior with those of the prior beside."""
    draws, before = (data.values.reshape(*data.shape[:2], -1) for data in both)
    before = before.reshape(-1, before.shape[-1])
    lower, upper = interval(before, ci_prob, ci_kind)
    return pd.DataFrame(
        {
            "quantity": quantity,
            "level": levels,
            **summarise(draws.reshape(-1, draws.shape[-1]), ci_prob, ci_kind),
            "prior_mean": before.mean(axis=0),
            "prior_ci_lower": lower,
            "prior_ci_upper": upper,
            **convergence(draws),
        }
    )


def _refusal_rates(
    tree: xr.DataTree, effects: Effects, by: Sequence[str], names: Sequence[str], ci_prob: float, ci_kind: str
) -> pd.DataFrame:
    """Average the probability of refusal over the responses of each group, and over all."""
    counts = tree["observed_data"].to_dataset()
    trials = tree["constant_data"].to_dataset()["trials"].values.astype(float)
    codes = {
        factor: pd.Index(levels).get_indexer(pd.Index(counts[factor].values))
        for factor, levels in effects.levels.items()
    }
    group = np.zeros(len(trials), dtype=np.int64)
    for factor in by:
        group = group * len(effects.levels[factor]) + codes[factor]
    for child, parent in effects.nested.items():
        codes[child] = effects.positions[child][codes[parent], codes[child]]
    cells = np.ravel_multi_index([codes[f] for f in effects.factors], list(effects.sizes.values()))
    asked = np.bincount(group, trials, len(names))
    weights = np.zeros((len(trials), len(names) + 1))
    weights[np.arange(len(trials)), group] = trials / asked[group]
    weights[:, -1] = trials / trials.sum()
    rates = np.empty((effects.draws, len(names) + 1))
    for draws, grid in probabilities(effects):
        rates[draws] = grid.reshape(len(grid), -1)[:, cells] @ weights
    frame = pd.DataFrame(summarise(rates, ci_prob, ci_kind)).assign(
        quantity="refusal_rate",
        level=[*names, ""],
        responses=[*asked, trials.sum()],
        observed=(counts["refusals"].values / trials) @ weights,
    )
    chains = tree["posterior"].sizes["chain"]
    return frame.assign(**convergence(rates.reshape(chains, -1, rates.shape[1])))[
        np.array([*asked, trials.sum()]) > 0
    ]


def _prior_sensitivity(tree: xr.DataTree, table: pd.DataFrame) -> np.ndarray:
    """Measure how the detector's rates move with the weight of the priors of their averages and spreads."""
    from arviz_stats import psense

    found = psense(
        xr.DataTree.from_dict({name: tree[name].to_dataset() for name in ("posterior", "log_prior")}),
        var_names=list(RATES),
        group="prior",
        group_var_names=["detector_error"],
    )
    result = np.full(len(table), np.nan)
    for rate in RATES:
        result[(table["quantity"] == rate).to_numpy()] = np.asarray(found[rate], dtype=float).ravel()
    return result


def _listed(levels: Iterable[str]) -> str:
    shown = [str(level) or "all" for level in levels]
    rest = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + rest
