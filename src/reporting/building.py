"""Builds the report of a fit: pictures first, the page last, each file written aside and renamed."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from src.observations.human import human_path, read_human
from src.observations.quality import Quality, study_quality
from src.reporting.detectors import DetectorReport
from src.reporting.examples import refused_examples
from src.reporting.finished import Fit
from src.reporting.page import render_page
from src.reporting.predictive import predictive_rates
from src.reporting.style import Picture, drawing
from src.reporting.words import warnings_above
from src.study.paths import StudyPaths


def build_report(fit: Fit, paths: StudyPaths, folder: Path, detectors: DetectorReport | None = None) -> Path:
    """Write pictures and page of a fit.

    Parameters
    ----------
    fit : Fit
        The fit.
    paths : StudyPaths
        Its study, for the responses behind it.
    folder : Path
        Made if needed; an earlier report is replaced file by file, the page last.
    detectors : DetectorReport, optional
        Whether the answer depends on the detector.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the draws or the table of responses are damaged.
    """
    # A fit with a detector of its own has labelled its own table.
    tables = (fit.folder / paths.observations.name, paths.observations)
    table = next((path for path in tables if path.is_file()), paths.observations)
    examples = refused_examples(table, list(fit.structure["levels"]))
    first = fit.frames["variance"].iloc[0]
    rates = predictive_rates(
        fit.group("posterior_predictive"),
        fit.group("observed_data"),
        fit.group("constant_data"),
        fit.nested,
        first["ci_prob"],
        first["ci_kind"],
    )
    pictures = draw_pictures(fit, rates)
    quality = quality_of(fit, paths, table)
    page = render_page(paths.study, fit, pictures, rates, examples, quality, detectors)

    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    files = {
        plots / f"{picture.name}.{kind}": content
        for picture in pictures.values()
        for kind, content in (("png", picture.png), ("svg", picture.svg))
    }
    for path, content in files.items():
        _write(path, content)
    for old in plots.glob("*.[ps][nv]g"):
        if old not in files:
            old.unlink()
    _write(folder / "index.html", page.encode())
    return folder / "index.html"


def quality_of(fit: Fit, paths: StudyPaths, table: Path) -> Quality | None:
    """Compare detectors with the study's labels by hand.

    Parameters
    ----------
    fit : Fit
        The fit.
    paths : StudyPaths
        Its study.
    table : Path
        The responses behind it.

    Returns
    -------
    Quality or None
        None without labels, and for a fit of responses from elsewhere.
    """
    if not human_path(paths).is_file() or fit.diagnostics["configuration"].get("observations") is not None:
        return None
    if read_human(paths).empty:
        return None
    return study_quality(paths, ci_prob=fit.frames["variance"].iloc[0]["ci_prob"], table=table)


def draw_pictures(fit: Fit, rates: dict[tuple[str, ...], pd.DataFrame]) -> dict[str, Picture]:
    """Draw every picture that this fit has.

    Parameters
    ----------
    fit : Fit
        The fit.
    rates : dict
        From `src.reporting.predictive.predictive_rates`.

    Returns
    -------
    dict of str to Picture
        By name.
    """
    from src.reporting import pictures as of_tables
    from src.reporting import pictures_of_draws as of_draws

    banners = warnings_above(fit.diagnostics)
    first = fit.frames["variance"].iloc[0]
    interval: tuple[Any, Any] = (first["ci_prob"], first["ci_kind"])
    parameters = ["intercept", "sd"]
    posterior, prior = (fit.group(name, parameters) for name in ("posterior", "prior"))
    # Independent draws of an approximation have no chains that could disagree.
    sampled = fit.diagnostics["verdict"] != "approximate"
    with drawing():
        drawn = [
            of_tables.draw_shares(fit.frames, fit.nested, banners),
            of_tables.draw_contrasts(fit.frames["contrasts"], banners),
            of_tables.draw_by_model(fit.frames["contrasts"], banners),
            of_tables.draw_capability(fit.frames.get("capability"), banners),
            of_tables.draw_sensitivity(fit.frames, fit.nested, banners),
            of_draws.draw_sds(posterior, prior, fit.nested, banners),
            of_draws.draw_predictive_levels(rates, *interval, banners),
            of_draws.draw_predictive_pairs(rates, *interval, banners),
            of_draws.draw_ranks(posterior, fit.nested, banners) if sampled else None,
        ]
    return {picture.name: picture for picture in drawn if picture is not None}


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
