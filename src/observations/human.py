"""Labels given by people: one row a response and annotator, in ``runs/<study>/labels/human.parquet``."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from src.detect.outcomes import REFUSED, outcome_of
from src.errors import InputError
from src.observations.responses import read_checked, written_aside
from src.study.paths import StudyPaths

LEVELS = ("model", "persona", "task", "paraphrase", "item")
"""Columns copied from the response."""
SCHEMA = pa.schema(
    [
        ("cell_key", pa.string()),
        ("kind", pa.string()),
        ("outcome", pa.string()),
        ("refused", pa.bool_()),
        ("label", pa.string()),
        ("annotator", pa.string()),
        ("labelled_at", pa.timestamp("us", tz="UTC")),
        ("weight", pa.float64()),
        *((name, pa.string()) for name in LEVELS),
    ]
)
"""Columns of the file. Kind and outcome are null where only refused or not was said; label where none was
read; weight is how many responses of the study a label stands for."""


def human_path(paths: StudyPaths) -> Path:
    """Name the file of a study's human labels.

    Parameters
    ----------
    paths : StudyPaths
        The study.

    Returns
    -------
    Path
        ``runs/<study>/labels/human.parquet``.
    """
    return paths.labels / "human.parquet"


def read_human(paths: StudyPaths) -> pd.DataFrame:
    """Read all human labels of a study.

    Parameters
    ----------
    paths : StudyPaths
        The study.

    Returns
    -------
    pandas.DataFrame
        Columns of `SCHEMA`, in the order in which the labels were given; empty if there are none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = human_path(paths)
    table = read_checked(path, SCHEMA) if path.is_file() else SCHEMA.empty_table()
    return table.to_pandas()


def human_row(
    response: Any, annotator: str, kind: str, label: str | None, refused: str, weight: float = 1.0
) -> dict[str, Any]:
    """Make the row of one label.

    Parameters
    ----------
    response : mapping
        ``cell_key`` and `LEVELS`.
    annotator : str
        Who read it.
    kind : str
        One of `src.detect.outcomes.KINDS`.
    label : str or None
        The task's label that was read.
    refused : str
        Which kinds are refusals, a key of `src.detect.outcomes.REFUSED`.
    weight : float
        Responses that it stands for.

    Returns
    -------
    dict
        Columns of `SCHEMA`.
    """
    return {
        **{name: response[name] for name in ("cell_key", *LEVELS)},
        "kind": kind,
        "outcome": outcome_of(kind, label, refused),
        "refused": kind in REFUSED[refused],
        "label": label,
        "annotator": annotator,
        "labelled_at": datetime.now(UTC),
        "weight": weight,
    }


def change_human(
    paths: StudyPaths,
    annotator: str,
    add: Iterable[dict[str, Any]] = (),
    remove: Sequence[str] = (),
    weights: dict[str, float] | None = None,
) -> pd.DataFrame:
    """Add, replace or remove one annotator's labels; the file is whole at every moment.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    annotator : str
        Whose labels change; other annotators' stay as they are, also if they label at the same time.
    add : iterable of dict
        From `human_row`; takes the place of the annotator's earlier label of the same response.
    remove : sequence of str
        Keys of responses whose label is taken back.
    weights : dict of str to float, optional
        New weights of this annotator's labels by key; others keep theirs.

    Returns
    -------
    pandas.DataFrame
        The annotator's labels.
    """
    path = human_path(paths)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(add)
    with FileLock(path.with_name(f".{path.name}.lock")):
        before = read_human(paths)
        gone = {*remove, *(row["cell_key"] for row in rows)}
        kept = before[(before["annotator"] != annotator) | ~before["cell_key"].isin(gone)]
        added = pa.Table.from_pylist(rows, SCHEMA).to_pandas()
        after = pd.concat([kept, added], ignore_index=True) if len(kept) else added
        own = after["annotator"] == annotator
        if weights:
            new = after["cell_key"].map(weights).astype(float)
            after.loc[own & new.notna(), "weight"] = new
        with written_aside(path) as file:
            table = pa.Table.from_pandas(after, SCHEMA, preserve_index=False)
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    return after[own].reset_index(drop=True)


def refusals(labels: pd.DataFrame, refused: str) -> pd.Series:
    """Say which labels are refusals by a setting, whatever setting they were stored with.

    Parameters
    ----------
    labels : pandas.DataFrame
        Columns ``kind`` and ``refused``.
    refused : str
        A key of `src.detect.outcomes.REFUSED`.

    Returns
    -------
    pandas.Series of bool
        From the kind; where there is none, as stored.
    """
    derived = labels["kind"].isin(REFUSED[refused])
    return derived.where(labels["kind"].notna(), labels["refused"].astype(bool))


def check_annotator(name: str) -> str:
    """Make sure that a name can stand in tables and on a terminal.

    Parameters
    ----------
    name : str
        As given.

    Returns
    -------
    str
        Without spaces around it.

    Raises
    ------
    InputError
        If nothing is left, or it cannot be printed.
    """
    name = str(name).strip()
    if not name or not name.isprintable() or len(name) > 60:
        raise InputError(f"annotator must be a printable name of at most 60 characters, received {name!r}")
    return name
