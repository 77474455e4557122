"""Fit the model to a study's responses: ``python -m src.fit study=mine``."""

from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from src.app import hydra_main, job_slug
from src.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def check(cfg: DictConfig) -> None:
    """Find what is wrong with the configuration before any job starts."""
    from src.inference.request import read_request

    read_request(_plain(cfg))
    if cfg.get("detector") is not None:
        from src.detect.registry import check_detector

        check_detector(cfg.detector)


def run(cfg: DictConfig) -> str:
    """Fit one table and write the files of the fit."""
    from src.effects.tables import tables_from_posterior
    from src.inference.comparison import compare_terms
    from src.inference.request import effect_count, fit_request, prior_extremes, read_request
    from src.inference.store import write_fit
    from src.reporting.terminal import show_fit, show_plan
    from src.study.paths import StudyPaths

    request = read_request(_plain(cfg))
    paths = StudyPaths(cfg.runs_dir, cfg.study)
    folder = paths.fit(cfg.output) / (job_slug() or "")
    table = _observations(cfg, paths, folder)
    cells, structure, prior, notes = request.prepare(table, _labels(cfg, request.error.labels, paths))
    counts = {
        "cells": len(cells.trials),
        "trials": int(cells.trials.sum()),
        "refusals": int(cells.refusals.sum()),
        "labelled": cells.error is not None,
    }
    sizes = {
        name: effect_count(structure, term)
        for name, term in zip(structure.names, structure.terms, strict=True)
    }
    show_plan(
        {**counts, "simulated": cells.simulated}, sizes, prior.name, prior_extremes(prior, structure), notes
    )
    result = fit_request(request, cells, structure, prior)
    tables = tables_from_posterior(result.tree, request.tables)
    if request.compare:
        tables.frames["compare"] = compare_terms(request, cells)
    diagnostics = write_fit(folder, result, tables, notes, _plain(cfg))
    show_fit(folder, tables, diagnostics)
    return f"verdict {diagnostics['verdict']}, {folder}/"


def _observations(cfg: DictConfig, paths: Any, folder: "Path") -> "Path":
    """Find the table to fit; with a detector, label what is stored with it first."""
    from pathlib import Path

    if cfg.observations is not None:
        return Path(cfg.observations)
    if cfg.get("detector") is not None:
        from src.observations.labelling import label_study

        label_study(paths.require(), cfg.detector, output=folder / "observations.parquet")
        return folder / "observations.parquet"
    if not paths.observations.is_file():
        paths.require()
        raise InputError(
            f"study {cfg.study} has no {paths.observations}; run python -m src.generate study={cfg.study}, "
            f"or python -m src.detect study={cfg.study} if responses are there"
        )
    return paths.observations


def _labels(cfg: DictConfig, labels: str | None, paths: Any) -> "Path | None":
    """Find a person's labels: the study's own for ``auto``, if they are of the table that is fitted."""
    from pathlib import Path

    from src.inference.detector_error import AUTO
    from src.observations.labels import labels_path

    if labels != AUTO:
        return None if labels is None else Path(labels)
    own = labels_path(paths, "human")
    return own if cfg.observations is None and own.is_file() else None


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


main = hydra_main("fit", check)(run)

if __name__ == "__main__":
    main()
