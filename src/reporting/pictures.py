"""Pictures drawn from the tables of a fit: shares of variance, contrasts, and model-free sensitivity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from src.reporting.findings import (
    baseline_name,
    contrasts_by_model,
    excludes_zero,
    overall_contrasts,
    share,
    terms_by_share,
)
from src.reporting.style import (
    BAND,
    DIVERGING,
    OBSERVED,
    POSTERIOR,
    PRIOR,
    QUIET,
    TOTAL,
    WIDTH,
    Picture,
    finish,
    new_figure,
)
from src.reporting.words import INDICES, interval_name, labels, term_name

ROW = 0.22
"""Inches of one level in a list."""
ENDS = ("", "_ci_lower", "_ci_upper")


def draw_shares(
    frames: Mapping[str, pd.DataFrame], nested: Mapping[str, str], banners: Sequence[str]
) -> Picture:
    """Draw the share of variance of each term on both scales, the prior's beside the posterior's.

    Parameters
    ----------
    frames : mapping
        ``variance`` and ``variance_prior``.
    nested : mapping
        Nested factor to its parent.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture
        Terms down, probability on the left, log-odds on the right.
    """
    variance, prior = frames["variance"], frames["variance_prior"]
    title = "What explains refusal: share of variance of each term"
    level = interval_name(variance["ci_prob"].iloc[0], variance["ci_kind"].iloc[0])
    how = (
        f"Mark: mean. Line: {level}. Grey: what the prior alone says; where blue looks like grey, the data "
        "have said little. Left: the probability of refusal. Right: the log-odds of a response, which hold "
        "its own chance as well."
    )
    terms = terms_by_share(variance)
    figure = new_figure(0.9 + 0.36 * len(terms), title, how, banners)
    left, right = figure.subplots(1, 2, sharey=True)
    marks = (
        (left, prior, "probability_first", PRIOR, "o", 0.24, "prior, own share"),
        (left, variance, "probability_first", POSTERIOR, "o", 0.0, "posterior, own share"),
        (left, variance, "probability_total", TOTAL, "D", -0.24, "posterior, total (with all interactions)"),
        (right, prior, "latent", PRIOR, "s", 0.24, "prior, new levels"),
        (right, variance, "latent", POSTERIOR, "s", 0.0, "posterior, new levels"),
        (right, variance, "finite", TOTAL, "^", -0.24, "posterior, these levels"),
    )
    for axes, frame, scale, colour, marker, shift, label in marks:
        found = [(row, share(frame, scale, term)) for row, term in enumerate(terms)]
        rows = [(row + shift * -1, one) for row, one in found if one]
        _intervals(axes, rows, ("mean", "ci_lower", "ci_upper"), colour, marker, label)
    left.set_yticks(range(len(terms)), labels(term_name(term, nested) for term in terms))
    left.set_ylim(len(terms) - 0.5, -0.5)
    for axes, name in ((left, "refusal probability"), (right, "response's log-odds")):
        axes.set_xlim(-2, 102)
        axes.set_xlabel(f"share of variance of the {name}, %")
        axes.grid(axis="x", color=BAND)
        _stripes(axes, len(terms))
    handles = [handle for axes in (left, right) for handle in axes.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, columnspacing=6, fontsize=8)
    return finish(figure, "shares", title)


def draw_contrasts(contrasts: pd.DataFrame, banners: Sequence[str]) -> Picture | None:
    """Draw the contrasts of the factor asked about over the whole grid.

    Parameters
    ----------
    contrasts : pandas.DataFrame
        Rows of ``contrasts.csv``.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture or None
        Levels down, the largest difference first; None if there is nothing to compare.
    """
    rows = overall_contrasts(contrasts).sort_values("risk_difference", ascending=False, kind="stable")
    if rows.empty:
        return None
    first = rows.iloc[0]
    rope = 100 * first["rope"]
    baseline = baseline_name(first["baseline"], first["factor"])
    title = f"Refusal by {first['factor']}, compared with {baseline}"
    how = (
        f"Mark: mean difference in refusal probability, averaged over the other factors. Line: "
        f"{interval_name(first['ci_prob'], first['ci_kind'])}. Band: less than {rope:g} points, practically "
        "no difference."
    )
    figure = new_figure(1.0 + ROW * len(rows), title, how, banners)
    axes = figure.subplots()
    axes.axvspan(-rope, rope, color=BAND, zorder=0, label=f"within ±{rope:g} points")
    axes.axvline(0, color=QUIET, linewidth=0.8)
    sure = excludes_zero(rows).to_numpy()
    columns = [f"risk_difference{end}" for end in ENDS]
    for chosen, colour, label in (
        (sure, POSTERIOR, "interval leaves zero out"),
        (~sure, PRIOR, "interval holds zero"),
    ):
        picked = [(i, row) for i, row in enumerate(rows.to_dict("records")) if chosen[i]]
        _intervals(axes, picked, columns, colour, "o", label)
    axes.set_yticks(range(len(rows)), labels(rows["level"]))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("difference in refusal probability, percentage points")
    axes.set_ylabel(first["factor"])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8)
    return finish(figure, "contrasts", title)


def draw_by_model(contrasts: pd.DataFrame, banners: Sequence[str]) -> Picture | None:
    """Draw a heat map of the contrasts of the factor asked about within each model.

    Parameters
    ----------
    contrasts : pandas.DataFrame
        Rows of ``contrasts.csv``.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture or None
        The side with more levels down; None if there are fewer than two models.
    """
    rows = contrasts_by_model(contrasts)
    if rows.empty:
        return None
    first = rows.iloc[0]
    values = 100 * rows.pivot(index="level", columns="model", values="risk_difference")
    sure = rows.assign(sure=excludes_zero(rows)).pivot(index="level", columns="model", values="sure")
    # Levels and models in the order of their mean, so that patterns stand together.
    order = values.mean(axis=1).sort_values(ascending=False, kind="stable").index
    values, sure = values.loc[order].sort_index(axis=1), sure.loc[order].sort_index(axis=1)
    values, sure = (table.rename_axis(index=first["factor"]) for table in (values, sure))
    if values.shape[1] > values.shape[0]:
        values, sure = values.T, sure.T
    baseline = baseline_name(first["baseline"], first["factor"])
    title = f"Refusal by {first['factor']} within each model, compared with {baseline}"
    how = (
        "Number: mean difference in refusal probability, percentage points. Bold: the "
        f"{interval_name(first['ci_prob'], first['ci_kind'])} leaves zero out."
    )
    figure = new_figure(1.9 + max(ROW, 2.4 / len(values)) * len(values), title, how, banners)
    axes = figure.subplots()
    limit = float(np.abs(values.to_numpy()).max()) or 1.0
    image = axes.imshow(values.to_numpy(), cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    _write_cells(axes, values.to_numpy(), sure.to_numpy(), limit)
    axes.set_yticks(range(len(values)), labels(values.index))
    axes.set_xticks(range(values.shape[1]), labels(values.columns, 24))
    axes.tick_params(axis="x", rotation=90, length=0)
    axes.set(xlabel=values.columns.name, ylabel=values.index.name)
    axes.spines[:].set_visible(False)
    figure.colorbar(
        image, label="difference, percentage points", orientation="horizontal", aspect=50, shrink=0.6
    )
    return finish(figure, "by_model", title)


def draw_capability(capability: pd.DataFrame | None, banners: Sequence[str]) -> Picture | None:
    """Draw how far personas spread within each model, the most capable model first.

    Parameters
    ----------
    capability : pandas.DataFrame or None
        Rows of ``capability.csv``; None if the fit did not ask.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture or None
        Models down, log-odds on the left, probability on the right; None if the fit did not ask.
    """
    if capability is None:
        return None
    title = "How far refusal differs between personas, by capability of the model"
    level = interval_name(capability["ci_prob"].iloc[0], capability["ci_kind"].iloc[0])
    how = (
        f"Standard deviation over personas within each model; mark: mean, line: {level}. A spread that falls "
        "on the right alone may be a floor: where refusal is rare, probabilities cannot differ much."
    )
    rows = dict(iter(capability.groupby("quantity", sort=False)))
    order = rows["implied_sd"].sort_values("capability", ascending=False, kind="stable")["model"].tolist()
    figure = new_figure(1.1 + 0.28 * len(order), title, how, banners)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, quantity, colour, marker, shift, label in (
        (left, "implied_sd", TOTAL, "s", 0.16, "what capability makes of the spread"),
        (left, "spread_log_odds", POSTERIOR, "o", -0.16, "personas of this study"),
        (right, "spread_probability", POSTERIOR, "o", 0.0, ""),
    ):
        table = rows[quantity].set_index("model").loc[order]
        # Log-odds are no shares: undo the percent.
        scale = 0.01 if axes is left else 1.0
        columns = ["mean", "ci_lower", "ci_upper"]
        found = (table[columns] * scale).to_dict("records")
        _intervals(axes, [(i + shift, row) for i, row in enumerate(found)], columns, colour, marker, label)
    values = rows["implied_sd"].set_index("model")["capability"]
    names = [f"{name} ({values[model]:g})" for model, name in zip(order, labels(order), strict=True)]
    left.set_yticks(range(len(order)), names)
    left.set_ylim(len(order) - 0.5, -0.5)
    left.set_ylabel("model (capability)")
    for axes, unit in ((left, "log-odds"), (right, "percentage points")):
        axes.set_xlim(left=0)
        axes.set_xlabel(f"spread over personas, {unit}")
        axes.grid(axis="x", color=BAND)
        _stripes(axes, len(order))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=8)
    return finish(figure, "capability", title)


def draw_sensitivity(
    frames: Mapping[str, pd.DataFrame], nested: Mapping[str, str], banners: Sequence[str]
) -> Picture:
    """Draw the given-data indices of each factor beside what chance alone makes of them.

    Parameters
    ----------
    frames : mapping
        ``sensitivity``, and ``variance`` for the kind of interval.
    nested : mapping
        Nested factor to its parent.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture
        Factors down, one panel for each index.
    """
    table, variance = frames["sensitivity"], frames["variance"]
    title = "How strongly refusals differ by factor, without any model"
    level = interval_name(variance["ci_prob"].iloc[0], variance["ci_kind"].iloc[0])
    how = (
        f"Mark: index of the counts themselves. Line: {level} (bootstrap). Bar: 95 % of the indices of "
        "shuffled refusals lie left of it; a mark at or left of its bar is no more than chance. Mark and bar "
        "of what is nested hold its parent's effect."
    )
    terms = list(dict.fromkeys(table["term"]))
    figure = new_figure(0.9 + 0.32 * len(terms), title, how, banners)
    panels = figure.subplots(1, len(INDICES), sharey=True)
    for axes, (index, name) in zip(panels, INDICES.items(), strict=True):
        rows = table[table["index"] == index].set_index("term").loc[terms]
        found = list(enumerate(rows.to_dict("records")))
        _intervals(axes, found, ("value", "ci_lower", "ci_upper"), POSTERIOR, "o", "index of the data")
        axes.plot(
            100 * rows["null_q95"],
            range(len(terms)),
            linestyle="none",
            marker="|",
            markersize=13,
            markeredgewidth=2.2,
            color=OBSERVED,
            label="chance alone, 95 % quantile",
        )
        axes.set_xlim(left=-0.02 * axes.get_xlim()[1])
        axes.set_xlabel(f"{name}, %")
        axes.grid(axis="x", color=BAND)
        _stripes(axes, len(terms))
    panels[0].set_yticks(range(len(terms)), labels(term_name(term, nested) for term in terms))
    panels[0].set_ylim(len(terms) - 0.5, -0.5)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=8)
    return finish(figure, "sensitivity", title)


def _intervals(
    axes: Axes,
    rows: Sequence[tuple[float, Mapping[Any, Any]]],
    columns: Sequence[str],
    colour: str,
    marker: str,
    label: str,
) -> None:
    """Draw means and intervals at heights, in percent."""
    if not rows:
        return
    heights = [height for height, _ in rows]
    mean, lower, upper = (np.array([100 * row[column] for _, row in rows]) for column in columns)
    # An estimate may lie outside its interval.
    axes.hlines(heights, lower, upper, color=colour, linewidth=1.6)
    axes.plot(mean, heights, linestyle="none", marker=marker, markersize=5, color=colour, label=label)


def _stripes(axes: Axes, rows: int) -> None:
    """Shade every other row, so that the eye keeps to its term."""
    for row in range(0, rows, 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F6F6F6", zorder=-1)


def _write_cells(axes: Axes, values: np.ndarray, sure: np.ndarray, limit: float) -> None:
    """Write each number into its cell, if the cells are wide enough for it."""
    if values.shape[1] > 5 * WIDTH:
        return
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            f"{value:+.0f}" if abs(value) >= 0.5 else "0",
            ha="center",
            va="center",
            size=7,
            weight="bold" if sure[row, column] else "normal",
            color="white" if abs(value) > 0.6 * limit else "#222222",
        )
