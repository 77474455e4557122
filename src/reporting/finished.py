"""Reads a finished fit back: diagnostics, tables and draws; a bad file is named in one line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from src.effects.capability import COLUMNS as CAPABILITY_COLUMNS
from src.effects.contrasts import COLUMNS as CONTRAST_COLUMNS
from src.effects.detector_error import COLUMNS as DETECTOR_ERROR_COLUMNS
from src.effects.power_scaling import COLUMNS as POWER_SCALING_COLUMNS
from src.effects.predictions import COLUMNS as PREDICTION_COLUMNS
from src.effects.ranking import COLUMNS as RANKING_COLUMNS
from src.effects.tables import VARIANCE_COLUMNS
from src.errors import InputError, unknown
from src.study.paths import StudyPaths

TEXT = {
    *("term", "scale", "ci_kind", "level", "factor", "baseline", "within", "index", "diagnosis"),
    *("quantity", "model", "left_out"),
}
"""Columns of names; all others are numbers."""
SUMMARY = ["mean", "sd", "ci_lower", "ci_upper", "ci_prob", "ci_kind"]
COLUMNS = {
    "variance": VARIANCE_COLUMNS,
    "variance_prior": VARIANCE_COLUMNS,
    "power_scaling": POWER_SCALING_COLUMNS,
    "effects": ["term", "level", *SUMMARY, "ess_bulk", "ess_tail", "r_hat"],
    "contrasts": CONTRAST_COLUMNS,
    "sensitivity": ["term", "index", "value", "ci_lower", "ci_upper", "null_q95"],
    "ranking": RANKING_COLUMNS,
    "predictions": PREDICTION_COLUMNS,
}
"""Columns that each table of a fit must have."""
ASKED_FOR = {
    "capability": CAPABILITY_COLUMNS,
    "detector_error": DETECTOR_ERROR_COLUMNS,
    "compare": ["left_out", "elpd", "se", "p_loo", "elpd_diff", "dse", "pareto_k_bad", "cells"],
}
"""Columns of tables that a fit has only where its configuration or its labels ask for them."""
NONE_ALLOWED = {
    "effects": {"ess_bulk", "ess_tail", "r_hat"},
    "power_scaling": {"prior", "likelihood"},
    "ranking": {"mean", "sd", "ci_lower", "ci_upper"},
    "capability": {"capability", "sd", "ci_lower", "ci_upper"},
    "detector_error": {*DETECTOR_ERROR_COLUMNS} - {"mean", "ci_prob"},
}
"""Numbers that need not exist, by table."""
EMPTY_ALLOWED = {"contrasts", "power_scaling"}
"""Tables without a row where no factor has two levels, or draws were thinned."""
DIAGNOSTICS = {
    "verdict": str,
    "warnings": list,
    "notes": list,
    "simulated": bool,
    "method": str,
    "cells": int,
    "trials": int,
    "refusals": int,
    "rhat_max": float,
    "ess_bulk_min": float,
    "ess_tail_min": float,
    "divergences": int,
    "bfmi_min": float,
    "seconds_compile": float,
    "seconds_sample": float,
    "versions": dict,
    "configuration": dict,
    "observations_hash": str,
    "created": str,
}
"""What ``diagnostics.json`` must hold; numbers may be null."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit whose files are all there."""

    folder: Path
    """Where they lie."""
    diagnostics: Mapping[str, Any]
    """As in ``diagnostics.json``."""
    frames: dict[str, pd.DataFrame]
    """The tables, by the name of their file without ending."""
    structure: Mapping[str, Any]
    """``levels`` of each factor, ``nested`` factors, and ``terms``."""

    @property
    def nested(self) -> dict[str, str]:
        """Nested factor to its parent."""
        return self.structure["nested"]

    def group(self, name: str, variables: Sequence[str] | None = None) -> xr.Dataset:
        """Read one group of ``posterior.nc`` into memory.

        Parameters
        ----------
        name : str
            Such as ``posterior`` or ``prior``.
        variables : sequence of str, optional
            Those needed; all by default.

        Returns
        -------
        xarray.Dataset
            Their draws, with coordinates.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        return _open(self.folder / "posterior.nc", name, variables)


def find_fit(paths: StudyPaths, name: str) -> Fit:
    """Read a fit of a study.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    name : str
        Folder of the fit inside the study.

    Returns
    -------
    Fit
        All of it but the draws.

    Raises
    ------
    InputError
        If study or fit do not exist, or a file is missing or damaged.
    """
    paths.require()
    folder = inside(paths, "fit", name)
    if not (folder / "diagnostics.json").exists():
        found = sorted(str(p.parent.relative_to(paths.root)) for p in paths.root.rglob("diagnostics.json"))
        if not folder.is_dir() and found:
            raise unknown(f"fit of study {paths.study}", name, found)
        inner = [other for other in found if other.startswith(f"{name}/")]
        if inner:
            raise InputError(f"{folder}/ holds the fits of a sweep; choose one: fit={', fit='.join(inner)}")
        if not folder.is_dir():
            raise InputError(
                f"study {paths.study} has no fit in {folder}/; run python -m src.fit study={paths.study}"
            )
    return read_fit(folder)


def inside(paths: StudyPaths, key: str, name: str) -> Path:
    """Resolve the name of a folder inside a study.

    Raises
    ------
    InputError
        If it would lie elsewhere.
    """
    folder = paths.root / str(name)
    if not str(name).strip() or paths.root.resolve() not in folder.resolve().parents:
        raise InputError(f"{key} must be a folder inside {paths.root}/, received {str(name)!r}")
    return folder


def read_fit(folder: Path) -> Fit:
    """Read the files of a fit.

    Parameters
    ----------
    folder : Path
        Where they lie.

    Returns
    -------
    Fit
        All of it but the draws.

    Raises
    ------
    InputError
        If a file is missing, damaged, or of another fit than the rest.
    """
    diagnostics = _diagnostics(folder / "diagnostics.json")
    configuration = diagnostics["configuration"]
    asked = {
        # An earlier fit may have left its own behind.
        "capability": configuration.get("capability") is not None,
        "detector_error": bool(diagnostics.get("labelled")),
        "compare": bool(configuration.get("fit", {}).get("compare")),
    }
    names = [*COLUMNS, *(name for name in ASKED_FOR if asked[name])]
    frames = {name: read_frame(folder / f"{name}.csv", name) for name in names}
    path = folder / "posterior.nc"
    attributes = _open(path).attrs
    if attributes.get("observations_hash") != diagnostics["observations_hash"]:
        raise InputError(f"{path} is of another fit than diagnostics.json beside it; run src.fit again")
    try:
        structure = json.loads(attributes["structure"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} does not say which terms it holds; run src.fit again") from error
    return Fit(folder, diagnostics, frames, structure)


def read_frame(path: Path, name: str) -> pd.DataFrame:
    """Read one table of a fit.

    Parameters
    ----------
    path : Path
        A CSV file.
    name : str
        Which of `COLUMNS` or `ASKED_FOR` it is.

    Returns
    -------
    pandas.DataFrame
        Names as strings, whatever they look like (``none``, ``NA``, ``1.0``); numbers as floats.

    Raises
    ------
    InputError
        If it is missing, lacks a column, or a number is none.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; run src.fit again") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({_line(error)}); run src.fit again") from error
    columns = {**COLUMNS, **ASKED_FOR}[name]
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise InputError(f"{path} is damaged: it has no column {lacking[0]}; run src.fit again")
    if frame.empty and name not in EMPTY_ALLOWED:
        raise InputError(f"{path} is damaged: it has no row; run src.fit again")
    for column in [c for c in columns if c not in TEXT]:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        bad = numbers.isna() & ~(frame[column].eq("") & (column in NONE_ALLOWED.get(name, ())))
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise InputError(
                f"{path} is damaged: {column} is {frame[column].iloc[row]!r} in line {row + 2}, which is no "
                "number; run src.fit again"
            )
        frame[column] = numbers.astype(float)
    return frame


def _diagnostics(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: the fit is not finished; run src.fit again") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({_line(error)}); run src.fit again") from error
    for key, kind in DIAGNOSTICS.items():
        if not isinstance(found, dict) or key not in found:
            raise InputError(f"{path} is damaged: it lacks {key}; run src.fit again")
        accepted = (int, float, type(None)) if kind in (int, float) else kind
        if not isinstance(found[key], accepted):
            raise InputError(f"{path} is damaged: {key} is {found[key]!r}; run src.fit again")
    return found


def _open(path: Path, group: str | None = None, variables: Sequence[str] | None = None) -> xr.Dataset:
    try:
        with xr.open_dataset(path, group=group, engine="h5netcdf") as data:
            return (data if variables is None else data[list(variables)]).load()
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; run src.fit again") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is damaged ({_line(error)}); run src.fit again") from error


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
