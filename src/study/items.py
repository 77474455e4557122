"""A task's items, read from a local table or a hub data set, with columns and labels mapped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from src.errors import InputError, unknown
from src.study.factors import Item
from src.study.paths import CONF

_KNOWN_KEYS = {
    "path", "format", "hub", "name", "split", "revision", "columns", "labels", "bins", "where", "limit",
}  # fmt: skip


def load_items(task: str, source: Mapping[str, Any], labels: Mapping[str, Any]) -> tuple[Item, ...]:
    """Read the items of one task.

    Parameters
    ----------
    task : str
        Name of the task, for messages and made-up item names.
    source : mapping
        The task's ``items`` node: ``path`` (and ``format``) or ``hub`` (with ``name``, ``split``,
        ``revision``); ``columns`` from our field names to theirs (``gold`` is needed, ``item`` is made from
        the row number if absent); ``labels`` from their gold values to ours (null drops the row) or ``bins``
        (``edges`` and ``labels`` of numeric ratings); ``where`` (their column: value or list of values to
        keep); ``limit`` (first rows only).
    labels : mapping
        The task's labels.

    Returns
    -------
    tuple of Item
        In the table's order.

    Raises
    ------
    InputError
        If the table cannot be read, a column is missing, a gold value is no label of the task, or nothing is
        left.
    """
    for key in source:
        if key not in _KNOWN_KEYS:
            raise unknown(f"key of task {task}'s items", key, _KNOWN_KEYS)
    table, where_from = _read(task, source)
    for column, keep in (source.get("where") or {}).items():
        _require(table, column, where_from)
        table = table[table[column].isin(list(keep) if isinstance(keep, list | tuple) else [keep])]
    columns = {ours: theirs for ours, theirs in (source.get("columns") or {}).items() if theirs is not None}
    if "gold" not in columns:
        raise InputError(
            f"task {task}: items.columns names no gold column; add gold: <column of {where_from}>"
        )
    for theirs in columns.values():
        _require(table, theirs, where_from)
    table = table[list(columns.values())].set_axis(list(columns), axis=1)
    table = table.assign(gold=_gold(table["gold"], source, where_from)).dropna(subset=["gold"])
    if source.get("limit") is not None:
        table = table.head(_count(f"task {task}: items.limit", source["limit"]))
    return _as_items(task, table, labels, where_from)


def _read(task: str, source: Mapping[str, Any]) -> tuple[pd.DataFrame, str]:
    """Read the whole table and say where it came from."""
    path, hub = source.get("path"), source.get("hub")
    if (path is None) == (hub is None):
        raise InputError(
            f"task {task}: items need either path or hub, received path={path!r} and hub={hub!r}"
        )
    if hub is not None:
        return _read_hub(source), f"data set {hub}"
    return _read_file(_find(str(path)), source.get("format")), str(path)


def _find(path: str) -> Path:
    """Look for a relative path from the working directory, then beside the shipped configuration."""
    candidates = [Path(path).expanduser(), CONF / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(f"no item table {path!r}; looked for it in the working directory and in conf/")


def _read_file(path: Path, kind: str | None) -> pd.DataFrame:
    readers = {
        "csv": lambda: pd.read_csv(path, dtype=str, keep_default_na=False),
        "tsv": lambda: pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t"),
        "jsonl": lambda: pd.read_json(path, lines=True, dtype=False),
        "parquet": lambda: pd.read_parquet(path),
    }
    kind = kind or path.suffix.lstrip(".").lower()
    if kind not in readers:
        raise unknown(f"format of item table {path.name}:", kind, readers)
    try:
        return readers[kind]()
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read item table {path.name} as {kind}: {error}") from error


def _read_hub(source: Mapping[str, Any]) -> pd.DataFrame:
    """Read a published corpus through the datasets library, by its own cache and pinned revision."""
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "items from a hub need the datasets library; pip install -e '.[generate]'"
        ) from error
    hub, split = source["hub"], source.get("split") or "train"
    try:
        loaded = datasets.load_dataset(hub, source.get("name"), split=split, revision=source.get("revision"))
    except Exception as error:  # the library raises a dozen unrelated types for a hub out of reach
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"cannot load data set {hub!r} split {split!r} ({reason}); "
            "check the name and the network, or use items.path with a local file"
        ) from error
    return loaded.to_pandas()


def _require(table: pd.DataFrame, column: str, where_from: str) -> None:
    if column not in table.columns:
        raise unknown(f"column of {where_from}", column, [str(c) for c in table.columns])


def _gold(gold: pd.Series, source: Mapping[str, Any], where_from: str) -> pd.Series:
    """Translate their gold values into our labels; None where a row is to be dropped."""
    bins = source.get("bins")
    if bins:
        edges = [-float("inf"), *bins["edges"], float("inf")]
        try:
            return pd.cut(pd.to_numeric(gold), edges, labels=list(bins["labels"]), right=False).astype(object)
        except ValueError as error:
            raise InputError(
                f"cannot bin the gold column of {where_from} at {bins['edges']}: {error}"
            ) from error
    mapping = {str(theirs): ours for theirs, ours in (source.get("labels") or {}).items()}
    return gold.map(lambda value: mapping.get(str(value), str(value)))


def _as_items(task: str, table: pd.DataFrame, labels: Mapping[str, Any], where_from: str) -> tuple[Item, ...]:
    if table.empty:
        raise InputError(f"task {task}: no item is left of {where_from}")
    for value in table["gold"].unique():
        if value not in labels:
            raise unknown(f"gold label of task {task} in {where_from}:", value, labels)
    if "item" not in table.columns:
        table = table.assign(item=[f"{task}-{row}" for row in table.index])
    repeated = table["item"][table["item"].duplicated()]
    if len(repeated):
        raise InputError(f"task {task}: item {repeated.iloc[0]!r} stands more than once in {where_from}")
    fields = [c for c in table.columns if c not in ("item", "gold")]
    return tuple(
        Item(name=str(row["item"]), gold=row["gold"], fields={f: str(row[f]) for f in fields})
        for row in table.to_dict("records")
    )


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number above zero, received {value!r}")
    return value
