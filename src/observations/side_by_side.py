"""The labels of all detectors of a study, and of people, side by side on the same responses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from src.errors import InputError
from src.observations.labels import read_labels
from src.observations.responses import SCHEMA as RESPONSES
from src.observations.responses import ResponseStore
from src.study.paths import StudyPaths

PEOPLE = "people"
"""What labels given by people go by."""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Who reads which response as refused."""

    rows: pd.DataFrame
    """The factors' levels as text, and for each name whether it reads a refusal: a nullable boolean, NA where
    there is no label or no verdict. One row a response with at least one label."""
    detectors: list[str]
    """Names of the detectors' columns, sorted."""
    factors: list[str]
    """Names of the columns of levels."""
    people: bool
    """Whether there is a column of labels given by people."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""

    def shared(self, names: Sequence[str]) -> pd.DataFrame:
        """Take the rows that all of some columns of `rows` have a verdict on, these as plain booleans."""
        read = self.rows[self.rows[list(names)].notna().all(axis=1)]
        return read.astype(dict.fromkeys(names, bool))


def read_side_by_side(paths: StudyPaths, factors: Sequence[str]) -> SideBySide | None:
    """Read all labels of a study.

    Parameters
    ----------
    paths : StudyPaths
        The study. Labels lie in ``labels/``; fits with a detector of their own keep theirs beside the fit.
    factors : sequence of str
        Columns of levels that are wanted; those that responses have not are left out.

    Returns
    -------
    SideBySide or None
        None if there are fewer than two labellings or no responses.

    Raises
    ------
    InputError
        If the responses are damaged.
    """
    notes: list[str] = []
    labels = _labellings(paths, notes)
    people = _people(paths, notes)
    if len(labels) + (people is not None) < 2 or not labels:
        return None
    known = [factor for factor in factors if factor in RESPONSES.names]
    parts = []
    for part in ResponseStore(paths.responses).scan(["cell_key", "finish_reason", *known]):
        kept = part.filter(pc.not_equal(part["finish_reason"], "error"))
        columns = {factor: pc.cast(kept[factor], pa.string()) for factor in known}
        for name, flags in [*labels.items(), *([(PEOPLE, people)] if people is not None else [])]:
            where = pc.index_in(kept["cell_key"], value_set=flags["cell_key"])
            columns[name] = flags["refused"].take(where)
        parts.append(pa.table(columns))
    if not parts:
        return None
    names = [*labels, *([PEOPLE] if people is not None else [])]
    rows = pa.concat_tables(parts).to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    rows = rows[rows[names].notna().any(axis=1)].reset_index(drop=True)
    return SideBySide(rows, sorted(labels), known, people is not None, notes)


def reduced(
    rows: pd.DataFrame, factors: Sequence[str], detectors: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the responses of each distinct combination of levels and flags.

    Parameters
    ----------
    rows : pandas.DataFrame
        From `SideBySide.shared`.
    factors, detectors : sequence of str
        Its columns.

    Returns
    -------
    codes : ndarray of int, shape (distinct, factors)
        Level codes, levels sorted.
    flags : ndarray of bool, shape (distinct, detectors)
        What is read as refused.
    counts : ndarray of int, shape (distinct,)
        Responses.
    """
    coded = {f: np.unique(rows[f].to_numpy(str), return_inverse=True)[1] for f in factors}
    table = np.column_stack([*coded.values(), *(rows[d].to_numpy(int) for d in detectors)])
    distinct, counts = np.unique(table, axis=0, return_counts=True)
    return distinct[:, : len(factors)], distinct[:, len(factors) :].astype(bool), counts


def _labellings(paths: StudyPaths, notes: list[str]) -> dict[str, pa.Table]:
    """Read cell keys and flags of every detector; of one version only once."""
    found: dict[str, pa.Table] = {}
    versions = set()
    for path in _files(paths):
        try:
            table = read_labels(path)
        except InputError as error:
            notes.append(f"left out: {error}")
            continue
        if not table.num_rows:
            continue
        detector, version = (
            str(pc.unique(pc.cast(table[c], pa.string()))[0]) for c in ("detector", "detector_version")
        )
        if (detector, version) in versions:
            continue
        versions.add((detector, version))
        name = detector if detector not in found else f"{detector}, {path.parent.relative_to(paths.root)}"
        refused = pc.equal(pc.cast(table["outcome"], pa.string()), "refused")
        found[name] = pa.table({"cell_key": table["cell_key"], "refused": refused})
    return found


def _files(paths: StudyPaths) -> Iterator[Path]:
    """Find the files of labels: the study's own, then those beside fits."""
    yield from (p for p in sorted(paths.labels.glob("[!.]*.parquet")) if not p.stem.startswith("human"))
    yield from (p for p in sorted(paths.root.rglob("labels.parquet")) if p.parent != paths.labels)


def _people(paths: StudyPaths, notes: list[str]) -> pa.Table | None:
    """Read what people said, the latest label of each response; None if nobody said anything."""
    path = paths.labels / "human.parquet"
    if not path.is_file():
        return None
    try:
        frame = pq.read_table(path, columns=["cell_key", "refused"]).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        notes.append(f"left out: {path} cannot be read ({str(error).splitlines()[0]})")
        return None
    latest = frame.drop_duplicates("cell_key", keep="last")
    return pa.Table.from_pandas(latest, preserve_index=False) if len(latest) else None
