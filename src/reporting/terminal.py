"""What a fit shows in the terminal: aligned tables, notes and the verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from src.effects.tables import Tables

SIMULATED = "SIMULATED DATA: these responses come from the simulated engine, not from a language model"
"""Stands over every output of a fit of simulated responses."""
SHOWN_SCALES = {"latent": "latent", "probability_first": "probability", "probability_total": "total"}
"""Scales of the terminal's table; the files hold all."""
MOST_ROWS = 20
"""Rows of a contrast table."""


def show_plan(
    counts: Mapping[str, Any], terms: Mapping[str, int], prior: str, extremes: float, notes: list[str]
) -> None:
    """Show what is about to be fitted.

    Parameters
    ----------
    counts : mapping
        ``cells``, ``trials``, ``refusals`` and ``simulated``.
    terms : mapping
        Term to number of effects.
    prior : str
        Name of the prior family.
    extremes : float
        Prior mass of cells with a refusal rate below .01 or above .99.
    notes : list of str
        About data and terms.
    """
    console = Console(highlight=False)
    if counts["simulated"]:
        console.print(f"[bold red]{SIMULATED}[/]")
    console.print(
        f"{counts['trials']:,} responses, {counts['refusals']:,} refusals "
        f"({counts['refusals'] / counts['trials']:.1%}), {counts['cells']:,} distinct cells"
    )
    console.print("terms: " + escape(", ".join(f"{name} ({size})" for name, size in terms.items())))
    console.print(f"prior: {prior}; {extremes:.0%} of its mass has a refusal rate below 1 % or above 99 %")
    for note in notes:
        console.print(f"note: {escape(note)}")


def show_fit(folder: Path, tables: Tables, diagnostics: Mapping[str, Any]) -> None:
    """Show shares, effect sizes and contrasts, then the verdict.

    Parameters
    ----------
    folder : Path
        Where the files lie.
    tables : Tables
        Of the fit.
    diagnostics : mapping
        As in ``diagnostics.json``.
    """
    console = Console(highlight=False)
    if diagnostics["simulated"]:
        console.print(f"[bold red]{SIMULATED}[/]")
    frames = tables.frames
    console.print(shares_table(frames["variance"], frames["variance_prior"]))
    console.print(sds_table(frames["effects"]))
    persona = overall_contrasts(frames["contrasts"])
    if len(persona):
        console.print(contrasts_table(persona.head(MOST_ROWS), len(persona)))
    for note in [*diagnostics["notes"], *diagnostics["warnings"]]:
        console.print(f"note: {escape(note)}")
    colour = {"pass": "green", "fail": "red"}.get(diagnostics["verdict"], "yellow")
    console.print(
        f"verdict: [bold {colour}]{diagnostics['verdict']}[/]   "
        f"R-hat {_number(diagnostics['rhat_max'], '.3f')}, "
        f"smallest effective sample size {_number(diagnostics['ess_bulk_min'], '.0f')} (bulk) "
        f"{_number(diagnostics['ess_tail_min'], '.0f')} (tail), "
        f"divergences {_number(diagnostics['divergences'], 'd')}, "
        f"E-BFMI {_number(diagnostics['bfmi_min'], '.2f')}; "
        f"{diagnostics['seconds_compile']:.1f} s to set up, {diagnostics['seconds_sample']:.1f} s to sample"
    )
    console.print(f"written: {escape(str(folder))}/")


def shares_table(posterior: pd.DataFrame, prior: pd.DataFrame) -> Table:
    """Lay out the share of variance of each term on several scales, the prior's latent share beside it."""
    level, kind = posterior["ci_prob"].iloc[0], posterior["ci_kind"].iloc[0]
    table = Table(
        title=f"Share of variance, % (mean, {level:.0%} {kind.upper()})",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("term")
    for name in SHOWN_SCALES.values():
        table.add_column(name, justify="right")
    table.add_column("latent, prior", justify="right", style="dim")
    by_key = posterior.set_index(["scale", "term"])
    latent = prior[prior["scale"] == "latent"].set_index("term")
    order = posterior[posterior["scale"] == "latent"].sort_values("mean", ascending=False)["term"]
    extra = [t for t in posterior["term"].unique() if t not in set(order)]
    for term in [*order, *extra]:
        cells = [
            _percent(by_key.loc[(scale, term)]) if (scale, term) in by_key.index else ""
            for scale in SHOWN_SCALES
        ]
        table.add_row(escape(term), *cells, _percent(latent.loc[term]) if term in latent.index else "")
    return table


def sds_table(effects: pd.DataFrame) -> Table:
    """Lay out intercept and standard deviations, in log-odds."""
    table = Table(
        title="Standard deviations of the effects (log-odds)", title_justify="left", box=SIMPLE_HEAD
    )
    for name in ("term", "mean and interval", "R-hat", "ESS bulk", "ESS tail"):
        table.add_column(name, justify="left" if name == "term" else "right")
    rows = effects[effects["term"].isin(["intercept", "sd"])]
    for row in rows.to_dict("records"):
        name = row["level"] or row["term"]
        numbers = (
            _number(row["r_hat"], ".3f"),
            _number(row["ess_bulk"], ".0f"),
            _number(row["ess_tail"], ".0f"),
        )
        table.add_row(escape(str(name)), _interval(row), *numbers)
    return table


def overall_contrasts(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Keep the contrasts against a named baseline over all models, largest first."""
    overall = contrasts[(contrasts["within"].fillna("") == "") & (contrasts["baseline"] != "mean")]
    return overall.sort_values("risk_difference", key=abs, ascending=False)


def contrasts_table(contrasts: pd.DataFrame, total: int) -> Table:
    """Lay out contrasts against the baseline."""
    first = contrasts.iloc[0]
    shown = f", the {len(contrasts)} largest of {total}" if total > len(contrasts) else ""
    table = Table(
        title=f"{first['factor']} against {first['baseline']}{shown} (mean, {first['ci_prob']:.0%} "
        f"{first['ci_kind'].upper()})",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for name in ("level", "odds ratio", "difference, points", "P(> 0)", f"P(|d| < {first['rope']:g})"):
        table.add_column(name, justify="left" if name == "level" else "right")
    for row in contrasts.to_dict("records"):
        table.add_row(
            escape(str(row["level"])),
            f"{row['odds_ratio']:.2f} [{row['odds_ratio_ci_lower']:.2f}, {row['odds_ratio_ci_upper']:.2f}]",
            f"{100 * row['risk_difference']:+.1f} [{100 * row['risk_difference_ci_lower']:+.1f}, "
            f"{100 * row['risk_difference_ci_upper']:+.1f}]",
            f"{row['prob_positive']:.2f}",
            f"{row['prob_rope']:.2f}",
        )
    return table


def _interval(row: Any) -> str:
    """Write a mean and its interval."""
    return escape(f"{row['mean']:.2f} [{row['ci_lower']:.2f}, {row['ci_upper']:.2f}]")


def _percent(row: Any) -> str:
    return escape(f"{100 * row['mean']:.1f} [{100 * row['ci_lower']:.1f}, {100 * row['ci_upper']:.1f}]")


def _number(value: Any, form: str) -> str:
    return "-" if value is None or value != value else format(value, form)
