"""How terms, levels and numbers are written for a reader, in the terminal, in pictures and on the page."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from src.effects.variance import HIGHER_ORDER, RESIDUAL

SIMULATED = "SIMULATED DATA: these responses come from the simulated engine, not from a language model"
"""Stands over every output of a fit of simulated responses."""
APPROXIMATE = "APPROXIMATE POSTERIOR: a first look, not a result; use fit.method=nuts for the exact one"
"""Stands over every output of a fit that did not sample the posterior itself."""
FAILED = "CHECKS FAILED: these draws are not a result"
"""Stands over every output of a fit whose draws failed a check."""

ROWS = {RESIDUAL: "chance of one response", HIGHER_ORDER: "all other interactions"}
"""Rows of the table of shares that are no terms."""
INDICES = {"sobol_first": "Sobol' index", "optimal_transport": "optimal-transport index"}
"""Given-data indices of sensitivity."""
INTERVALS = {"eti": "equal-tailed interval", "hdi": "highest-density interval"}
"""Kinds of credible interval."""


def warnings_above(diagnostics: Mapping[str, Any]) -> list[str]:
    """List what must stand over every output of a fit.

    Parameters
    ----------
    diagnostics : mapping
        As in ``diagnostics.json``.

    Returns
    -------
    list of str
        `SIMULATED`, then `APPROXIMATE` or `FAILED`; empty for a fit of real responses that passed.
    """
    by_verdict = {"approximate": [APPROXIMATE], "fail": [FAILED]}
    return [SIMULATED] * bool(diagnostics["simulated"]) + by_verdict.get(diagnostics["verdict"], [])


def term_name(term: str, nested: Mapping[str, str]) -> str:
    """Write a term as a reader says it.

    Parameters
    ----------
    term : str
        Factors joined by colons, or one of `ROWS`.
    nested : mapping
        Nested factor to its parent.

    Returns
    -------
    str
        ``persona × model`` for an interaction, ``paraphrase within task`` for a nested factor.
    """
    if term in ROWS:
        return ROWS[term]
    factors = term.split(":")
    children = {f: nested[f] for f in factors if nested.get(f) in factors}
    shown = [f for f in factors if f not in children.values()]
    return " × ".join(f"{f} within {children[f]}" if f in children else f for f in shown)


def left_out_name(left_out: str, nested: Mapping[str, str]) -> str:
    """Write which term a compared model lacks; ``nothing`` for the whole model."""
    return term_name(left_out, nested) if left_out else "nothing"


def interval_name(probability: float, kind: str) -> str:
    """Write which interval is shown, such as ``90 % equal-tailed interval``."""
    return f"{100 * probability:g} % {INTERVALS.get(kind, kind)}"


def percent(mean: float, lower: float, upper: float, decimals: int = 1) -> str:
    """Write a share and its interval in percent, without the sign."""
    return _bracketed(f"{100 * value:z.{decimals}f}" for value in (mean, lower, upper))


def percent_in_text(mean: float, lower: float, upper: float) -> str:
    """Write a share in running text: ``55 % [54, 57]``, with a decimal below ten."""
    first, _, rest = percent(mean, lower, upper, decimals=0 if mean >= 0.1 else 1).partition(" ")
    return f"{first} % {rest}"


def points(mean: float, lower: float, upper: float) -> str:
    """Write a difference of probabilities and its interval in percentage points, signed."""
    return _bracketed(f"{100 * value:+.1f}" for value in (mean, lower, upper))


def plain(mean: float, lower: float, upper: float) -> str:
    """Write a number and its interval: two decimals, fewer digits where it is large."""
    return _bracketed(f"{v:z.2f}" if abs(v) < 100 else f"{v:.3g}" for v in (mean, lower, upper))


def number(value: float | None, form: str) -> str:
    """Format a number; a dash where there is none."""
    return "-" if value is None or value != value else format(value, form)


def shortened(name: str, most: int = 34) -> str:
    """Cut the middle out of a long name, so that labels leave room for the picture."""
    if len(name) <= most:
        return name
    head = (most - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def labels(names: Iterable[object], most: int = 34) -> list[str]:
    """Shorten names; if two of them would look alike, all keep their length."""
    full = [str(name) for name in names]
    short = [shortened(name, most) for name in full]
    return short if len(set(short)) == len(set(full)) else full


def detector_rows(detector_error: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Write the rows of a detector's table, group by group, the least sensitive first.

    Parameters
    ----------
    detector_error : pandas.DataFrame
        Rows of ``detector_error.csv``.

    Returns
    -------
    headings : list of str
        Of the columns of numbers.
    rows : list of tuple
        Name of the group and its numbers, in percent.
    """
    found: dict[tuple[str, str], Any] = {
        (row["quantity"], row["level"]): row for row in detector_error.to_dict("records")
    }
    sensitive = sorted(
        (row["mean"], level) for (quantity, level), row in found.items() if quantity == "sensitivity"
    )
    rows = []
    for _, level in sensitive:
        cells = []
        for rate, decimals in (("sensitivity", 0), ("specificity", 1)):
            row = found[rate, level]
            cells += [
                percent(row["mean"], row["ci_lower"], row["ci_upper"], decimals),
                f"{row['responses']:,.0f}",
            ]
        # A group of which nothing was asked has no rate.
        row = found.get(("refusal_rate", level))
        cells += (
            ["-", "-"]
            if row is None
            else [f"{100 * row['observed']:.1f}", percent(row["mean"], row["ci_lower"], row["ci_upper"])]
        )
        rows.append((level, cells))
    return ["sensitivity", "read", "specificity", "read", "flags", "refusals"], rows


def _bracketed(written: Iterable[str]) -> str:
    mean, lower, upper = written
    return f"{mean} [{lower}, {upper}]"
