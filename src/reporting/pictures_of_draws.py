"""Pictures drawn from the draws of a fit: standard deviations, predictive checks, and agreement of chains."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.reporting.style import (
    BAND,
    CHAINS,
    OBSERVED,
    POSTERIOR,
    PRIOR,
    QUIET,
    WIDTH,
    Picture,
    finish,
    heading,
    new_figure,
    write_heading,
)
from src.reporting.words import interval_name, labels, shortened, term_name

PANELS = 4
"""Panels side by side."""
ROW = 0.18
"""Inches of one level in a list."""
MOST_LABELS = 60
"""Levels that can each have a label."""
ROWS_UNLABELLED = 30
"""Rows that more levels share."""
FEWEST_TRIALS = 10
"""Responses of a pair of levels, on average, below which a rate says too little to be drawn."""


def draw_sds(
    posterior: xr.Dataset, prior: xr.Dataset, nested: Mapping[str, str], banners: Sequence[str]
) -> Picture:
    """Draw the posterior density of each standard deviation over its prior's.

    Parameters
    ----------
    posterior, prior : xarray.Dataset
        Groups with ``sd`` by term.
    nested : mapping
        Nested factor to its parent.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture
        One panel for each term.
    """
    from arviz_plots import plot_prior_posterior

    title = "How far levels differ: standard deviation of each term's effects"
    how = (
        "Blue: posterior density. Grey: prior density. With a standard deviation of 1, one level in three "
        "multiplies or divides the odds of refusal by more than 2.7."
    )
    tree = xr.DataTree.from_dict({"posterior": _by_name(posterior, nested), "prior": _by_name(prior, nested)})
    collection = plot_prior_posterior(
        tree,
        backend="matplotlib",
        col_wrap=PANELS,
        color=[PRIOR, POSTERIOR],
        figure_kwargs=_panels(len(tree["posterior"].data_vars)),
    )
    return _finish_collection(collection, "standard_deviations", title, how, banners, "log-odds")


def draw_ranks(posterior: xr.Dataset, nested: Mapping[str, str], banners: Sequence[str]) -> Picture | None:
    """Draw how the ranks of intercept and standard deviations spread over the chains.

    Parameters
    ----------
    posterior : xarray.Dataset
        Group with ``intercept`` and ``sd`` by term.
    nested : mapping
        Nested factor to its parent.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture or None
        None for a single chain, which cannot disagree.

    Notes
    -----
    Säilynoja, Bürkner & Vehtari 2022, Graphical test for discrete uniformity.
    """
    from arviz_plots import plot_rank

    if posterior.sizes["chain"] < 2:
        return None
    title = "Do the chains agree? Ranks of the draws in each chain"
    how = (
        "A line for each chain: how far the ranks of its draws among all draws are from an even spread. "
        "Lines that wander around zero agree; p is that of a test of agreement, alarming below α."
    )
    data = _by_name(posterior, nested).assign(intercept=posterior["intercept"])
    collection = plot_rank(
        xr.DataTree.from_dict({"posterior": data}),
        backend="matplotlib",
        col_wrap=PANELS,
        color=CHAINS,
        visuals={"ecdf_lines": {"width": 0.9}},
        figure_kwargs=_panels(len(data.data_vars)),
    )
    return _finish_collection(collection, "ranks", title, how, banners, "rank of the draw")


def draw_predictive_levels(
    rates: Mapping[tuple[str, ...], pd.DataFrame], ci_prob: float, ci_kind: str, banners: Sequence[str]
) -> Picture:
    """Draw observed and predicted refusal rates by level of every factor.

    Parameters
    ----------
    rates : mapping
        From `src.reporting.predictive.predictive_rates`.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : str
        Their kind.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture
        One panel for each factor, in two columns of about the same height.
    """
    title = "Does the fitted model predict the refusal rates of every level?"
    how = (
        f"Blue: rate predicted for as many responses, mean and {interval_name(ci_prob, ci_kind)}. Orange: "
        "rate observed. Orange marks outside their lines are levels that the model does not describe."
    )
    tables = {factors[0]: table for factors, table in rates.items() if len(factors) == 1}
    columns: list[list[str]] = [[], []]
    for factor in sorted(tables, key=lambda f: -_rows(tables[f])):
        min(columns, key=lambda names: sum(_rows(tables[f]) + 4 for f in names)).append(factor)
    columns = [names for names in columns if names]
    tallest = max(sum(_rows(tables[f]) + 4 for f in names) for names in columns)
    figure = new_figure(0.4 + ROW * tallest, title, how, banners)
    subfigures = figure.subfigures(1, len(columns), squeeze=False)[0]
    for subfigure, names in zip(subfigures, columns, strict=True):
        # A panel that stays empty fills the shorter column.
        heights = [_rows(tables[f]) + 4 for f in names]
        heights += [tallest - sum(heights)] if tallest > sum(heights) else []
        panels = subfigure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes, factor in zip(panels, names, strict=False):
            _predictive_panel(axes, factor, tables[factor])
    handles = subfigures[0].axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", ncols=2, fontsize=8)
    return finish(figure, "predictive_levels", title)


def draw_predictive_pairs(
    rates: Mapping[tuple[str, ...], pd.DataFrame], ci_prob: float, ci_kind: str, banners: Sequence[str]
) -> Picture | None:
    """Draw observed against predicted refusal rates by every pair of factors.

    Parameters
    ----------
    rates : mapping
        From `src.reporting.predictive.predictive_rates`.
    ci_prob : float
        Probability inside the intervals.
    ci_kind : str
        Their kind.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    Picture or None
        One panel for each pair with enough responses; None if there is none.
    """
    tables = {
        factors: table
        for factors, table in rates.items()
        if len(factors) == 2 and table["trials"].mean() >= FEWEST_TRIALS
    }
    if not tables:
        return None
    title = "Does the fitted model predict the refusal rates of every pair of levels?"
    how = (
        f"A mark for each pair of levels; line: {interval_name(ci_prob, ci_kind)} of the rate predicted for "
        f"as many responses. Orange: observed outside, at most {100 * (1 - ci_prob):.0f} % by chance."
    )
    columns = min(3, len(tables))
    rows = -(-len(tables) // columns)
    figure = new_figure(0.3 + 3.0 * rows, title, how, banners)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.ravel()[len(tables) :]:
        axes.set_axis_off()
    for axes, (factors, table) in zip(panels.ravel(), tables.items(), strict=False):
        _pair_panel(axes, table)
        inside = f"{table['inside'].sum():,} of {len(table):,} inside"
        axes.set_title(f"{shortened(' × '.join(factors), 30)}\n{inside}")
    for axes in panels[:, 0]:
        axes.set_ylabel("predicted, %")
    for axes in panels.ravel()[max(0, len(tables) - columns) :]:
        axes.set_xlabel("observed refusal rate, %")
    return finish(figure, "predictive_pairs", title)


def _rows(table: pd.DataFrame) -> int:
    return len(table) if len(table) <= MOST_LABELS else ROWS_UNLABELLED


def _predictive_panel(axes: Axes, factor: str, table: pd.DataFrame) -> None:
    table = table.sort_values("predicted", ascending=False, kind="stable")
    labelled = len(table) <= MOST_LABELS
    heights = np.arange(len(table))
    axes.hlines(heights, 100 * table["lower"], 100 * table["upper"], color=POSTERIOR, linewidth=1.6)
    size = 4.5 if labelled else 2
    axes.plot(100 * table["predicted"], heights, "o", color=POSTERIOR, markersize=size, label="predicted")
    axes.plot(100 * table["observed"], heights, "D", color=OBSERVED, markersize=size - 1, label="observed")
    names = labels(table["level"], 26) if labelled else []
    axes.set_yticks(heights if labelled else [], names, fontsize=8)
    axes.set_ylim(len(table) - 0.3, -0.7)
    axes.set_title(factor if labelled else f"{factor}: {len(table):,} levels")
    axes.set_xlabel("refusal rate, %")
    axes.grid(axis="x", color=BAND)


def _pair_panel(axes: Axes, table: pd.DataFrame) -> None:
    limit = 100 * float(table[["observed", "upper"]].to_numpy().max()) * 1.05 or 1.0
    axes.plot([0, limit], [0, limit], color=QUIET, linewidth=0.8, zorder=0)
    few = len(table) <= 500
    for inside, colour in ((True, POSTERIOR), (False, OBSERVED)):
        chosen = table[table["inside"] == inside]
        seen = 100 * chosen["observed"]
        axes.vlines(
            seen, 100 * chosen["lower"], 100 * chosen["upper"], color=colour, linewidth=0.8, alpha=0.6
        )
        axes.plot(seen, 100 * chosen["predicted"], "o", color=colour, markersize=2.5 if few else 1.2)
    axes.set(xlim=(-0.02 * limit, limit), ylim=(-0.02 * limit, limit), aspect="equal")
    axes.grid(color=BAND)


def _by_name(group: xr.Dataset, nested: Mapping[str, str]) -> xr.Dataset:
    """Make each term's standard deviation a variable of its own, named as a reader says it."""
    terms = [str(term) for term in group["term"].values]
    return xr.Dataset({term_name(t, nested): group["sd"].sel(term=t, drop=True) for t in terms})


def _panels(count: int) -> dict[str, object]:
    rows = -(-count // PANELS)
    return {"figsize": (WIDTH, 0.3 + 1.5 * rows), "layout": "constrained"}


def _finish_collection(
    collection: object, name: str, title: str, how: str, banners: Sequence[str], label: str
) -> Picture:
    """Give ArviZ's figure our heading and labels; it belongs to pyplot, which must let go of it."""
    figure: Figure = collection.viz["figure"].item()  # type: ignore[attr-defined]
    for legend in figure.legends:
        legend.remove()
    lines = heading(title, how, banners)
    figure.set_figheight(figure.get_figheight() + lines[-1].below)
    write_heading(figure, lines)
    for axes in figure.axes:
        axes.set_title(shortened(axes.get_title("left"), 22), fontsize=8.5)
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(labelsize=7.5)
        for text in axes.texts:
            text.set_fontsize(7)
    picture = finish(figure, name, title)
    plt.close(figure)
    return picture
