"""Takes labels over from a CSV file: all of them, or none and one line that says why."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from src.detect.outcomes import KINDS
from src.errors import InputError, unknown
from src.observations.annotating import WITH_LABEL, Shown, read_shown
from src.observations.human import LEVELS, change_human, check_annotator, human_row
from src.study.paths import StudyPaths

COLUMNS = ("cell_key", "id", "kind", "refused", "label", "annotator", "weight")
"""Columns that mean something; others are let be."""
_YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def import_labels(path: Path, paths: StudyPaths, frame: pd.DataFrame, annotator: str, refused: str) -> int:
    """Add the labels of a CSV file to a study's; a person's earlier label of the same response is replaced.

    Parameters
    ----------
    path, paths, frame, annotator, refused
        As in `read_labelled`.

    Returns
    -------
    int
        Labels in the file.

    Raises
    ------
    InputError
        As in `read_labelled`; then no label has changed.
    """
    rows = read_labelled(path, paths, frame, annotator, refused)
    for name in dict.fromkeys(row["annotator"] for row in rows):
        change_human(paths, name, [row for row in rows if row["annotator"] == name])
    return len(rows)


def read_labelled(
    path: Path, paths: StudyPaths, frame: pd.DataFrame, annotator: str, refused: str
) -> list[dict[str, Any]]:
    """Read labels from a CSV file.

    Parameters
    ----------
    path : Path
        Columns ``cell_key`` (or ``id``) and ``kind`` (or ``refused``), optionally ``label``,
        ``annotator`` and ``weight``; see docs/labelling.md.
    paths : StudyPaths
        The study.
    frame : pandas.DataFrame
        Its responses: ``cell_key`` and `LEVELS`.
    annotator : str
        Who labelled, where the file does not say.
    refused : str
        Which kinds are refusals, a key of `src.detect.outcomes.REFUSED`.

    Returns
    -------
    list of dict
        Rows for `src.observations.human.change_human`.

    Raises
    ------
    InputError
        If the file or a row cannot be used; names the line.
    """
    table = _read(path)
    key = "cell_key" if "cell_key" in table else "id"
    levels = frame.set_index("cell_key")[list(LEVELS)]
    unknown_keys = table[~table[key].isin(levels.index)]
    if len(unknown_keys):
        raise InputError(
            f"{path} line {unknown_keys.index[0]}: study {paths.study} has no response "
            f"{unknown_keys[key].iloc[0]!r} ({len(unknown_keys)} of {len(table)} rows have no response there)"
        )
    who = table["annotator"] if "annotator" in table else pd.Series(annotator, table.index)
    who = who.where(who != "", annotator).map(check_annotator)
    twice = pd.DataFrame({"key": table[key], "who": who}).duplicated()
    if twice.any():
        line = twice.index[twice][0]
        raise InputError(f"{path} line {line}: {table.loc[line, key]!r} stands in the file twice")
    sample = levels.loc[table[key]].reset_index(names="cell_key")
    shown = read_shown(paths, sample)
    rows = []
    for line, name, row in zip(table.index, who, table.to_dict("records"), strict=True):
        response = shown[row[key]]
        rows.append(_row(f"{path} line {line}", row, response, refused) | {"annotator": name})
    return rows


def _read(path: Path) -> pd.DataFrame:
    """Read the file as text, by the number of each row's line."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"cannot read {path}: {line}") from error
    table.columns = table.columns.str.strip()
    for needed, other in (("cell_key", "id"), ("kind", "refused")):
        if needed not in table and other not in table:
            found = ", ".join(table.columns)
            near = [n for name in table.columns for n in get_close_matches(name, (needed, other), 1)]
            hint = f"did you mean {near[0]}?" if near else "see docs/labelling.md"
            raise InputError(f"{path} needs a column {needed} or {other}; its columns: {found}; {hint}")
    if table.empty:
        raise InputError(f"{path} holds no label")
    table.index += 2
    return table.apply(lambda column: column.str.strip())


def _row(where: str, row: Mapping[Any, str], shown: Shown, refused: str) -> dict[str, Any]:
    label = row.get("label") or None
    if label is not None and label not in shown.labels:
        raise InputError(f"{where}: {unknown(f'label of task {shown.levels["task"]}', label, shown.labels)}")
    response = {"cell_key": shown.cell_key, **shown.levels}
    kind, said = row.get("kind", ""), row.get("refused", "").lower()
    if said and said not in _YES_NO:
        raise InputError(f"{where}: refused must be true or false, received {row['refused']!r}")
    if kind:
        if kind not in KINDS:
            raise InputError(f"{where}: {unknown('kind', kind, KINDS)}")
        if label is not None and kind not in WITH_LABEL:
            raise InputError(
                f"{where}: a label goes with {' or '.join(WITH_LABEL)}, received {label!r} with {kind}"
            )
        made = human_row(response, "", kind, label, refused)
        if said and made["refused"] != _YES_NO[said]:
            raise InputError(
                f"{where}: kind {kind} says refused={str(made['refused']).lower()} (refused={refused}), "
                f"and the column refused says {said}"
            )
    elif said:
        if label is not None and _YES_NO[said]:
            raise InputError(f"{where}: a refusal without a kind cannot have the label {label!r}")
        outcome = "refused" if _YES_NO[said] else "answered" if label is not None else None
        made = human_row(response, "", "answered", label, refused)
        made |= {"kind": None, "outcome": outcome, "refused": _YES_NO[said]}
    else:
        raise InputError(f"{where}: neither kind nor refused has a value")
    return made | {"weight": _weight(where, row.get("weight", ""))}


def _weight(where: str, text: str) -> float:
    try:
        weight = float(text or 1)
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        raise InputError(f"{where}: weight must be a positive number, received {text!r}")
    return weight
