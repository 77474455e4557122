"""What labelling shows in the terminal: responses by model and outcome."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from src.detect.outcomes import OUTCOMES


def show_outcomes(
    written: Path, detector: str, counts: Mapping[str, Mapping[str, int]], notes: Sequence[str] = ()
) -> None:
    """Show how many responses have which outcome, and where the labels are.

    Parameters
    ----------
    written : Path
        The labelled table.
    detector : str
        Name of the detector.
    counts : mapping
        Responses by model (or another name for all of them) and outcome.
    notes : sequence of str
        What else is to be known.
    """
    console = Console(highlight=False)
    console.print(outcome_table(detector, counts))
    for note in notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)
    console.print(f"written: {escape(str(written))}", soft_wrap=True)


def left_out(missing: int, unlabelled: int = 0) -> list[str]:
    """Say which responses have no outcome.

    Parameters
    ----------
    missing : int
        Responses about which the detector gives no verdict.
    unlabelled : int
        Responses that it has not read.

    Returns
    -------
    list of str
        A line for each that is not zero.
    """
    lines = []
    if missing:
        lines.append(f"{missing:,} responses left out: the detector gives no verdict on them")
    if unlabelled:
        lines.append(f"{unlabelled:,} responses left out: they came after the detector; label again")
    return lines


def outcome_table(detector: str, counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Lay out counts and shares, models down and outcomes across.

    Parameters
    ----------
    detector : str
        For the title.
    counts : mapping
        As in `show_outcomes`.

    Returns
    -------
    rich.table.Table
        Each cell is a count with its share of the row's responses.
    """
    title = f"Outcomes by detector {escape(detector)}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for name in ("responses", *OUTCOMES):
        table.add_column(name, justify="right")
    for model, of in counts.items():
        total = sum(of.values())
        shares = (f"{of.get(o, 0):,} ({100 * of.get(o, 0) / max(total, 1):.1f} %)" for o in OUTCOMES)
        table.add_row(escape(model), f"{total:,}", *shares)
    return table
