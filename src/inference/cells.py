"""Tables of responses reduced to counts: one row per distinct combination of factor levels.

Rows with equal levels are sufficient as (refusals, trials), so a fit's cost depends on the number of
distinct cells and not on the number of responses.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from src.errors import InputError, unknown
from src.inference.configurations import configuration_notes, read_configurations

if TYPE_CHECKING:
    from src.inference.detector_error import DetectorError

_TRUE = {"1", "1.0", "true", "t", "yes", "y"}
_FALSE = {"0", "0.0", "false", "f", "no", "n"}


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts of refusals by combination of levels, sorted, so that the order of rows changes nothing."""

    levels: dict[str, list[str]]
    """Level names of each factor, sorted."""
    codes: np.ndarray
    """Level codes, shape (cells, factors), int32."""
    refusals: np.ndarray
    """Refusals, shape (cells,), float64 holding whole numbers."""
    trials: np.ndarray
    """Responses, shape (cells,), float64 holding whole numbers."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know about how the table was read."""
    simulated: bool = False
    """Whether the responses came from the simulated engine."""
    error: "DetectorError | None" = None
    """What is known of the detector's error; None takes its flags for refusals."""

    @property
    def factors(self) -> list[str]:
        """Names of the factors, in the order of the columns of `codes`."""
        return list(self.levels)


NEWEST, EVERY = "newest", "all"
"""Which responses count where a model was asked under several configurations."""

_ROWS = 262_144


def read_cells(
    path: Path,
    factors: Sequence[str],
    columns: Mapping[str, str] | None = None,
    generation: str = NEWEST,
) -> Cells:
    """Read a table of responses or of counts, and reduce it to cells.

    Parameters
    ----------
    path : Path
        Parquet, CSV, TSV or JSON lines with one column per factor and either ``refused`` (0/1, true/false,
        yes/no) or ``refusals`` and ``trials``. Only these columns are read, of Parquet some rows at a
        time.
    factors : sequence of str
        Names of the factors.
    columns : mapping, optional
        Our column names to theirs, where they differ.
    generation : str
        Of a study of ours: ``newest`` leaves superseded responses out, ``all`` counts them, a
        ``generation_hash`` counts only those of these settings. A table from elsewhere is counted whole.

    Returns
    -------
    Cells
        Counts by distinct combination of levels.

    Raises
    ------
    InputError
        If the file is missing, empty or no table, a column is missing, or a value cannot be a count.
    """
    columns = dict(columns or {})
    for name in columns:
        if name not in [*factors, "refused", "refusals", "trials"]:
            raise unknown("name on the left of columns", name, [*factors, "refused", "refusals", "trials"])
    header = column_names(path)
    wanted = {f: columns.get(f, f) for f in factors}
    for factor, theirs in wanted.items():
        if theirs not in header:
            raise unknown(f"column of {path.name} for factor {factor}:", theirs, header)
    counts = count_columns(path, header, columns)
    choice = row_choice(path, header, generation)
    extra = ["engine"] if "engine" in header and "engine" not in factors else []
    read = list(dict.fromkeys([*wanted.values(), *counts.values(), *extra, *choice]))
    parts, rows, incomplete, simulated = [], 0, 0, False
    seen: dict[str, set[str | None]] = {f: set() for f in wanted}
    for table in column_batches(path, read):
        table = chosen_rows(table, choice)
        simulated |= bool(extra) and "simulated" in pc.unique(table["engine"]).to_pylist()
        complete = _complete(table, path, wanted, counts, rows)
        for factor, column in wanted.items():
            seen[factor].update(pc.unique(pc.cast(table[column], pa.string())).to_pylist())
        rows += table.num_rows
        incomplete += table.num_rows - complete.num_rows
        parts.append(_sums(complete, wanted))
    if rows == 0:
        raise InputError(f"{path} holds no rows")
    notes = [f"{incomplete} of {rows} rows lack an outcome or a level: left out"] if incomplete else []
    sums = _sums(pa.concat_tables(parts), wanted)
    if sums.num_rows == 0:
        raise InputError(f"{path} holds no row with an outcome and every factor ({', '.join(wanted)})")
    notes += [*_levels_lost(seen, sums, wanted), *configuration_notes(path, generation)]
    return _coded(sums.to_pandas(), wanted, notes, simulated)


def row_choice(path: Path, header: Sequence[str], generation: str) -> dict[str, Any]:
    """Say which column holds which value in the rows to count."""
    if generation == EVERY:
        return {}
    if generation == NEWEST:
        return {"superseded": False} if "superseded" in header else {}
    if "generation_hash" not in header:
        raise InputError(
            f"{path} has no column generation_hash to choose {generation!r} by; use generation=all"
        )
    known = sorted({one["generation_hash"] for one in read_configurations(path)})
    if known and generation not in known:
        raise unknown("generation", generation, [NEWEST, EVERY, *known])
    return {"generation_hash": generation}


def chosen_rows(table: pa.Table, choice: Mapping[str, Any]) -> pa.Table:
    """Keep the rows that `row_choice` chose."""
    for column, value in choice.items():
        table = table.filter(pc.equal(pc.cast(table[column], pa.scalar(value).type), value))
    return table


def column_names(path: Path) -> list[str]:
    """List the columns of a table, without reading it."""
    if not path.is_file():
        raise InputError(f"no such table: {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        if path.suffix in (".jsonl", ".ndjson"):
            return list(pd.read_json(path, lines=True, nrows=1).columns)
        return list(pd.read_csv(path, nrows=0, sep=_separator(path)).columns)
    except (ValueError, OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{path} is not a readable table: {_first_line(error)}") from error


def _separator(path: Path) -> str:
    if path.suffix not in (".csv", ".tsv", ".txt"):
        raise InputError(f"{path} is no table that can be read; use .parquet, .csv, .tsv or .jsonl")
    return "," if path.suffix == ".csv" else "\t"


def read_columns(path: Path, columns: list[str]) -> pa.Table:
    """Read some columns of a table; those of text formats stay text."""
    return pa.concat_tables(column_batches(path, columns))


def column_batches(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Read some columns as `read_columns` does, some rows at a time of Parquet."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                # The first is empty, so that a table without rows still has its columns.
                yield file.schema_arrow.empty_table().select(columns)
                for batch in file.iter_batches(_ROWS, columns=columns):
                    yield pa.Table.from_batches([batch]).select(columns)
            return
        if path.suffix in (".jsonl", ".ndjson"):
            frame = pd.read_json(path, lines=True, dtype=False)[columns]
        else:
            frame = pd.read_csv(path, usecols=columns, sep=_separator(path), dtype=str, keep_default_na=False)
        yield pa.Table.from_pandas(frame[columns], preserve_index=False)
    except (ValueError, OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}") from error


def count_columns(path: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Find the columns of outcomes: refusals and trials, or refused."""
    pair = {name: columns.get(name, name) for name in ("refusals", "trials")}
    if "refused" not in columns and all(theirs in header for theirs in pair.values()):
        return pair
    refused = columns.get("refused", "refused")
    if refused in header:
        return {"refused": refused}
    missing = [theirs for theirs in pair.values() if theirs not in header]
    if len(missing) == 1:
        raise InputError(f"{path.name} has no column {missing[0]!r}; counts need both refusals and trials")
    raise unknown(
        f"column of {path.name} for the outcome (refused, or refusals and trials):", refused, header
    )


def _complete(
    table: pa.Table, path: Path, wanted: Mapping[str, str], counts: Mapping[str, str], before: int
) -> pa.Table:
    """Keep rows with an outcome and every level: factors as text, refusals and trials as numbers."""
    data: dict[str, pa.ChunkedArray] = {
        f"factor {f}": pc.cast(table[c], pa.string()) for f, c in wanted.items()
    }
    if "refused" in counts:
        data["refusals"] = read_refused(table[counts["refused"]], path, counts["refused"])
        data["trials"] = pc.cast(pc.is_valid(data["refusals"]), pa.float64())
    else:
        data["refusals"] = _whole(table[counts["refusals"]], path, counts["refusals"])
        data["trials"] = _whole(table[counts["trials"]], path, counts["trials"])
        if pc.any(pc.greater(data["refusals"], data["trials"])).as_py():
            row = int(np.flatnonzero(pc.greater(data["refusals"], data["trials"]).to_numpy())[0])
            raise InputError(
                f"{path.name} row {before + row + 1}: {data['refusals'][row].as_py():.0f} refusals "
                f"of {data['trials'][row].as_py():.0f} trials; refusals cannot exceed trials"
            )
    clean = pa.table(data)
    complete = pc.is_valid(clean["trials"])
    for name in clean.column_names:
        complete = pc.and_(complete, pc.is_valid(clean[name]))
    return clean.filter(pc.and_(complete, pc.greater(pc.fill_null(clean["trials"], 0.0), 0.0)))


def _sums(table: pa.Table, wanted: Mapping[str, str]) -> pa.Table:
    """Add refusals and trials up by combination of levels."""
    keys = [f"factor {f}" for f in wanted]
    summed = table.group_by(keys).aggregate([("refusals", "sum"), ("trials", "sum")])
    return summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])


def _coded(frame: pd.DataFrame, wanted: Mapping[str, str], notes: list[str], simulated: bool) -> Cells:
    """Sort the cells and code their levels."""
    keys = [f"factor {f}" for f in wanted]
    frame = frame.sort_values(keys, kind="stable", ignore_index=True)
    levels = {f: sorted(frame[f"factor {f}"].unique()) for f in wanted}
    codes = np.stack(
        [pd.Categorical(frame[f"factor {f}"], categories=levels[f]).codes.astype(np.int32) for f in wanted],
        axis=1,
    )
    return Cells(
        levels,
        np.ascontiguousarray(codes),
        frame["refusals"].to_numpy(np.float64),
        frame["trials"].to_numpy(np.float64),
        notes,
        simulated,
    )


def _levels_lost(
    seen: Mapping[str, set[str | None]], kept: pa.Table, factors: Mapping[str, str]
) -> list[str]:
    """Name the levels that no row with an outcome has: the model says nothing of them."""
    notes = []
    for factor in factors:
        found = kept[f"factor {factor}"].to_pylist()
        lost = sorted(str(level) for level in seen[factor] - {*found, None})
        if lost:
            notes.append(f"no outcome for {factor} {', '.join(lost)}: left out, nothing is said of it")
    return notes


def read_refused(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    """Read a yes-or-no column as 1.0, 0.0 or null."""
    if pa.types.is_boolean(column.type):
        return pc.cast(column, pa.float64())
    text = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(column, pa.string())))
    yes, no = (pc.is_in(text, value_set=pa.array(sorted(words))) for words in (_TRUE, _FALSE))
    missing = pc.or_(
        pc.invert(pc.is_valid(text)), pc.is_in(text, value_set=pa.array(["", "nan", "none", "null"]))
    )
    strange = text.filter(pc.invert(pc.or_(pc.or_(yes, no), pc.fill_null(missing, True))))
    if len(strange):
        raise InputError(
            f"column {name!r} of {path.name} holds {strange[0].as_py()!r}; "
            "refused must be 0/1, true/false or yes/no"
        )
    return pc.if_else(missing, pa.scalar(None, pa.float64()), pc.cast(yes, pa.float64()))


def _whole(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    """Read a column of whole, non-negative counts."""
    try:
        numbers = pc.cast(column, pa.float64())
    except pa.ArrowException as error:
        raise InputError(
            f"column {name!r} of {path.name} holds something that is no number: {_first_line(error)}"
        ) from error
    values = numbers.to_numpy(zero_copy_only=False)
    wrong = values[np.isfinite(values) & ((values < 0) | (values != np.round(values)))]
    if len(wrong):
        raise InputError(
            f"column {name!r} of {path.name} holds {wrong[0]:g}; counts must be whole and not negative"
        )
    return numbers


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
