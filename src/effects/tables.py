"""Every table of a fit, computed from its DataTree alone: nothing is sampled again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from src.effects.capability import capability_table
from src.effects.contrasts import contrasts, multiplicity
from src.effects.detector_error import error_notes, error_table
from src.effects.grid import Effects
from src.effects.power_scaling import power_scaling_table
from src.effects.predictions import prediction_table
from src.effects.ranking import ranking_table
from src.effects.reading import read_effects
from src.effects.sensitivity import sensitivity
from src.effects.summaries import convergence, summarise
from src.effects.variance import Shares, variance_shares

VARIANCE_COLUMNS = ["term", "scale", "mean", "sd", "ci_lower", "ci_upper", "ci_prob", "ci_kind"]
"""Columns of ``variance.csv``."""


GRID_VALUES = 2 * 10**9
"""Probabilities that are affordable in all; where the grid is larger, fewer draws are averaged over it."""
LEAST_DRAWS = 100
"""Draws that are kept all the same."""


@dataclass(frozen=True, slots=True)
class TableSettings:
    """How draws become numbers."""

    ci_prob: float = 0.9
    """Probability inside the intervals."""
    ci_kind: str = "eti"
    """``eti`` (equal-tailed) or ``hdi`` (highest-density)."""
    rope: float = 0.02
    """Half-width of the region of practical equivalence, as a difference in probability."""
    baseline: Mapping[str, str] = field(default_factory=dict)
    """Baseline level by factor; other factors are compared with their mean."""
    seed: int = 1
    """Of permutations and bootstraps."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of the contract, by the name of their file without ending."""

    frames: dict[str, pd.DataFrame]
    """``variance``, ``variance_prior``, ``power_scaling``, ``effects``, ``contrasts``, ``sensitivity``,
    ``ranking``, ``predictions``, ``capability`` where it was asked for, ``detector_error`` where there are
    labels."""
    notes: list[str]
    """What a reader must know about them."""


def tables_from_posterior(tree: xr.DataTree, settings: TableSettings) -> Tables:
    """Compute every table of a fit.

    Parameters
    ----------
    tree : xarray.DataTree
        As ``posterior.nc`` holds it.
    settings : TableSettings
        Intervals, baselines and region of practical equivalence.

    Returns
    -------
    Tables
        Tables and notes.

    Raises
    ------
    InputError
        If a baseline is no level, or an interval cannot be had.
    """
    posterior, prior = read_effects(tree), read_effects(tree, "prior")
    step = max(1, min(-(-posterior.cells * posterior.draws // GRID_VALUES), posterior.draws // LEAST_DRAWS))
    notes = []
    if step > 1:
        posterior = read_effects(tree, step=step)
        prior = read_effects(tree, "prior", step)
        notes.append(
            f"{posterior.cells:,} combinations of levels: shares, contrasts and predictions use "
            f"{posterior.draws:,} draws"
        )
    shares = variance_shares(posterior)
    frames = {
        "variance": variance_table(shares, settings),
        "variance_prior": variance_table(variance_shares(prior), settings),
        "power_scaling": power_scaling_table(tree, shares.draws),
        "effects": effects_table(tree["posterior"].to_dataset(), settings),
        "contrasts": contrast_table(posterior, settings),
    }
    counts = tree["observed_data"].to_dataset()
    codes = np.stack([_codes(counts[f].values, levels) for f, levels in posterior.levels.items()], axis=1)
    given_data = sensitivity(
        codes,
        counts["refusals"].values.astype(np.float64),
        tree["constant_data"].to_dataset()["trials"].values.astype(np.float64),
        list(posterior.levels),
        rng=np.random.default_rng([settings.seed, 4]),
        ci_prob=settings.ci_prob,
        ci_kind=settings.ci_kind,
        nested=posterior.nested,
    )
    frames["sensitivity"] = given_data.table
    frames["ranking"] = ranking_table(
        shares.draws["probability_first"], given_data.table, settings.ci_prob, settings.ci_kind
    )
    frames["predictions"] = prediction_table(
        posterior, np.random.default_rng([settings.seed, 6]), settings.ci_prob, settings.ci_kind
    )
    about_detector = []
    if "labels" in tree.children:
        frames["detector_error"] = error_table(tree, posterior, settings.ci_prob, settings.ci_kind)
        about_detector = error_notes(frames["detector_error"], frames["power_scaling"])
    if "capability" in tree.attrs:
        frames["capability"] = capability_table(tree, posterior, settings.ci_prob, settings.ci_kind)
    return Tables(
        frames,
        [*about_detector, *notes, *shares.notes, *given_data.notes, *_multiplicity_note(frames["contrasts"])],
    )


def variance_table(shares: Shares, settings: TableSettings) -> pd.DataFrame:
    """Summarise the shares of variance on every scale: columns `VARIANCE_COLUMNS`, one row a share."""
    rows = [
        {"term": term, "scale": scale, **summarise(draws, settings.ci_prob, settings.ci_kind)}
        for scale, by_term in shares.draws.items()
        for term, draws in by_term.items()
    ]
    table = pd.DataFrame(rows).assign(ci_prob=settings.ci_prob, ci_kind=settings.ci_kind)
    numbers = ["mean", "sd", "ci_lower", "ci_upper"]
    return table.astype(dict.fromkeys(numbers, float))[VARIANCE_COLUMNS]


def effects_table(posterior: xr.Dataset, settings: TableSettings) -> pd.DataFrame:
    """Summarise intercept, standard deviations (term ``sd``) and the effects of every level, in log-odds.

    Parameters
    ----------
    posterior : xarray.Dataset
        The posterior group.
    settings : TableSettings
        Intervals.

    Returns
    -------
    pandas.DataFrame
        Columns of ``effects.csv``; effective sample sizes and R-hat are NaN for a single short chain.
    """
    names: list[tuple[str, str]] = [("intercept", "")]
    columns = [posterior["intercept"].values[..., None]]
    for variable in ["sd", *(v for v in posterior.data_vars if str(v).startswith("u_"))]:
        values = posterior[variable]
        levels = [posterior[dim].values for dim in values.dims[2:]]
        term = "sd" if variable == "sd" else str(variable).removeprefix("u_")
        names += [(term, ":".join(map(str, combination))) for combination in product(*levels)]
        columns.append(values.values.reshape(*values.shape[:2], -1))
    draws = np.concatenate(columns, axis=-1)
    flat = draws.reshape(-1, draws.shape[-1])
    summary = summarise(flat, settings.ci_prob, settings.ci_kind)
    frame = pd.DataFrame(names, columns=["term", "level"])
    return frame.assign(**summary, ci_prob=settings.ci_prob, ci_kind=settings.ci_kind, **convergence(draws))


def contrast_table(effects: Effects, settings: TableSettings) -> pd.DataFrame:
    """Tabulate contrasts of every factor overall, and within each level of the model if there are models."""
    within = ["model"] if "model" in effects.levels else []
    return contrasts(
        effects,
        settings.rope,
        settings.ci_prob,
        settings.ci_kind,
        within=within,
        baselines={f: b for f, b in settings.baseline.items() if b in effects.levels.get(f, ())},
    )


def _codes(values: np.ndarray, levels: list[str]) -> np.ndarray:
    return pd.Categorical(values, categories=levels).codes.astype(np.int64)


def _multiplicity_note(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    found = multiplicity(table)
    return [
        f"{found.excluding_zero} of {found.contrasts} intervals of risk differences exclude zero; about "
        f"{found.expected_by_chance:.0f} would by chance if no level had an effect"
    ]
