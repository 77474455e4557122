"""Writes a fit's files: all aside, then renamed together, the diagnostics last."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from src.effects.tables import Tables
from src.files import written_aside
from src.inference.cells import Cells
from src.inference.diagnostics import diagnose
from src.inference.request import Result
from src.provenance import FIT, versions


def write_fit(
    folder: Path, result: Result, tables: Tables, notes: list[str], configuration: Mapping[str, Any]
) -> dict[str, Any]:
    """Write posterior, tables and diagnostics.

    Parameters
    ----------
    folder : Path
        Made if needed; an earlier fit's files are replaced, or stay as they are if there is no room.
    result : Result
        The fit.
    tables : Tables
        Computed from it.
    notes : list of str
        About data and terms.
    configuration : mapping
        Resolved, kept in every artefact.

    Returns
    -------
    dict
        What ``diagnostics.json`` holds.

    Raises
    ------
    InputError
        If there is no room: the disk is full, or a quota or limit is reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    observations_hash = hash_cells(result.cells)
    origin = {
        "versions": versions(FIT),
        "configuration": dict(configuration),
        "observations_hash": observations_hash,
        "simulated": result.cells.simulated,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    fitted = result.fitted
    diagnostics = {
        **diagnose(_judged(tables.frames), fitted.statistics, fitted.approximate),
        "seconds_compile": round(fitted.seconds_compile, 3),
        "seconds_sample": round(fitted.seconds_sample, 3),
        "cells": len(result.cells.trials),
        "trials": int(result.cells.trials.sum()),
        "refusals": int(result.cells.refusals.sum()),
        "labelled": 0 if result.cells.error is None else int(result.cells.error.known.sum()),
        "method": configuration["fit"]["method"],
        "notes": [*notes, *fitted.notes, *_changed(folder, observations_hash), *tables.notes],
        **origin,
    }
    attributes = {**origin, "verdict": diagnostics["verdict"], "notes": diagnostics["notes"]}
    for key, value in attributes.items():
        result.tree.attrs[key] = value if isinstance(value, str) else json.dumps(value)
    contents = {
        "diagnostics.json": json.dumps(diagnostics, indent=1).encode(),
        **{
            f"{name}.csv": frame.to_csv(index=False, float_format="%.6g").encode()
            for name, frame in tables.frames.items()
        },
    }
    with ExitStack() as renaming:  # what is written first is renamed last

        def aside(name: str) -> BinaryIO:
            path = folder / name
            return renaming.enter_context(written_aside(path, path.with_name(f".{name}.{os.getpid()}")))

        for name, content in contents.items():
            file = aside(name)
            file.write(content)
            file.flush()
        _write_tree(result.tree, aside("posterior.nc"))
        (folder / "diagnostics.json").unlink(missing_ok=True)
        for table in folder.glob("*.csv"):
            # A table that this fit was not asked for would pass for its own.
            if table.stem not in tables.frames:
                table.unlink()
    return diagnostics


def hash_cells(cells: Cells) -> str:
    """Hash counts, levels and labels; neither the order of rows nor the file's format matters.

    Parameters
    ----------
    cells : Cells
        The counts.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    digest = blake2b(json.dumps(cells.levels).encode(), digest_size=8)
    for array in (cells.codes, cells.refusals, cells.trials):
        digest.update(array.tobytes())
    if cells.error is not None:
        for array in (cells.error.labelled, cells.error.elsewhere):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _judged(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Gather the parameters whose draws must have converged."""
    if "detector_error" not in frames:
        return frames["effects"]
    rates = frames["detector_error"].rename(columns={"quantity": "term"})
    return pd.concat([frames["effects"], rates], ignore_index=True)


def _changed(folder: Path, observations_hash: str) -> list[str]:
    """Say so if the folder held a fit of other observations."""
    try:
        before = json.loads((folder / "diagnostics.json").read_text(encoding="utf-8"))["observations_hash"]
    except (OSError, ValueError, KeyError):
        return []
    if before == observations_hash:
        return []
    return [f"the observations changed since the fit that stood here ({before}): every file is replaced"]


def _write_tree(tree: Any, file: BinaryIO) -> None:
    """Write a tree over an open file, once there is room: the HDF5 library does not survive a full disk."""
    encoding = {
        f"/{name}": {variable: {"zlib": True, "complevel": 1} for variable in group.data_vars}
        for name, group in tree.children.items()
        if name in ("posterior", "prior", "posterior_predictive")
    }
    if hasattr(os, "posix_fallocate"):
        # Compressed it takes less; what stands about the numbers, somewhat more.
        room = int(1.05 * tree.nbytes) + 2 * len(json.dumps(tree.attrs)) + 2**20
        os.posix_fallocate(file.fileno(), 0, room)
    tree.to_netcdf(file.name, engine="h5netcdf", encoding=encoding)
