"""The report's page: one file that refers to nothing outside, with every name and text escaped."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from src.effects.contrasts import MEAN
from src.inference.diagnostics import BFMI, ESS, R_HAT
from src.observations.quality import Quality
from src.provenance import versions
from src.reporting.agreement import HOW, quality_grids
from src.reporting.detectors import DetectorReport
from src.reporting.examples import Example
from src.reporting.findings import (
    RANKING_HEADINGS,
    agreement,
    answer,
    baseline_name,
    contrasts_by_model,
    dependence,
    excludes_zero,
    overall_contrasts,
    rankings,
    share,
    terms_by_share,
)
from src.reporting.finished import Fit
from src.reporting.grids import Grid
from src.reporting.style import Picture
from src.reporting.words import (
    INDICES,
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

PROBABILITY = {
    "own": ("variance", "probability_first"),
    "total": ("variance", "probability_total"),
    "own, prior": ("variance_prior", "probability_first"),
    "of single responses": ("variance", "observation"),
}
"""Columns of the table of shares on the probability scale: frame and scale."""
LOG_ODDS = {
    "these levels": ("variance", "finite"),
    "new levels": ("variance", "latent"),
    "new levels, prior": ("variance_prior", "latent"),
}
"""Columns of the table of shares on the log-odds scale."""
LARGEST = 10
"""Contrasts within models shown before the rest is folded away."""
ENDS = ("", "_ci_lower", "_ci_upper")
REPORT = ("whyrefuse", "matplotlib", "arviz-plots", "jinja2")
"""Packages whose versions matter to a report."""


def render_page(
    study: str,
    fit: Fit,
    pictures: Mapping[str, Picture],
    rates: Mapping[tuple[str, ...], pd.DataFrame],
    examples: Sequence[Example],
    quality: Quality | None = None,
    detectors: DetectorReport | None = None,
) -> str:
    """Render the page.

    Parameters
    ----------
    study : str
        Name of the study.
    fit : Fit
        The fit.
    pictures : mapping
        By name.
    rates : mapping
        Observed and predicted refusal rates.
    examples : sequence of Example
        Refused responses; may be empty.
    quality : Quality, optional
        What labels by hand say of the detectors.
    detectors : DetectorReport, optional
        Whether the answer depends on the detector.

    Returns
    -------
    str
        HTML that needs no other file, no network and no script.
    """
    environment = Environment(
        loader=PackageLoader("src.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    frames, diagnostics = fit.frames, fit.diagnostics
    first = frames["variance"].iloc[0]
    by_model = contrasts_by_model(frames["contrasts"])
    return environment.get_template("page.html").render(
        study=study,
        diagnostics=diagnostics,
        banners=warnings_above(diagnostics),
        answer=answer(frames, diagnostics, fit.nested),
        rope=None if frames["contrasts"].empty else f"{100 * frames['contrasts']['rope'].iloc[0]:g}",
        levels=[(factor, len(levels)) for factor, levels in fit.structure["levels"].items()],
        pictures={name: (picture.title, _data_uri(picture)) for name, picture in pictures.items()},
        probability=shares_grid("Share of variance of the refusal probability, %", PROBABILITY, fit),
        log_odds=shares_grid("Share of variance of a response's log-odds, %", LOG_ODDS, fit),
        contrasts=contrasts_grids(overall_contrasts(frames["contrasts"])),
        by_model=contrasts_grids(by_model.head(LARGEST)),
        by_model_all=contrasts_grids(by_model.iloc[LARGEST:]),
        others=contrasts_grids(_others(frames["contrasts"])),
        predictions=predictions_grid(fit.frames["predictions"]),
        capability=capability_grid(frames["capability"]) if "capability" in frames else None,
        detector=detector_grid(frames["detector_error"]) if "detector_error" in frames else None,
        compare=compare_grid(frames["compare"], fit.nested) if "compare" in frames else None,
        sensitivity=sensitivity_grid(fit),
        detectors=detectors,
        ranking=ranking_grid(fit),
        agreement=agreement(frames["ranking"]),
        deviations=deviations_grid(fit),
        predictive=predictive_grid(rates, first["ci_prob"]),
        checks=checks_grid(diagnostics),
        examples=examples,
        reading=quality_grids(quality) if quality else None,
        reading_how=HOW,
        reading_notes=quality.notes if quality else [],
        origin=_origin(fit),
        configuration=json.dumps(diagnostics["configuration"], indent=1, ensure_ascii=False),
    )


def mean_and_interval(frame: pd.DataFrame) -> str:
    """Say what the numbers of a table are, such as ``mean [90 % equal-tailed interval]``."""
    first = frame.iloc[0]
    return f"mean [{interval_name(first['ci_prob'], first['ci_kind'])}]"


def shares_grid(caption: str, columns: Mapping[str, tuple[str, str]], fit: Fit) -> Grid:
    """Lay out shares of variance, terms down and scales across."""
    variance, scaling = fit.frames["variance"], fit.frames["power_scaling"]
    prior_scale = next(scale for frame, scale in columns.values() if frame == "variance_prior")
    moved = {term: dependence(scaling, prior_scale, term) for term in terms_by_share(variance)}
    rows = []
    for term, diagnosis in moved.items():
        found = [share(fit.frames[frame], scale, term) for frame, scale in columns.values()]
        if any(found):
            cells = [percent(one["mean"], one["ci_lower"], one["ci_upper"]) if one else "" for one in found]
            cells += [diagnosis] * any(moved.values())
            rows.append(([term_name(term, fit.nested)], cells, False))
    headings = [*columns, *["weight of the prior"] * any(moved.values())]
    return Grid(f"{caption}: {mean_and_interval(variance)}", ["term"], headings, rows)


def contrasts_grids(contrasts: pd.DataFrame) -> list[Grid]:
    """Lay out contrasts, one table for each factor and what it is compared within.

    Parameters
    ----------
    contrasts : pandas.DataFrame
        Rows of ``contrasts.csv``, in the order to show.

    Returns
    -------
    list of Grid
        Rows whose interval leaves zero out stand out.
    """
    grids = []
    kinds = contrasts.assign(inner=contrasts["within"].str.replace("=.*", "", regex=True))
    for (factor, baseline, inner), rows in kinds.groupby(["factor", "baseline", "inner"], sort=False):
        numbers = ["odds ratio", "points", "P(> 0)", f"P(within ±{100 * rows['rope'].iloc[0]:g})"]
        caption = f"Difference of each {factor} from {baseline_name(str(baseline), str(factor))}"
        if inner:
            caption += f" within each {inner}"
        grids.append(
            Grid(
                f"{caption}: {mean_and_interval(rows)}",
                [str(factor), str(inner)] if inner else [str(factor)],
                numbers,
                [
                    _contrast_row(row, sure, bool(inner))
                    for row, sure in zip(rows.to_dict("records"), excludes_zero(rows), strict=True)
                ],
            )
        )
    return grids


def sensitivity_grid(fit: Fit) -> Grid:
    """Lay out the given-data indices of each factor beside their null; those above it stand out."""
    table = fit.frames["sensitivity"]
    rows = []
    for term in dict.fromkeys(table["term"]):
        found = table[table["term"] == term].set_index("index")
        cells = []
        for index in INDICES:
            row = found.loc[index]
            cells += [
                percent(row["value"], row["ci_lower"], row["ci_upper"]),
                f"{100 * row['null_q95']:.1f}",
            ]
        above = bool((found["value"] > found["null_q95"]).all())
        rows.append(([term_name(term, fit.nested)], cells, above))
    numbers = [heading for name in INDICES.values() for heading in (name, "chance")]
    first = fit.frames["variance"].iloc[0]
    level = interval_name(first["ci_prob"], first["ci_kind"])
    return Grid(
        f"Model-free sensitivity, %: index [{level}, bootstrap without what chance adds]",
        ["factor"],
        numbers,
        rows,
    )


def ranking_grid(fit: Fit) -> Grid:
    """Lay out how model and given-data indices rank the factors."""
    rows = [([name], cells, False) for name, cells in rankings(fit.frames["ranking"], fit.nested)]
    caption = f"Rank of each factor (1: the largest): {mean_and_interval(fit.frames['ranking'])}"
    return Grid(caption, ["factor"], RANKING_HEADINGS, rows)


def predictions_grid(predictions: pd.DataFrame) -> Grid:
    """Lay out the refusal probability of a level never asked, factor by factor."""
    rows = [
        ([f"a new {row['factor']}"], [percent(row["mean"], row["ci_lower"], row["ci_upper"])], False)
        for row in predictions.to_dict("records")
    ]
    caption = f"Refusal probability of a new level, %: {mean_and_interval(predictions)}"
    return Grid(caption, ["level"], ["refusal probability"], rows)


def capability_grid(capability: pd.DataFrame) -> Grid:
    """Lay out the spread of personas within each model, the most capable first."""
    tables = {str(name): table.set_index("model") for name, table in capability.groupby("quantity")}
    order = tables["implied_sd"].sort_values("capability", ascending=False, kind="stable").index
    columns = {
        "capability makes of it, log-odds": ("implied_sd", plain),
        "these personas, log-odds": ("spread_log_odds", plain),
        "these personas, points": ("spread_probability", percent),
    }
    rows = []
    for model in order:
        found = [(tables[quantity].loc[model], write) for quantity, write in columns.values()]
        cells = [write(row["mean"], row["ci_lower"], row["ci_upper"]) for row, write in found]
        rows.append(([str(model)], [f"{tables['implied_sd'].loc[model, 'capability']:g}", *cells], False))
    caption = f"Standard deviation over personas within each model: {mean_and_interval(capability)}"
    return Grid(caption, ["model"], ["capability", *columns], rows)


def detector_grid(detector_error: pd.DataFrame) -> Grid:
    """Lay out sensitivity and specificity of the detector, and refusal rates, by group."""
    headings, rows = detector_rows(detector_error)
    caption = f"The detector by group, %: {mean_and_interval(detector_error)}"
    return Grid(caption, ["group"], headings, [([name], numbers, False) for name, numbers in rows])


def compare_grid(compare: pd.DataFrame, nested: Mapping[str, str]) -> Grid:
    """Lay out how well the model predicts without each of its interactions, the best first."""
    rows = [
        (
            [left_out_name(row["left_out"], nested)],
            [
                f"{row['elpd']:,.1f} ± {row['se']:,.1f}",
                f"{abs(row['elpd_diff']):,.1f} ± {row['dse']:,.1f}",
                f"{row['pareto_k_bad']:,.0f} of {row['cells']:,.0f}",
            ],
            False,
        )
        for row in compare.to_dict("records")
    ]
    return Grid(
        "Prediction of cells left out: expected log density ± standard error",
        ["left out"],
        ["elpd", "behind the best", "k above 0.7"],
        rows,
    )


def deviations_grid(fit: Fit) -> Grid:
    """Lay out intercept and standard deviations with how well the chains agree."""
    effects = fit.frames["effects"]
    rows = [
        (
            [term_name(row["level"], fit.nested) if row["term"] == "sd" else "intercept"],
            [
                plain(row["mean"], row["ci_lower"], row["ci_upper"]),
                number(row["r_hat"], ".3f"),
                number(row["ess_bulk"], ".0f"),
                number(row["ess_tail"], ".0f"),
            ],
            False,
        )
        for row in effects[effects["term"].isin(["intercept", "sd"])].to_dict("records")
    ]
    return Grid(
        f"Intercept and standard deviations, log-odds: {mean_and_interval(effects)}",
        ["term"],
        ["mean", "R-hat", "ESS bulk", "ESS tail"],
        rows,
    )


def predictive_grid(rates: Mapping[tuple[str, ...], pd.DataFrame], ci_prob: float) -> Grid:
    """Count the observed rates inside their predictive intervals; too few stand out."""
    rows = []
    for factors, table in rates.items():
        inside = int(table["inside"].sum())
        rows.append(
            (
                [" × ".join(factors)],
                [f"{len(table):,}", f"{inside:,}", f"{100 * inside / len(table):.0f} %"],
                _too_few(inside, len(table), ci_prob),
            )
        )
    return Grid(
        f"Observed refusal rates inside the predicted {100 * ci_prob:g} % interval",
        ["by"],
        ["rates", "inside", "share"],
        rows,
    )


def checks_grid(diagnostics: Mapping[str, Any]) -> Grid:
    """Lay out what the verdict rests on."""
    checks = (
        ("largest R-hat", "rhat_max", ".3f", f"below {R_HAT}"),
        ("smallest bulk effective sample size", "ess_bulk_min", ",.0f", f"above {ESS}"),
        ("smallest tail effective sample size", "ess_tail_min", ",.0f", f"above {ESS}"),
        ("divergent transitions", "divergences", ",d", "0"),
        ("smallest E-BFMI", "bfmi_min", ".2f", f"above {BFMI}"),
    )
    rows = [([name], [number(diagnostics[key], form), wanted], False) for name, key, form, wanted in checks]
    return Grid(f"Verdict: {diagnostics['verdict']}", ["check"], ["found", "wanted"], rows)


def _contrast_row(row: Mapping[Any, Any], sure: bool, inner: bool) -> tuple[list[str], list[str], bool]:
    return (
        [row["level"], row["within"].partition("=")[2]] if inner else [row["level"]],
        [
            plain(*(row[f"odds_ratio{end}"] for end in ENDS)),
            points(*(row[f"risk_difference{end}"] for end in ENDS)),
            f"{row['prob_positive']:.2f}",
            f"{row['prob_rope']:.2f}",
        ],
        bool(sure),
    )


def _others(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Keep what is compared with the mean, and neither shown elsewhere nor within a model."""
    shown = overall_contrasts(contrasts).index
    kept = contrasts[(contrasts["baseline"] == MEAN) & ~contrasts["within"].str.startswith("model=")]
    return kept.drop(index=shown, errors="ignore")


def _too_few(inside: int, of: int, ci_prob: float) -> bool:
    """Whether chance would leave as few inside in less than one case in a hundred."""
    from scipy.stats import binom

    return bool(binom.cdf(inside, of, ci_prob) < 0.01)


def _data_uri(picture: Picture) -> str:
    """Embed whichever file is smaller; both are sharp on a screen."""
    content, kind = min(((picture.svg, "svg+xml"), (picture.png, "png")), key=lambda one: len(one[0]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _origin(fit: Fit) -> list[tuple[str, str]]:
    found = fit.diagnostics
    seconds = f"{found['seconds_compile']:.1f} s to set up, {found['seconds_sample']:.1f} s to draw"
    return [
        ("fitted", f"{found['created']}, method {found['method']}, {seconds}"),
        ("observations", f"hash {found['observations_hash']}"),
        ("versions of the fit", _listed(found["versions"].items())),
        ("versions of the report", _listed(versions(REPORT).items())),
    ]


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in pairs)
