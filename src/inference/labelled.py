"""Counts responses that a person has read, by cell or by group, from a table of labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from src.detect.outcomes import REFUSED
from src.errors import InputError, unknown
from src.inference.cells import (
    NEWEST,
    Cells,
    chosen_rows,
    column_batches,
    column_names,
    count_columns,
    read_columns,
    read_refused,
    row_choice,
)
from src.inference.detector_error import VERDICTS, group_levels
from src.observations.quality import setting_of

KEY = "cell_key"
"""Column that names a response, in the table of responses and in that of labels."""
HUMAN = "human_refused"
"""Column of a person's verdict; where a table of labels has none, its ``refused`` is the person's."""
ANNOTATOR = "annotator"
"""Column of who has read a response."""
KIND = "kind"
"""Column of what a person has read, finer than refused or not."""
VERSION = "detector_version"
"""Column of the table that ends in the setting of which kinds are refusals."""


def read_labelled(
    labels: Path,
    table: Path,
    cells: Cells,
    columns: Mapping[str, str],
    by: Sequence[str],
    generation: str = NEWEST,
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Count labelled responses.

    Parameters
    ----------
    labels : Path
        With `KEY` and a person's verdict, of responses of the table; of several annotators the first counts.
        Or, of responses elsewhere, with the factors `by`, ``refused`` (the detector's flag) and `HUMAN`: they
        speak of the detector alone, and must not have been chosen by their flag.
    table : Path
        What is fitted.
    cells : Cells
        Its counts.
    columns : mapping
        Our column names to those of the table, where they differ.
    by : sequence of str
        Factors that the detector's rates may differ by.
    generation : str
        Which responses of the table count, as for the cells.

    Returns
    -------
    labelled : ndarray
        By cell and `VERDICTS`, shape (cells, 4).
    elsewhere : ndarray or None
        By group and `VERDICTS`, shape (groups, 4), where the labels are of responses elsewhere.
    notes : list of str
        About labels left out.

    Raises
    ------
    InputError
        If a file, column or value cannot be used, or a response has two labels of one annotator.
    """
    header = column_names(labels)
    if KEY in header:
        rows, notes = _of_the_table(labels, header, table, cells, columns, generation)
        return _count(_cell_of(rows, cells), rows, len(cells.trials)), None, notes
    levels = group_levels(cells, by)
    for column in [*levels, "refused", HUMAN]:
        if column not in header:
            raise unknown(f"column of {labels.name} for labels without {KEY}:", column, header)
    rows = read_columns(labels, [*levels, "refused", HUMAN])
    rows, notes = _verdicts(rows, labels, "refused", HUMAN)
    shape = [len(names) for names in levels.values()]
    codes = [_codes(rows[factor], names) for factor, names in levels.items()]
    known = np.all([code >= 0 for code in codes], axis=0) if codes else np.ones(len(rows), dtype=bool)
    if not known.all():
        notes.append(f"{(~known).sum()} of {len(rows)} labels are of other {', '.join(levels)}: left out")
    group = (
        np.ravel_multi_index(tuple(code[known] for code in codes), shape)
        if codes
        else np.zeros(len(rows), int)
    )
    nowhere = np.zeros((len(cells.trials), len(VERDICTS)))
    return nowhere, _count(group, rows[known], int(np.prod(shape, dtype=int))), notes


def _of_the_table(
    labels: Path,
    header: Sequence[str],
    table: Path,
    cells: Cells,
    columns: Mapping[str, str],
    generation: str,
) -> tuple[pd.DataFrame, list[str]]:
    """Join labels to the flags and levels of their responses."""
    names = column_names(table)
    if KEY not in names:
        raise InputError(f"{labels.name} labels responses by {KEY}, which {table.name} does not have")
    flag = count_columns(table, names, columns).get("refused")
    if flag is None:
        raise InputError(f"{table.name} holds counts; labels need the flag of each response (column refused)")
    human = HUMAN if HUMAN in header else "refused"
    if human not in header:
        raise unknown(f"column of {labels.name} for a person's verdict:", HUMAN, header)
    wanted = [KEY, human, *(name for name in (ANNOTATOR, KIND) if name in header)]
    read, notes = _one_label_each(read_columns(labels, wanted), labels)
    keys = pc.cast(read[KEY], pa.string())
    factors = {factor: columns.get(factor, factor) for factor in cells.factors}
    choice = row_choice(table, names, generation)
    version = [VERSION] * (VERSION in names)
    read_too = list(dict.fromkeys([KEY, flag, *factors.values(), *version, *choice]))
    responses = pa.concat_tables(
        some.filter(pc.is_in(pc.cast(some[KEY], pa.string()), value_set=keys))
        for some in column_batches(table, read_too)
    )
    responses = chosen_rows(responses, choice)
    if responses.num_rows > len(pc.unique(responses[KEY])):
        raise InputError(f"{table.name} holds a labelled {KEY} twice; it must name one response")
    where = pc.index_in(pc.cast(responses[KEY], pa.string()), value_set=keys)
    if KIND in header and version:
        read = read.set_column(read.column_names.index(human), human, _by_setting(read, human, responses))
    joined = pa.table(
        {factor: responses[theirs] for factor, theirs in factors.items()}
        | {"flag": responses[flag], HUMAN: read[human].take(where)}
    )
    rows, lacking = _verdicts(joined, table, "flag", HUMAN)
    notes += lacking
    rows = rows[rows[cells.factors].notna().all(axis=1)]
    if joined.num_rows < read.num_rows:
        notes.append(
            f"{read.num_rows - joined.num_rows} of {read.num_rows} labels are of no response here: left out"
        )
    return rows, notes


def _by_setting(read: pa.Table, human: str, responses: pa.Table) -> pa.Array:
    """Derive a person's verdict from the kind, by the setting that made the flags (`src.detect.outcomes`)."""
    settings = {setting_of(version) for version in pc.unique(responses[VERSION]).to_pylist() if version}
    if len(settings) != 1:
        return read[human]
    derived = pc.is_in(pc.cast(read[KIND], pa.string()), value_set=pa.array(sorted(REFUSED[settings.pop()])))
    return pc.if_else(pc.is_valid(read[KIND]), derived, read[human])


def _one_label_each(read: pa.Table, labels: Path) -> tuple[pa.Table, list[str]]:
    """Keep the first label of each response, in the file's order; only several annotators may give more."""
    frame = pd.DataFrame({name: read[name].to_numpy(zero_copy_only=False) for name in read.column_names})
    names = [name for name in (KEY, ANNOTATOR) if name in frame]
    again = frame.duplicated(names)
    if again.any():
        key = frame.loc[again, KEY].iloc[0]
        raise InputError(f"{labels.name} labels {key!r} twice; one label a response (and annotator) is right")
    later = frame.duplicated(KEY)
    if not later.any():
        return read, []
    notes = [f"{later.sum()} responses have labels of several annotators: the first counts"]
    return read.filter(pa.array(~later)), notes


def _verdicts(rows: pa.Table, path: Path, flag: str, human: str) -> tuple[pd.DataFrame, list[str]]:
    """Read flags and verdicts as true or false; rows that lack one are left out."""
    values = {name: read_refused(rows[name], path, name) for name in (flag, human)}
    frame = (
        rows.drop_columns([flag, human])
        .to_pandas()
        .astype(object)
        .assign(
            flag=values[flag].to_numpy(zero_copy_only=False),
            truth=values[human].to_numpy(zero_copy_only=False),
        )
    )
    kept = frame[["flag", "truth"]].notna().all(axis=1)
    notes = (
        [] if kept.all() else [f"{(~kept).sum()} of {len(frame)} labels lack a flag or a verdict: left out"]
    )
    return frame[kept], notes


def _cell_of(rows: pd.DataFrame, cells: Cells) -> np.ndarray:
    """Find the cell of each row, shape (rows,)."""
    shape = [len(cells.levels[f]) for f in cells.factors]
    known = np.ravel_multi_index(tuple(cells.codes.T.astype(np.int64)), shape)
    codes = tuple(_codes(rows[f], cells.levels[f]) for f in cells.factors)
    order = np.argsort(known)
    return order[np.searchsorted(known[order], np.ravel_multi_index(codes, shape))]


def _codes(values: pd.Series, levels: Sequence[str]) -> np.ndarray:
    return pd.Index(levels).get_indexer(pd.Index(values.astype(str)))


def _count(where: np.ndarray, rows: pd.DataFrame, size: int) -> np.ndarray:
    """Count rows by place and verdict, shape (size, 4)."""
    flag, truth = rows["flag"].to_numpy(bool), rows["truth"].to_numpy(bool)
    verdict = np.where(truth, np.where(flag, 0, 1), np.where(flag, 2, 3))
    return (
        np.bincount(where * len(VERDICTS) + verdict, minlength=size * len(VERDICTS))
        .reshape(size, -1)
        .astype(float)
    )
