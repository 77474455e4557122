"""Whether the answer depends on which detector read the refusals, in tables and sentences."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from src.effects.detectors import correlations, rank_factors
from src.errors import InputError
from src.observations.agreement import cohen_kappa
from src.observations.side_by_side import PEOPLE, SideBySide, read_side_by_side, reduced
from src.reporting.findings import share, terms_by_share
from src.reporting.finished import Fit, read_fit
from src.reporting.grids import Grid
from src.reporting.words import interval_name, percent, plain, term_name
from src.study.paths import StudyPaths

PLACES = ("detector", "output", "study", "runs_dir")
"""Keys of a fit's configuration that two fits may differ in and yet be compared by detector."""
SCALE = "probability_first"
"""Scale of the shares that are compared."""
FEWEST_BY_PEOPLE = 200
"""Labels given by people by which factors are ranked."""


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What the labels of several detectors say about each other and about the factors."""

    sentences: list[str]
    """The finding in words."""
    grids: list[Grid]
    """The tables behind it."""


def compare_detectors(paths: StudyPaths, fit: Fit) -> DetectorReport | None:
    """Compare the detectors whose labels or fits a study holds.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    fit : Fit
        The fit that is reported.

    Returns
    -------
    DetectorReport or None
        None if there is nothing to compare, or the fit is of a table from elsewhere.

    Raises
    ------
    InputError
        If the responses are damaged.
    """
    if fit.diagnostics["configuration"].get("observations") is not None:
        return None
    factors = list(fit.structure["levels"])
    labels = read_side_by_side(paths, [*factors, *["model"] * ("model" not in factors)])
    report = DetectorReport([], [])
    first = fit.frames["variance"].iloc[0]
    if labels is not None:
        _agreement(report, labels, float(first["ci_prob"]))
        everybody = [*labels.detectors, *[PEOPLE] * labels.people]
        for names in [labels.detectors] if everybody == labels.detectors else [labels.detectors, everybody]:
            _rankings(report, labels, names, factors, fit)
    fits = fits_by_detector(paths, fit)
    if len(fits) > 1:
        _shares(report, fits, fit)
    if labels is not None:
        report.sentences.extend(f"Note: {note}." for note in labels.notes)
    return report if report.grids else None


def fits_by_detector(paths: StudyPaths, fit: Fit) -> dict[str, Fit]:
    """Find the fits that differ from one in nothing but the detector.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    fit : Fit
        The fit that is reported.

    Returns
    -------
    dict of str to Fit
        By detector, sorted; a second fit of one detector is named with its folder. A fit of the study's own
        table goes by the detector that the table names, if it is still the table that was fitted. Empty if
        there is no other such fit.
    """
    alike = []
    for path in sorted(paths.root.rglob("diagnostics.json")):
        # A fit that is under way or damaged is none to compare with.
        with suppress(InputError):
            other = fit if path.parent == fit.folder else read_fit(path.parent)
            alike += [other] * _alike(other, fit)
    found: dict[str, Fit] = {}
    for other in alike if len(alike) > 1 else []:
        name = _detector(paths, other)
        if name is not None:
            found[f"{name}, {other.folder.relative_to(paths.root)}" if name in found else name] = other
    return dict(sorted(found.items()))


def _alike(fit: Fit, other: Fit) -> bool:
    def rest(one: Fit) -> dict[str, Any]:
        asked = one.diagnostics["configuration"]
        return {key: value for key, value in asked.items() if key not in PLACES}

    return rest(fit) == rest(other)


def _detector(paths: StudyPaths, fit: Fit) -> str | None:
    """Name the detector of a fit; None if the table it was made from is gone."""
    asked = fit.diagnostics["configuration"]
    if asked.get("detector"):
        return str(asked["detector"]["name"])
    from src.inference.cells import read_cells
    from src.inference.store import hash_cells

    try:
        cells = read_cells(
            paths.observations, asked["factors"], asked["columns"], asked.get("generation", "newest")
        )
        if hash_cells(cells) != fit.diagnostics["observations_hash"]:
            return None
        names = pc.unique(pq.read_table(paths.observations, columns=["detector"])["detector"]).to_pylist()
    except (InputError, pa.ArrowException, OSError, KeyError, ValueError):
        return None
    return ", ".join(map(str, names))


def _agreement(report: DetectorReport, labels: SideBySide, ci_prob: float) -> None:
    """Say how often the detectors, and people, read the same, and how much each reads as refused."""
    names = [*labels.detectors, *[PEOPLE] * labels.people]
    rows = []
    for first, second in combinations(names, 2):
        both = labels.rows[[first, second]].dropna().astype(bool)
        kappa = cohen_kappa(both[first].tolist(), both[second].tolist(), ci_prob)
        shown = "" if np.isnan(kappa.value) else plain(kappa.value, kappa.lower, kappa.upper)
        rates = [f"{100 * both[name].mean():.1f}" if len(both) else "" for name in (first, second)]
        rows.append(([first, second], [f"{len(both):,}", *rates, shown], False))
    level = f"{100 * ci_prob:g} % interval"
    numbers = ["responses", "first, % refused", "second, % refused", f"kappa [{level}]"]
    report.grids.append(Grid("Agreement of detectors, two at a time", ["first", "second"], numbers, rows))

    shared = labels.shared(labels.detectors)
    if "model" in labels.factors and len(labels.detectors) > 1 and len(shared):
        by_model = shared.groupby("model", sort=True)[labels.detectors].mean()
        everything = shared[labels.detectors].mean()
        rates_by = [(str(model), rate) for model, rate in by_model.iterrows()]
        report.grids.append(
            Grid(
                f"Responses read as refused, %, of the {len(shared):,} that every detector has read",
                ["model"],
                labels.detectors,
                [
                    ([model], [f"{100 * rate[name]:.1f}" for name in labels.detectors], False)
                    for model, rate in [*rates_by, ("all", everything)]
                ],
            )
        )
        said = ", ".join(f"{name} {100 * everything[name]:.1f} %" for name in labels.detectors)
        report.sentences.append(f"Of the {len(shared):,} responses that every detector has read: {said}.")


def _rankings(
    report: DetectorReport, labels: SideBySide, names: Sequence[str], of: Sequence[str], fit: Fit
) -> None:
    """Rank the factors of a fit by each of some labellings, without its model, on what all have read."""
    nested, first = fit.nested, fit.frames["variance"].iloc[0]
    ci_prob, ci_kind = float(first["ci_prob"]), str(first["ci_kind"])
    shared = labels.shared(names)
    factors = [factor for factor in labels.factors if factor in of and shared[factor].nunique() > 1]
    if len(names) < 2 or not factors or len(shared) < (FEWEST_BY_PEOPLE if PEOPLE in names else 1):
        return
    where = f", on the {len(shared):,} responses that people have labelled too" if PEOPLE in names else ""
    kept = {child: parent for child, parent in nested.items() if parent in factors and child in factors}
    found = rank_factors(
        *reduced(shared, factors, names),
        factors,
        names,
        np.random.default_rng(1),
        kept,
        ci_prob,
        ci_kind,
    )
    cells = found.table.set_index(["term", "detector"])
    rows = [
        (
            [term_name(term, nested)],
            [_ranked(cells.loc[(term, name)], "index") for name in names],
            False,
        )
        for term in dict.fromkeys(found.table["term"])
    ]
    caption = f"Rank and index of each factor by detector, without a model{where}, %: "
    caption += f"rank, index beyond chance [{interval_name(ci_prob, ci_kind)}, bootstrap]"
    report.grids.append(Grid(caption, ["factor"], list(names), rows))
    report.grids.append(_rank_grid(found.agreement, where))
    top = found.table[found.table["rank"] == 1].set_index("detector")["term"]
    report.sentences.append(_top(f"Without a model{where}", top, nested))
    unsure = found.agreement[found.agreement["prob_same_top"] < ci_prob]
    for row in unsure.to_dict("records"):
        report.sentences.append(
            f"By {row['first']} and {row['second']}{where} the same factor is on top in "
            f"{100 * row['prob_same_top']:.0f} % of resampled data sets: chance alone could change this."
        )


def _shares(report: DetectorReport, fits: Mapping[str, Fit], fit: Fit) -> None:
    """Compare what each term explains by the fits of several detectors."""
    first = fit.frames["variance"].iloc[0]
    terms = [t for t in terms_by_share(fit.frames["variance"]) if share(fit.frames["variance"], SCALE, t)]
    shares = {
        name: pd.DataFrame([share(one.frames["variance"], SCALE, term) for term in terms], index=terms)
        for name, one in fits.items()
    }
    for one in shares.values():
        one["rank"] = one["mean"].rank(ascending=False, method="first").astype(int)
    rows = [
        ([term_name(term, fit.nested)], [_ranked(one.loc[term], "mean") for one in shares.values()], False)
        for term in terms
    ]
    level = interval_name(first["ci_prob"], first["ci_kind"])
    caption = f"Own share of the variance of the refusal probability by detector, %: rank, mean [{level}]"
    report.grids.append(Grid(caption, ["term"], list(shares), rows))
    pairs = [
        (a, b, *correlations(shares[a]["mean"].to_numpy(), shares[b]["mean"].to_numpy()))
        for a, b in combinations(shares, 2)
    ]
    report.grids.append(_rank_grid(pd.DataFrame(pairs, columns=["first", "second", "spearman", "kendall"])))
    top = pd.Series({name: str(one["mean"].idxmax()) for name, one in shares.items()})
    report.sentences.append(_top("By the fitted model", top, fit.nested))


def _ranked(row: Any, value: str) -> str:
    return f"{int(row['rank'])}. {percent(row[value], row['ci_lower'], row['ci_upper'])}"


def _rank_grid(pairs: pd.DataFrame, where: str = "") -> Grid:
    """Lay out how far two rankings agree."""
    measures: dict[str, tuple[str, float, str]] = {
        "spearman": ("Spearman", 1, "z.2f"),
        "kendall": ("Kendall", 1, "z.2f"),
        "prob_same_top": ("same factor on top, %", 100, ".0f"),
    }
    shown = {column: measure for column, measure in measures.items() if column in pairs}
    rows = [
        (
            [str(row["first"]), str(row["second"])],
            [
                "" if np.isnan(row[column]) else f"{scale * row[column]:{form}}"
                for column, (_, scale, form) in shown.items()
            ],
            False,
        )
        for row in pairs.to_dict("records")
    ]
    caption = (
        f"Agreement of the rankings{where}, and share of resampled data sets with the same factor on top"
    )
    if "prob_same_top" not in pairs:
        caption = "Agreement of the rankings by own share"
    return Grid(caption, ["first", "second"], [heading for heading, _, _ in shown.values()], rows)


def _top(how: str, top: pd.Series, nested: Mapping[str, str]) -> str:
    """Say whether the factor on top depends on the detector."""
    terms = {name: term_name(str(term), nested) for name, term in top.items()}
    if len(set(terms.values())) == 1:
        who = "every detector, like people," if PEOPLE in terms else "every detector"
        return f"{how} {who} puts {next(iter(terms.values()))} first."
    said = ", ".join(f"{term} by {name}" for name, term in terms.items())
    return f"{how} what explains most DEPENDS ON THE DETECTOR: {said}."
