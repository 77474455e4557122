"""How well refusals were read, as tables: detectors against people, and people against each other."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from src.observations.quality import Quality
from src.reporting.annotating import visible
from src.reporting.grids import Grid
from src.reporting.words import number, plain

QUANTITIES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "label_accuracy": "labels right",
}
"""Columns of the table of a detector's quality."""
SHORT = {
    "full_refusal": "full",
    "partial_refusal": "partial",
    "answered": "answered",
    "evasion": "evasion",
    "unparsed": "unparsed",
}
"""Kinds in the headings of the confusion table."""
HOW = (
    "Sensitivity is the share of refusals that the detector reads as refusals; specificity, the share of "
    "other responses that it does not. Both stand for all responses of the study: how many are flagged is "
    "known, and how many of the flagged and of the others are refusals is estimated from the labels, "
    "weighted by how many responses each stands for, each with a Jeffreys prior; intervals are equal-tailed. "
    "Labels right: the task's label, where the person read one (Jeffreys at Kish's effective number). Kappa "
    "is Cohen's, with a normal interval."
)
"""How to read the tables."""


def quality_grids(quality: Quality) -> list[Grid]:
    """Lay out everything that labels by hand say.

    Parameters
    ----------
    quality : Quality
        From `src.observations.quality.study_quality`.

    Returns
    -------
    list of Grid
        For each person and detector the quality by level and the kinds; then kappa.
    """
    table = quality.table
    grids = []
    of_detectors = table[table["against_is"] == "detector"]
    for (annotator, detector), rows in of_detectors.groupby(["annotator", "against"], sort=False):
        level = f"{100 * rows['ci_prob'].iloc[0]:g} % interval"
        grids.append(
            Grid(
                f"How well {detector} reads refusals (refused={quality.refused}), by the labels of "
                f"{annotator}, %: estimate [{level}]",
                ["responses of"],
                ["labels", *QUANTITIES.values()],
                _levels(rows),
            )
        )
        of = (quality.confusion["annotator"] == annotator) & (quality.confusion["against"] == detector)
        grids.append(_confusion(quality.confusion[of], str(annotator), str(detector)))
    kappas = table[table["quantity"].str.startswith("kappa")]
    if len(kappas):
        level = f"{100 * kappas['ci_prob'].iloc[0]:g} % interval"
        grids.append(
            Grid(
                f"Agreement beyond chance: Cohen's kappa [{level}]",
                ["between", "and", "of"],
                ["labels", "kappa"],
                [_kappa(row) for row in kappas.to_dict("records")],
            )
        )
    return grids


def show_quality(console: Console, quality: Quality, files: list[Path]) -> None:
    """Print the tables.

    Parameters
    ----------
    console : Console
        A plain one: names are untrusted text.
    quality : Quality
        From `src.observations.quality.study_quality`.
    files : list of Path
        Where the numbers were written.
    """
    for grid in quality_grids(quality):
        console.print(f"{visible(grid.caption)}:")
        table = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
        for name in grid.names:
            table.add_column(name, overflow="fold", min_width=12)
        for name in grid.numbers:
            table.add_column(name, justify="right", no_wrap=True)
        for names, numbers, _ in grid.rows:
            table.add_row(*(Text(visible(cell)) for cell in (*names, *numbers)))
        console.print(table)
    console.print(HOW)
    for note in quality.notes:
        console.print(f"note: {visible(note)}", soft_wrap=True)
    console.print("written: " + ", ".join(map(str, files)), soft_wrap=True)


def _levels(rows: pd.DataFrame) -> list[tuple[list[str], list[str], bool]]:
    laid = []
    for (factor, level), of in rows.groupby(["factor", "level"], sort=False):
        found = of.set_index("quantity")
        cells = [_percent(found.loc[name]) for name in QUANTITIES]
        name = f"{factor} {level}" if factor else "all"
        laid.append(([name], [number(found["labels"].max(), ",.0f"), *cells], not factor))
    return laid


def _confusion(pairs: pd.DataFrame, annotator: str, detector: str) -> Grid:
    counts = pairs.pivot(index="kind", columns="read", values="labels").loc[list(SHORT), list(SHORT)]
    return Grid(
        f"Labels by kind: {annotator} down, {detector} across",
        ["kind"],
        list(SHORT.values()),
        [([kind.replace("_", " ")], [f"{n:,}" for n in counts.loc[kind]], False) for kind in SHORT],
    )


def _kappa(row: Any) -> tuple[list[str], list[str], bool]:
    of = {"kappa_kinds": "kinds", "kappa_refused": "refused or not"}[row["quantity"]]
    value, lower, upper = (float(row[name]) for name in ("value", "ci_lower", "ci_upper"))
    written = plain(value, lower, upper) if value == value else "-"
    return [row["annotator"], row["against"], of], [number(row["labels"], ",.0f"), written], False


def _percent(row: Any) -> str:
    value = "-" if row["value"] != row["value"] else f"{100 * row['value']:.1f}"
    return f"{value} [{100 * row['ci_lower']:.0f}, {100 * row['ci_upper']:.0f}]"
