"""One look for every picture: palette, headings, and files that are the same bytes for the same fit."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

POSTERIOR = "#0072B2"
TOTAL = "#56B4E9"
PRIOR = "#8C8C8C"
OBSERVED = "#D55E00"
ALERT = "#B2182B"
QUIET = "#595959"
BAND = "#E8E8E8"
CHAINS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442"]
"""Colours that stay apart for colour-blind readers: Okabe & Ito 2008, Color Universal Design, and greys."""
DIVERGING = "PuOr_r"
"""Colours of differences, purple to orange; safe for colour-blind readers (Brewer)."""
WIDTH = 8.0
"""Inches."""
DPI = 160
BANNER_TEXT = {"color": ALERT, "weight": "bold", "size": 8.5}
TITLE_TEXT = {"size": 11.5, "weight": "bold"}
SMALL_TEXT = {"color": QUIET, "size": 8}

RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#B0B0B0",
    "axes.grid": False,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    # Identifiers in SVG files would otherwise be random.
    "svg.hashsalt": "whyrefuse",
    # Names of levels are text, whatever dollar signs they hold.
    "text.parse_math": False,
    "xtick.color": "#555555",
    "ytick.color": "#333333",
    "ytick.major.size": 0,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn picture."""

    name: str
    """Of its files, without ending."""
    title: str
    """Its heading."""
    png: bytes
    """As pixels, `DPI` to an inch."""
    svg: bytes
    """As lines."""


@contextmanager
def drawing() -> Iterator[None]:
    """Draw without a screen and in one style; a character that the font lacks is no reason to warn."""
    mpl.use("Agg")
    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(height: float, title: str, how_to_read: str, banners: Sequence[str]) -> Figure:
    """Start a figure with a heading.

    Parameters
    ----------
    height : float
        Inches below the heading.
    title : str
        What is shown, without the finding.
    how_to_read : str
        What marks and lines mean.
    banners : sequence of str
        What must stand over every output.

    Returns
    -------
    matplotlib.figure.Figure
        Empty below the heading, where its layout keeps everything.
    """
    lines = heading(title, how_to_read, banners)
    figure = Figure(figsize=(WIDTH, height + lines[-1].below), layout="constrained")
    write_heading(figure, lines)
    return figure


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a heading."""

    text: str
    how: dict[str, Any]
    """Colour, weight and size."""
    top: float
    """Inches below the figure's upper edge."""
    below: float
    """Inches from there to where the next may begin."""


def heading(title: str, how_to_read: str, banners: Sequence[str]) -> list[Line]:
    """Break a heading into lines and stack them."""
    lines, top = [], 0.08
    for texts, width, how, height in (
        (banners, 92, BANNER_TEXT, 0.19),
        ([title], 80, TITLE_TEXT, 0.25),
        ([how_to_read], 136, SMALL_TEXT, 0.155),
    ):
        for text in (line for one in texts for line in textwrap.wrap(one, width)):
            lines.append(Line(text, how, top, top + height + 0.08))
            top += height
    return lines


def write_heading(figure: Figure, lines: Sequence[Line]) -> None:
    """Write lines at the top left, and keep the rest of the figure below them."""
    height = figure.get_figheight()
    for line in lines:
        figure.text(0.08 / figure.get_figwidth(), 1 - line.top / height, line.text, va="top", **line.how)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, 0, 1, 1 - lines[-1].below / height), wspace=0.05)  # type: ignore[call-arg]


def finish(figure: Figure, name: str, title: str) -> Picture:
    """Turn a figure into the bytes of its files, which depend on nothing but the figure."""
    # Laid out once: both files are the same picture, and layout is the slowest part.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    files = {}
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        with io.BytesIO() as file:
            figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
            files[kind] = file.getvalue()
    return Picture(name, title, files["png"], files["svg"])
