"""What is shown first: order of terms, the contrasts that answer the question, and the answer in words."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from src.effects.contrasts import MEAN, multiplicity
from src.effects.variance import HIGHER_ORDER, RESIDUAL
from src.reporting.words import INDICES, interval_name, percent_in_text, plain, points, term_name

MOST_TERMS = 3
"""Terms that the answer names, besides those of the factor asked about."""


def terms_by_share(variance: pd.DataFrame) -> list[str]:
    """Order terms by their own share of the variance of probability, the largest first, other rows last."""
    own = variance[variance["scale"] == "probability_first"].sort_values(
        "mean", ascending=False, kind="stable"
    )
    others = [HIGHER_ORDER, RESIDUAL]
    return [*(t for t in own["term"] if t not in others), *(t for t in others if t in set(variance["term"]))]


def share(variance: pd.DataFrame, scale: str, term: str) -> dict[str, Any] | None:
    """Look up the summary of one share; None if this scale has no such row."""
    rows = variance[(variance["scale"] == scale) & (variance["term"] == term)].to_dict("records")
    return rows[0] if rows else None  # type: ignore[return-value]


def dependence(power_scaling: pd.DataFrame, scale: str, term: str) -> str:
    """Say how a share depends on the weight of the prior: the diagnosis, empty if it does not."""
    rows = power_scaling[(power_scaling["scale"] == scale) & (power_scaling["term"] == term)]
    return str(rows["diagnosis"].iloc[0]) if len(rows) else ""


def rankings(ranking: pd.DataFrame, nested: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Lay out how model and indices rank the factors.

    Parameters
    ----------
    ranking : pandas.DataFrame
        Rows of ``ranking.csv``.
    nested : mapping
        Nested factor to its parent.

    Returns
    -------
    list of tuple
        Of each factor, the first by the model first: its name; its rank by the model with interval, the
        probability that it is first, and its rank by each index.
    """
    found: dict[Any, Any] = {
        (row["quantity"], row["index"], row["term"]): row for row in ranking.to_dict("records")
    }
    by_model = [row for (quantity, index, _), row in found.items() if (quantity, index) == ("rank", "")]
    rows = []
    for model in sorted(by_model, key=lambda row: row["mean"]):
        term = model["term"]
        rows.append(
            (
                term_name(term, nested),
                [
                    f"{model['mean']:.1f} [{model['ci_lower']:g}, {model['ci_upper']:g}]",
                    f"{found['first', '', term]['mean']:.2f}",
                    *(f"{found['rank', index, term]['mean']:g}" for index in INDICES),
                ],
            )
        )
    return rows


def agreement(ranking: pd.DataFrame) -> str:
    """Say how far the rankings by the indices agree with the model's."""
    found: dict[Any, Any] = {(row["quantity"], row["index"]): row for row in ranking.to_dict("records")}
    parts = []
    for index, name in INDICES.items():
        tau, rho = found["kendall", index], found["spearman", index]
        if math.isnan(tau["mean"]):
            parts.append(f"{name}: no order to compare")
            continue
        words = [plain(*(row[end] for end in ("mean", "ci_lower", "ci_upper"))) for row in (tau, rho)]
        parts.append(f"{name}: Kendall's tau {words[0]}, Spearman's rho {words[1]}")
    return f"Agreement with the model (1: the same order). {'; '.join(parts)}."


RANKING_HEADINGS = ["rank by the model", "P(first)", *(f"by {name}" for name in INDICES.values())]
"""Columns of what `rankings` lays out."""


def asked_factor(contrasts: pd.DataFrame) -> str | None:
    """Name the factor that the study asks about.

    Parameters
    ----------
    contrasts : pandas.DataFrame
        Rows of ``contrasts.csv``.

    Returns
    -------
    str or None
        The first factor with a baseline level of its own; without one the first compared over the whole grid
        other than the model, or the model. None if nothing is compared.
    """
    overall = contrasts[contrasts["within"] == ""]
    for candidates in (overall[overall["baseline"] != MEAN], overall[overall["factor"] != "model"], overall):
        if len(candidates):
            return str(candidates["factor"].iloc[0])
    return None


def overall_contrasts(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Keep the contrasts of the factor asked about over the whole grid, the largest first."""
    return _largest(contrasts[(contrasts["factor"] == asked_factor(contrasts)) & (contrasts["within"] == "")])


def contrasts_by_model(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Keep the contrasts of the factor asked about within each model, the largest first.

    Parameters
    ----------
    contrasts : pandas.DataFrame
        Rows of ``contrasts.csv``.

    Returns
    -------
    pandas.DataFrame
        With a column ``model``; empty if there are fewer than two models.
    """
    rows = contrasts[contrasts["within"].str.startswith("model=")]
    rows = rows[rows["factor"] == asked_factor(contrasts)]
    rows = rows.assign(model=rows["within"].str.removeprefix("model="))
    return _largest(rows if rows["model"].nunique() > 1 else rows.iloc[:0])


def excludes_zero(contrasts: pd.DataFrame) -> pd.Series:
    """Whether the interval of each risk difference leaves zero out."""
    return (contrasts["risk_difference_ci_lower"] > 0) | (contrasts["risk_difference_ci_upper"] < 0)


def baseline_name(baseline: str, factor: str) -> str:
    """Write what a level is compared with: a level, or the mean over all levels."""
    return f"the mean over {factor}s" if baseline == MEAN else f"{factor} {baseline}"


def answer(
    frames: Mapping[str, pd.DataFrame], diagnostics: Mapping[str, Any], nested: Mapping[str, str]
) -> list[str]:
    """Answer the study's questions in words, with the uncertainty of every number.

    Parameters
    ----------
    frames : mapping
        The tables of the fit.
    diagnostics : mapping
        As in ``diagnostics.json``.
    nested : mapping
        Nested factor to its parent.

    Returns
    -------
    list of str
        Sentences: how often, what explains it, what the factor asked about does, and where.
    """
    refusals, trials = diagnostics["refusals"], diagnostics["trials"]
    first = frames["variance"].iloc[0]
    rate = f"{refusals:,} of {trials:,} responses are refusals ({100 * refusals / trials:.1f} %)."
    if "detector_error" in frames:
        rate = _of_flags(frames["detector_error"], rate.replace("are refusals", "are flagged as refusals"))
    if refusals in (0, trials):
        return [rate, "Responses do not differ, so nothing can be explained: shares below are the prior's."]
    return [
        rate,
        *_of_shares(frames["variance"], nested, asked_factor(frames["contrasts"])),
        *_of_contrasts(overall_contrasts(frames["contrasts"])),
        *_of_models(contrasts_by_model(frames["contrasts"])),
        *_of_capability(frames.get("capability")),
        f"Brackets hold the {interval_name(first['ci_prob'], first['ci_kind'])}.",
    ]


def _of_flags(detector_error: pd.DataFrame, flagged: str) -> str:
    """Say how often responses are refusals, once the detector's error is taken into account."""
    rows = detector_error[detector_error["quantity"] == "refusal_rate"]
    found = rows[rows["level"] == ""].iloc[0]
    labelled = detector_error.loc[
        detector_error["quantity"].isin(["sensitivity", "specificity"]), "responses"
    ]
    return (
        f"{flagged} By {labelled.sum():,.0f} responses that a person has read, the detector errs; corrected "
        f"for it, {_words(found)} of the responses are refusals. What follows speaks of these."
    )


def _of_shares(variance: pd.DataFrame, nested: Mapping[str, str], asked: str | None) -> list[str]:
    own: dict[str, Any] = {
        row["term"]: row for row in variance[variance["scale"] == "probability_first"].to_dict("records")
    }
    terms = [t for t in terms_by_share(variance) if t not in (HIGHER_ORDER, RESIDUAL)]
    leading = [t for t in terms if own[t]["ci_upper"] > 0][:MOST_TERMS]
    if not leading:
        return ["The probability of refusal is the same everywhere: there is no variance to explain."]
    parts = [f"{term_name(t, nested)} explains {_words(own[t])}" for t in leading]
    sentences = [f"Of the variance of the refusal probability over the grid, {_listed(parts)}."]
    rest = [t for t in terms if t not in leading and asked in t.split(":") and own[t]["ci_upper"] > 0]
    if rest:
        parts = [f"{term_name(t, nested)} {_words(own[t])}" for t in rest]
        sentences.append(f"Of the other terms, {_listed(parts)}.")
    total = share(variance, "probability_total", asked) if asked else None
    if total is not None and total["ci_upper"] > 0:
        sentences.append(f"With everything it takes part in, {asked} is behind {_words(total)}.")
    chance = share(variance, "observation", RESIDUAL)
    if chance is not None:
        sentences.append(
            f"Of the variance of single responses, {_words(chance)} is chance: it stays when every level is "
            "known."
        )
    return sentences


def _of_contrasts(overall: pd.DataFrame) -> list[str]:
    if overall.empty:
        return []
    largest = overall.iloc[0]
    factor, baseline = largest["factor"], baseline_name(largest["baseline"], largest["factor"])
    found = multiplicity(overall)
    return [
        f"Compared with {baseline}, {largest['level']} is furthest away: {_points(largest)} percentage "
        f"points; {found.excluding_zero} of {found.contrasts} intervals leave zero out, where "
        f"{found.expected_by_chance:.1f} would by chance if no {factor} had an effect."
    ]


def _of_models(by_model: pd.DataFrame) -> list[str]:
    if by_model.empty:
        return []
    largest, found = by_model.iloc[0], multiplicity(by_model)
    return [
        f"Within single models the largest difference is that of {largest['level']} in {largest['model']}: "
        f"{_points(largest)} percentage points; {found.excluding_zero} of {found.contrasts} intervals leave "
        f"zero out, where {found.expected_by_chance:.1f} would by chance."
    ]


def _of_capability(capability: pd.DataFrame | None) -> list[str]:
    if capability is None:
        return []
    rows = {row["quantity"]: row for row in capability.to_dict("records")}
    slope, negative = rows["slope"], rows["slope_negative"]
    return [
        "With one standard deviation more capability, the standard deviation of personas within a model is "
        f"multiplied by {plain(*(math.exp(slope[end]) for end in ('mean', 'ci_lower', 'ci_upper')))}; the "
        f"probability that it falls with capability is {negative['mean']:.2f}."
    ]


def _largest(contrasts: pd.DataFrame) -> pd.DataFrame:
    order = contrasts["risk_difference"].abs().sort_values(ascending=False, kind="stable").index
    return contrasts.loc[order]


def _words(row: Any) -> str:
    return percent_in_text(row["mean"], row["ci_lower"], row["ci_upper"])


def _points(row: Any) -> str:
    return points(*(row[f"risk_difference{end}"] for end in ("", "_ci_lower", "_ci_upper")))


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
