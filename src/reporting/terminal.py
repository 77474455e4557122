"""What a fit and its report show in the terminal: aligned tables, notes and the verdict.

Every table stands within 80 columns: numbers never wrap, names do.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from src.effects.tables import Tables
from src.reporting.findings import (
    agreement,
    answer,
    baseline_name,
    contrasts_by_model,
    dependence,
    overall_contrasts,
    rankings,
    share,
    terms_by_share,
)
from src.reporting.finished import Fit
from src.reporting.words import (
    INDICES,
    SIMULATED,
    detector_rows,
    interval_name,
    left_out_name,
    number,
    percent,
    plain,
    points,
    term_name,
    warnings_above,
)

SHARE_TABLES = {
    "Share of variance of the refusal probability, %": {
        "own": ("variance", "probability_first"),
        "total": ("variance", "probability_total"),
        "own, prior": ("variance_prior", "probability_first"),
    },
    "Share of variance of a response's log-odds, %": {
        "these levels": ("variance", "finite"),
        "new levels": ("variance", "latent"),
        "new levels, prior": ("variance_prior", "latent"),
    },
}
"""Title to columns; each column shows a scale of ``variance.csv`` or ``variance_prior.csv``."""
NARROW = 80
"""Columns of a narrow terminal."""
MOST_LEVELS = 20
"""Rows of the table of contrasts."""
MOST_PAIRS = 10
"""Rows of the table of contrasts within models."""
ENDS = ("", "_ci_lower", "_ci_upper")
"""Endings of the columns of a contrast: its mean and its interval."""
PIPED_WIDTH = 120
"""Columns where there is no terminal."""


def show_plan(
    counts: Mapping[str, Any], terms: Mapping[str, int], prior: str, extremes: float, notes: list[str]
) -> None:
    """Show what is about to be fitted.

    Parameters
    ----------
    counts : mapping
        ``cells``, ``trials``, ``refusals``, ``simulated``, and ``labelled`` if refusals are only flags.
    terms : mapping
        Term to number of effects.
    prior : str
        Name of the prior family.
    extremes : float
        Prior mass of cells with a refusal rate below .01 or above .99.
    notes : list of str
        About data and terms.
    """
    console = make_console()
    if counts["simulated"]:
        _say(console, f"[bold red]{SIMULATED}[/]")
    rate = 100 * counts["refusals"] / counts["trials"]
    flagged = "flagged as refusals" if counts.get("labelled") else "refusals"
    _say(
        console,
        f"{counts['trials']:,} responses, {counts['refusals']:,} {flagged} ({rate:.1f} %), "
        f"{counts['cells']:,} distinct cells",
    )
    _say(console, "terms: " + escape(", ".join(f"{name} ({size})" for name, size in terms.items())))
    _say(
        console,
        f"prior: {prior}; {100 * extremes:.0f} % of its mass has a refusal rate below 1 % or above 99 %",
    )
    for note in notes:
        _say(console, f"note: {escape(note)}")


def show_fit(folder: Path, tables: Tables, diagnostics: Mapping[str, Any]) -> None:
    """Show the tables of a fit that has just been made.

    Parameters
    ----------
    folder : Path
        Where the files lie.
    tables : Tables
        Of the fit.
    diagnostics : mapping
        As in ``diagnostics.json``.
    """
    console = make_console()
    show_tables(console, tables.frames, diagnostics, diagnostics["configuration"]["nested"])
    show_verdict(console, diagnostics)
    _say(console, f"written: {escape(str(folder))}/")


def show_report(page: Path, fit: Fit, more: Sequence[str] = ()) -> None:
    """Show the tables of a finished fit, then the answer in words and where the page lies.

    Parameters
    ----------
    page : Path
        The report's page.
    fit : Fit
        The fit.
    more : sequence of str
        Sentences that follow the answer.
    """
    console = make_console()
    show_tables(console, fit.frames, fit.diagnostics, fit.nested)
    for sentence in [*answer(fit.frames, fit.diagnostics, fit.nested), *more]:
        _say(console, escape(sentence))
    console.print()
    show_verdict(console, fit.diagnostics)
    _say(console, f"written: {escape(str(page))}")


def show_tables(
    console: Console,
    frames: Mapping[str, pd.DataFrame],
    diagnostics: Mapping[str, Any],
    nested: Mapping[str, str],
) -> None:
    """Show banners and every table.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    frames : mapping
        The tables of the fit.
    diagnostics : mapping
        As in ``diagnostics.json``.
    nested : mapping
        Nested factor to its parent.
    """
    _banners(console, diagnostics)
    tables = [
        *(shares_table(title, frames, nested) for title in SHARE_TABLES),
        sds_table(frames["effects"], nested),
        sensitivity_table(frames["sensitivity"], frames["variance"], nested),
        ranking_table(frames["ranking"], nested),
    ]
    overall, by_model = overall_contrasts(frames["contrasts"]), contrasts_by_model(frames["contrasts"])
    for contrasts, most in ((overall, MOST_LEVELS), (by_model, MOST_PAIRS)):
        if len(contrasts):
            tables.append(contrasts_table(contrasts.head(most), len(contrasts)))
    if "detector_error" in frames:
        tables.append(detector_table(frames["detector_error"]))
    if "compare" in frames:
        tables.append(compare_table(frames["compare"], nested))
    for table in tables:
        console.print(table)
        if table.caption:
            console.print()


def show_verdict(console: Console, diagnostics: Mapping[str, Any]) -> None:
    """Show notes, warnings and whether the draws may be called a result."""
    for note in diagnostics["notes"]:
        _say(console, f"note: {escape(note)}")
    for warning in diagnostics["warnings"]:
        _say(console, f"[bold red]warning:[/] {escape(warning)}")
    colour = {"pass": "green", "fail": "red"}.get(diagnostics["verdict"], "yellow")
    _say(
        console,
        f"verdict: [bold {colour}]{escape(diagnostics['verdict'])}[/]   "
        f"R-hat {number(diagnostics['rhat_max'], '.3f')}, "
        f"smallest effective sample size {number(diagnostics['ess_bulk_min'], '.0f')} (bulk) "
        f"{number(diagnostics['ess_tail_min'], '.0f')} (tail), "
        f"divergences {number(diagnostics['divergences'], 'd')}, "
        f"E-BFMI {number(diagnostics['bfmi_min'], '.2f')}; "
        f"{diagnostics['seconds_compile']:.1f} s to set up, {diagnostics['seconds_sample']:.1f} s to sample",
    )
    # Once more at the end, which is what a long output leaves on the screen.
    _banners(console, diagnostics)


def shares_table(title: str, frames: Mapping[str, pd.DataFrame], nested: Mapping[str, str]) -> Table:
    """Lay out the share of variance of each term on one scale, the prior's beside it.

    A star marks a share that moves with the weight of the prior.

    Parameters
    ----------
    title : str
        One of `SHARE_TABLES`.
    frames : mapping
        ``variance``, ``variance_prior`` and ``power_scaling``.
    nested : mapping
        Nested factor to its parent.

    Returns
    -------
    rich.table.Table
        Terms down, in the order of their own share of the variance of probability.
    """
    columns = SHARE_TABLES[title]
    prior_scale = next(scale for frame, scale in columns.values() if frame == "variance_prior")
    table = _table(title, frames["variance"], ["term"], columns)
    for term in terms_by_share(frames["variance"]):
        found = [share(frames[frame], scale, term) for frame, scale in columns.values()]
        if any(found):
            cells = [_summary(row, percent) if row else "" for row in found]
            name = term_name(term, nested)
            if dependence(frames["power_scaling"], prior_scale, term):
                name += " *"
                table.caption = "* moves with the weight of the prior: the data alone do not settle it"
            table.add_row(escape(name), *cells)
    return table


def sensitivity_table(sensitivity: pd.DataFrame, variance: pd.DataFrame, nested: Mapping[str, str]) -> Table:
    """Lay out the given-data indices of each factor, in percent, beside what chance alone makes of them."""
    columns = [c for name in INDICES.values() for c in (name, "chance")]
    table = _table("Model-free sensitivity, %", variance, ["factor"], columns)
    for term in dict.fromkeys(sensitivity["term"]):
        rows = sensitivity[sensitivity["term"] == term].set_index("index")
        cells = []
        for index in INDICES:
            row = rows.loc[index]
            cells += [
                escape(percent(row["value"], row["ci_lower"], row["ci_upper"])),
                f"{100 * row['null_q95']:.1f}",
            ]
        table.add_row(escape(term_name(term, nested)), *cells)
    table.caption = (
        "chance: 95 % of the indices of shuffled refusals lie below; what is nested holds its parent's "
        "index; intervals leave out what chance adds, so an index that is mostly chance may lie above its own"
    )
    return table


def ranking_table(ranking: pd.DataFrame, nested: Mapping[str, str]) -> Table:
    """Lay out how model and given-data indices rank the factors, with their agreement below."""
    headings = ["by the model", "P(first)", "Sobol'", "transport"]
    table = _table("Rank of each factor", ranking, ["factor"], headings)
    for name, cells in rankings(ranking, nested):
        table.add_row(escape(name), *map(escape, cells))
    table.caption = escape(agreement(ranking))
    return table


def sds_table(effects: pd.DataFrame, nested: Mapping[str, str]) -> Table:
    """Lay out intercept and standard deviations, in log-odds, with how well the chains agree."""
    title = "Standard deviations of the effects, log-odds"
    table = _table(title, effects, ["term"], ["mean", "R-hat", "ESS bulk", "ESS tail"])
    for row in effects[effects["term"].isin(["intercept", "sd"])].to_dict("records"):
        table.add_row(
            escape(term_name(row["level"], nested) if row["term"] == "sd" else "intercept"),
            _summary(row, plain),
            number(row["r_hat"], ".3f"),
            number(row["ess_bulk"], ".0f"),
            number(row["ess_tail"], ".0f"),
        )
    return table


def contrasts_table(contrasts: pd.DataFrame, total: int) -> Table:
    """Lay out contrasts of one factor against its baseline.

    Parameters
    ----------
    contrasts : pandas.DataFrame
        Rows of ``contrasts.csv`` in the order to show; with a column ``model`` they are within models.
    total : int
        How many there are, shown or not.

    Returns
    -------
    rich.table.Table
        One row per level, or level and model.
    """
    first = contrasts.iloc[0]
    factor, rope = first["factor"], 100 * first["rope"]
    names = {"level": factor, "model": "model"} if "model" in contrasts else {"level": factor}
    title = f"Difference from {baseline_name(first['baseline'], factor)}{' by model' * (len(names) > 1)}"
    if total > len(contrasts):
        title += f", {len(contrasts)} of {total}"
    numbers = ["points", "P(> 0)", f"P(within ±{rope:g})"]
    table = _table(title, contrasts, names.values(), [*["odds ratio"] * (len(names) == 1), *numbers])
    for row in contrasts.to_dict("records"):
        odds = plain(*(row[f"odds_ratio{end}"] for end in ENDS))
        table.add_row(
            *(escape(str(row[name])) for name in names),
            *[escape(odds)] * (len(names) == 1),
            escape(points(*(row[f"risk_difference{end}"] for end in ENDS))),
            f"{row['prob_positive']:.2f}",
            f"{row['prob_rope']:.2f}",
        )
    table.caption = "points: difference in refusal probability, percentage points"
    return table


def detector_table(detector_error: pd.DataFrame) -> Table:
    """Lay out sensitivity and specificity of the detector, and refusal rates, by group, in percent.

    Parameters
    ----------
    detector_error : pandas.DataFrame
        Rows of ``detector_error.csv``.

    Returns
    -------
    rich.table.Table
        At most `MOST_LEVELS` groups, the least sensitive first.
    """
    groups, rows = detector_rows(detector_error)
    title = "The detector, %" + (f", {MOST_LEVELS} of {len(rows)}" if len(rows) > MOST_LEVELS else "")
    table = _table(title, detector_error, ["group"], groups)
    for name, numbers in rows[:MOST_LEVELS]:
        table.add_row(escape(name), *map(escape, numbers))
    table.caption = (
        "read: labelled refusals, and labelled answers; flags: share of responses that are flagged"
    )
    return table


def compare_table(compare: pd.DataFrame, nested: Mapping[str, str]) -> Table:
    """Lay out how well the model predicts without each of its interactions, the best first."""
    table = _bare_table(
        "Prediction of cells left out (PSIS-LOO)", ["left out"], ["elpd", "behind the best", "k > 0.7"]
    )
    for row in compare.to_dict("records"):
        table.add_row(
            escape(left_out_name(row["left_out"], nested)),
            f"{row['elpd']:,.1f} ± {row['se']:,.1f}",
            f"{abs(row['elpd_diff']):,.1f} ± {row['dse']:,.1f}",
            f"{row['pareto_k_bad']:,.0f} of {row['cells']:,.0f}",
        )
    table.caption = "±: standard error; k > 0.7: cells whose estimate cannot be trusted"
    return table


def make_console() -> Console:
    """Open the terminal, or plain text of a fixed width where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def _table(title: str, intervals: pd.DataFrame, names: Iterable[str], numbers: Iterable[str]) -> Table:
    first = intervals.iloc[0]
    return _bare_table(f"{title} [{interval_name(first['ci_prob'], first['ci_kind'])}]", names, numbers)


def _bare_table(title: str, names: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        min_width=min(len(title), NARROW),
    )
    for column in names:
        table.add_column(escape(column), overflow="fold", min_width=8)
    for column in numbers:
        style = "dim" if column.endswith(("prior", "chance")) else ""
        table.add_column(escape(column), justify="right", no_wrap=True, style=style)
    return table


def _banners(console: Console, diagnostics: Mapping[str, Any]) -> None:
    for banner in warnings_above(diagnostics):
        _say(console, f"[bold red]{banner}[/]")


def _say(console: Console, text: str) -> None:
    """Print running text; in a pipe each sentence stays one line, for those who search it."""
    console.print(text, soft_wrap=not console.is_terminal)


def _summary(row: Any, write: Any) -> str:
    return escape(write(row["mean"], row["ci_lower"], row["ci_upper"]))
