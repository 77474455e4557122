"""Contrasts: what each level of a factor does to refusal, as odds ratio and as risk difference.

All other factors are averaged over the grid with equal weights. The odds ratio is the exponential of the mean
difference in log-odds, interactions included; the risk difference is the mean difference in probability (the
average marginal effect). The baseline is a level, or the mean over all levels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from src.effects.grid import (
    ConditionalMeans,
    Effects,
    average_out,
    in_grid_order,
    mean_log_odds,
    probabilities,
    spread,
)
from src.effects.summaries import interval
from src.errors import InputError, unknown

MEAN = "mean"
"""Name of the baseline that is the average over levels."""
NO_PERSONA = {"persona": "none"}
"""The study's own baseline."""
COLUMNS = [
    "factor",
    "level",
    "baseline",
    "within",
    "odds_ratio",
    "odds_ratio_ci_lower",
    "odds_ratio_ci_upper",
    "risk_difference",
    "risk_difference_sd",
    "risk_difference_ci_lower",
    "risk_difference_ci_upper",
    "ci_prob",
    "ci_kind",
    "prob_positive",
    "prob_rope",
    "rope",
]


@dataclass(frozen=True, slots=True)
class Multiplicity:
    """How many of many intervals exclude zero, and how many would if nothing had an effect."""

    contrasts: int
    """Intervals shown."""
    excluding_zero: int
    """Those of the risk difference that leave zero out."""
    expected_by_chance: float
    """What nominal intervals would leave out: (1 - ci_prob) of them, without the guard of partial pooling."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences of the levels of one factor from its baseline, of each draw."""

    factor: str
    levels: list[str]
    """Levels compared, shape (levels,)."""
    baseline: str
    within: list[str]
    """Where each is compared, such as ``"model=llama"``; empty over the whole grid."""
    log_odds: np.ndarray
    """Differences in log-odds, shape (draws, levels)."""
    risk: np.ndarray
    """Differences in probability, shape (draws, levels)."""


def contrasts(
    effects: Effects,
    rope: float,
    ci_prob: float,
    ci_kind: str,
    within: Sequence[str] = (),
    baselines: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Tabulate every level of every factor against the factor's baseline.

    Parameters
    ----------
    effects : Effects
        The draws.
    rope : float
        Differences in probability smaller than this are practically none.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density. Intervals of odds ratios are taken on the log scale.
    within : sequence of str, optional
        Factors, not nested, within each level of which the others are compared as well.
    baselines : mapping, optional
        Factor to baseline level; factors left out are compared with the mean over their levels. By default
        persona ``none`` where it exists. Nested factors are compared with the mean within their parent.

    Returns
    -------
    DataFrame
        One row per comparison: factor, level, baseline, within, odds_ratio (exponential of the posterior mean
        difference in log-odds) and its interval, risk_difference (posterior mean), its standard deviation and
        interval, ci_prob, ci_kind, prob_positive (of the risk difference), prob_rope and rope.

    Raises
    ------
    InputError
        If a factor, level or kind of interval is unknown, the ROPE is no width, or the grid is too large.
    """
    if not rope > 0:
        raise InputError(f"rope must be a positive difference in probability, received {rope}")
    tables = [_table(found, rope, ci_prob, ci_kind) for found in contrast_draws(effects, within, baselines)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def contrast_draws(
    effects: Effects, within: Sequence[str] = (), baselines: Mapping[str, str] | None = None
) -> list[Differences]:
    """Compute the differences behind `contrasts`, draw by draw.

    Parameters
    ----------
    effects : Effects
        The draws.
    within : sequence of str, optional
        As for `contrasts`.
    baselines : mapping, optional
        As for `contrasts`.

    Returns
    -------
    list of Differences
        Per factor: over the whole grid, then within each of `within`. A factor with one level has none.

    Raises
    ------
    InputError
        If a factor or level is unknown, or the grid is too large.
    """
    baselines = _checked_baselines(effects, baselines)
    for factor in within:
        if factor not in effects.sizes or factor in effects.nested:
            raise unknown("factor to compare within", factor, set(effects.sizes) - set(effects.nested))
    pairs: list[tuple[str, str | None]] = []
    for factor in effects.factors:
        if effects.sizes[factor] == 1:
            continue
        if factor in effects.nested:
            pairs.append((factor, effects.nested[factor]))
        else:
            pairs += [(factor, None), *((factor, other) for other in within if other != factor)]
    kept = {pair: in_grid_order(effects, filter(None, pair)) for pair in pairs}
    risks = _mean_probabilities(effects, set(kept.values()))
    return [
        _differences(effects, pair, kept[pair], risks[kept[pair]], baselines.get(pair[0], MEAN))
        for pair in pairs
    ]


def multiplicity(table: pd.DataFrame) -> Multiplicity:
    """Count the intervals that exclude zero, and how many would by chance.

    Parameters
    ----------
    table : DataFrame
        What `contrasts` returns, or some of its rows.

    Returns
    -------
    Multiplicity
        Counts for the intervals of the risk difference.
    """
    excluding = (table["risk_difference_ci_lower"] > 0) | (table["risk_difference_ci_upper"] < 0)
    return Multiplicity(len(table), int(excluding.sum()), float((1 - table["ci_prob"]).sum()))


def _checked_baselines(effects: Effects, baselines: Mapping[str, str] | None) -> dict[str, str]:
    if baselines is None:
        return {f: b for f, b in NO_PERSONA.items() if b in effects.levels.get(f, ())}
    for factor, level in baselines.items():
        if factor not in effects.sizes or factor in effects.nested:
            raise unknown("factor of a baseline", factor, set(effects.sizes) - set(effects.nested))
        if level != MEAN and level not in effects.levels[factor]:
            raise unknown(f"baseline of {factor}", level, [*effects.levels[factor], MEAN])
    return dict(baselines)


def _mean_probabilities(effects: Effects, sets: set[tuple[str, ...]]) -> dict[tuple[str, ...], np.ndarray]:
    result = {kept: np.empty((effects.draws, *(effects.sizes[f] for f in kept))) for kept in sets}
    for draws, grid in probabilities(effects):
        means = ConditionalMeans(effects, grid)
        for kept in sets:
            result[kept][draws] = means[kept]
    return result


def _differences(
    effects: Effects, pair: tuple[str, str | None], kept: tuple[str, ...], risk: np.ndarray, baseline: str
) -> Differences:
    """Compare the levels of a factor, everywhere or within each level of another."""
    factor, other = pair
    order = (other, factor) if other else (factor,)
    shown = np.ones([effects.sizes[f] for f in order], dtype=bool)
    if factor in effects.nested:
        present = effects.present[factor]
        # A lone level is its own mean.
        shown = present & (present.sum(axis=1, keepdims=True) > 1)
    elif baseline != MEAN:
        shown[..., effects.levels[factor].index(baseline)] = False

    def difference(values: np.ndarray) -> np.ndarray:
        axis = kept.index(factor) + 1
        if baseline == MEAN:
            reference = np.expand_dims(average_out(effects, values, kept, factor), axis)
        else:
            reference = values.take([effects.levels[factor].index(baseline)], axis=axis)
        return spread(values - reference, kept, order)[:, shown]

    where = np.argwhere(shown).tolist()
    return Differences(
        factor,
        [_level(effects, factor, position, outer) for *outer, position in where],
        baseline,
        [f"{other}={effects.levels[other][outer[0]]}" if other else "" for *outer, _ in where],
        difference(mean_log_odds(effects, kept)),
        difference(risk),
    )


def _level(effects: Effects, factor: str, position: int, outer: list[int]) -> str:
    """Name a level; that of a nested factor is looked up within its parent."""
    if factor not in effects.nested:
        return effects.levels[factor][position]
    if factor not in effects.positions:
        return str(position)
    return effects.levels[factor][effects.positions[factor][outer[0]].tolist().index(position)]


def _table(found: Differences, rope: float, ci_prob: float, ci_kind: str) -> pd.DataFrame:
    odds_lower, odds_upper = np.exp(interval(found.log_odds, ci_prob, ci_kind))
    risk_lower, risk_upper = interval(found.risk, ci_prob, ci_kind)
    return pd.DataFrame(
        {
            "factor": found.factor,
            "level": found.levels,
            "baseline": found.baseline,
            "within": found.within,
            "odds_ratio": np.exp(found.log_odds.mean(axis=0)),
            "odds_ratio_ci_lower": odds_lower,
            "odds_ratio_ci_upper": odds_upper,
            "risk_difference": found.risk.mean(axis=0),
            "risk_difference_sd": found.risk.std(axis=0),
            "risk_difference_ci_lower": risk_lower,
            "risk_difference_ci_upper": risk_upper,
            "ci_prob": ci_prob,
            "ci_kind": ci_kind,
            "prob_positive": (found.risk > 0).mean(axis=0),
            "prob_rope": (np.abs(found.risk) < rope).mean(axis=0),
            "rope": rope,
        },
        columns=COLUMNS,
    )
