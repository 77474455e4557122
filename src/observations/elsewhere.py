"""Labels a table of responses from elsewhere, in CSV or Parquet."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from src.detect.base import LabelWords, Texts
from src.detect.outcomes import outcomes, refused_setting, stored_version
from src.detect.registry import create_detector
from src.errors import InputError
from src.files import written_aside

ADDED = ("outcome", "refused", "label", "detector", "detector_version", "kind", "reason")
"""Columns that a labelled table has beside its own."""

_FORMATS = (".csv", ".parquet")


def label_table(source: Path, target: Path, detector_cfg: Mapping[str, Any]) -> dict[str, int]:
    """Label a table of responses and write it anew with the columns `ADDED`.

    Parameters
    ----------
    source : Path
        CSV or Parquet with the column ``response``; ``prompt``, ``finish_reason`` and ``task_labels`` (JSON,
        each label with the words that stand for it) are used if there.
    target : Path
        CSV or Parquet to write, whole or not at all; every column and row of the source stays.
    detector_cfg : mapping
        One file of ``conf/detector``.

    Returns
    -------
    dict of str to int
        Rows by outcome; those without a verdict as ``missing``.

    Raises
    ------
    InputError
        If a file cannot be read, a column is missing or already taken, or the target is the source.
    """
    check_files(source, target)
    table = _read(source)
    detector = create_detector(detector_cfg)
    refused = refused_setting(detector_cfg)
    labels = detector.label(_texts(table, source))
    found = outcomes(labels, refused)
    added: dict[str, list[Any]] = {
        "outcome": found,
        "refused": [None if outcome is None else outcome == "refused" for outcome in found],
        "label": [
            name if outcome == "answered" else None for name, outcome in zip(labels.label, found, strict=True)
        ],
        "detector": [detector.name] * len(found),
        "detector_version": [stored_version(detector.version, refused)] * len(found),
        "kind": list(labels.kind),
        "reason": [None] * len(found) if labels.reason is None else list(labels.reason),
    }
    for column in ADDED:
        missing = None in added[column]
        kind = object if missing or column != "refused" else bool
        table[column] = pd.Series(added[column], index=table.index, dtype=kind)
    with written_aside(target) as file:
        if target.suffix == ".csv":
            table.to_csv(file, index=False)
        else:
            table.to_parquet(file, index=False)
    return dict(Counter("missing" if outcome is None else outcome for outcome in found))


def check_files(source: Path, target: Path) -> None:
    """Make sure that a table can be read from one place and written to another.

    Parameters
    ----------
    source, target : Path
        As in `label_table`.

    Raises
    ------
    InputError
        If the source is missing, the target's folder is missing, a format is unknown, or both are one file.
    """
    for path in (source, target):
        if path.suffix not in _FORMATS:
            raise InputError(f"{path} must end in {' or '.join(_FORMATS)}")
    if not source.is_file():
        raise InputError(f"no table of responses at {source}")
    if not target.parent.is_dir():
        raise InputError(f"no folder {target.parent} to write {target.name} in")
    if target.exists() and (target.is_dir() or target.samefile(source)):
        raise InputError(f"output={target} would overwrite its input; choose another file")


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".csv":
            # Everything stays text: what the user has written comes out as it went in.
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        else:
            table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if "response" not in table:
        columns = ", ".join(map(str, table.columns))
        raise InputError(f"{path} has no column 'response'; its columns: {columns or 'none'}")
    taken = [name for name in ADDED if name in table]
    if taken:
        raise InputError(
            f"{path} already has the column {taken[0]!r}, which labelling adds; rename or drop it"
        )
    return table


def _texts(table: pd.DataFrame, source: Path) -> Texts:
    prompts, reasons, tasks = (_optional(table, name) for name in ("prompt", "finish_reason", "task_labels"))
    words = {task: _words(task, source) for task in set(tasks) if task}
    return Texts(
        responses=[text or "" for text in _optional(table, "response")],
        prompts=prompts,
        label_words=[words.get(task) if task else None for task in tasks],
        finish_reasons=reasons,
    )


def _optional(table: pd.DataFrame, name: str) -> list[str | None]:
    """Take a column as text, None where it or a value is missing."""
    if name not in table:
        return [None] * len(table)
    return [None if missing else str(v) for v, missing in zip(table[name], table[name].isna(), strict=True)]


def _words(task: str, source: Path) -> LabelWords:
    right = 'must be JSON such as {"polite": ["polite", "yes"], "impolite": ["rude", "no"]}'
    try:
        words = json.loads(task)
    except ValueError as error:
        raise InputError(f"task_labels in {source} {right}, received {task!r}") from error
    lists = isinstance(words, dict) and all(isinstance(of, list) for of in words.values())
    if not lists or not all(isinstance(word, str) for of in words.values() for word in of):
        raise InputError(f"task_labels in {source} {right}, received {task!r}")
    return words
