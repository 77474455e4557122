"""Detectors' labels of stored responses: one file a detector, side by side, rewritten whole at will."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from src.detect.base import Labels
from src.detect.outcomes import DEFAULT, KINDS, OUTCOMES, outcomes, stored_version
from src.errors import InputError
from src.files import written_aside
from src.observations.responses import NAMES, batches_checked
from src.study.paths import StudyPaths

SCHEMA = pa.schema(
    [
        ("cell_key", pa.string()),
        ("kind", NAMES),
        ("outcome", NAMES),
        ("label", NAMES),
        ("detector", NAMES),
        ("detector_version", NAMES),
        ("score", pa.float64()),
        ("reason", pa.string()),
    ]
)
"""Columns of a file of labels, one row a response. Kind and outcome are null where the detector gives no
verdict; label, score and reason may be null."""


def labels_path(paths: StudyPaths, detector: str) -> Path:
    """Name the file of one detector's labels.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    detector : str
        Name of the detector.

    Returns
    -------
    Path
        ``runs/<study>/labels/<detector>.parquet``.
    """
    return paths.labels / f"{quote(detector, safe='')}.parquet"


def label_rows(
    keys: Sequence[str] | pa.ChunkedArray,
    labels: Labels,
    detector: str,
    version: str,
    refused: str = DEFAULT,
) -> pa.Table:
    """Put a detector's labels beside the keys of the responses that it read.

    Parameters
    ----------
    keys : sequence of str
        Cell keys, shape (rows,).
    labels : Labels
        What the detector read, in the same order.
    detector, version : str
        What read it.
    refused : str
        What counts as refused, a key of `src.detect.outcomes.REFUSED`.

    Returns
    -------
    pyarrow.Table
        Rows of `SCHEMA`, for `write_labels`.

    Raises
    ------
    InputError
        If a kind is none that a response can be.
    """
    for kind in set(labels.kind) - {None, *KINDS}:
        raise InputError(
            f"detector {detector!r} gave the kind {kind!r}; it must be {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    rows = len(labels.kind)
    columns = [
        keys,
        pa.array(labels.kind, NAMES),
        pa.array(outcomes(labels, refused), NAMES),
        pa.array(labels.label, NAMES),
        pa.array([detector] * rows, NAMES),
        pa.array([stored_version(version, refused)] * rows, NAMES),
        pa.array([None] * rows if labels.score is None else labels.score, pa.float64()),
        pa.array([None] * rows if labels.reason is None else labels.reason, pa.string()),
    ]
    return pa.table(columns, schema=SCHEMA)


def write_labels(path: Path, batches: Iterable[pa.Table]) -> int:
    """Write one detector's labels in place of its earlier ones, which stay until the new ones are whole.

    Parameters
    ----------
    path : Path
        From `labels_path`.
    batches : iterable of pyarrow.Table
        From `label_rows`; taken one by one, so that memory holds one at a time.

    Returns
    -------
    int
        Rows written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with (
        FileLock(path.with_name(f".{path.name}.lock")),
        written_aside(path) as file,
        pq.ParquetWriter(file, SCHEMA, compression="zstd", write_page_checksum=True) as writer,
    ):
        for batch in batches:
            writer.write_table(batch)
            rows += batch.num_rows
    return rows


def label_batches(path: Path) -> Iterator[pa.Table]:
    """Read one detector's labels, some at a time.

    Parameters
    ----------
    path : Path
        From `labels_path`.

    Yields
    ------
    pyarrow.Table
        Columns of `SCHEMA`, at most a million rows.

    Raises
    ------
    InputError
        If there are none, the file is damaged, or a kind or outcome is unknown; names the file.
    """
    if not path.is_file():
        others = ", ".join(sorted(p.stem for p in path.parent.glob("[!.]*.parquet")))
        raise InputError(
            f"no labels of detector {path.stem!r} in {path.parent}; there are labels of: {others or 'none'}"
        )
    for table in batches_checked(path, SCHEMA):
        for column, known in (("kind", KINDS), ("outcome", OUTCOMES)):
            for value in pc.unique(pc.cast(table[column], pa.string())).to_pylist():
                if value is not None and value not in known:
                    raise InputError(f"{path} holds the {column} {value!r}; known: {', '.join(known)}")
        yield table


def read_labels(path: Path) -> pa.Table:
    """Read all of one detector's labels.

    Parameters
    ----------
    path : Path
        From `labels_path`.

    Returns
    -------
    pyarrow.Table
        Columns of `SCHEMA`.

    Raises
    ------
    InputError
        As `label_batches`.
    """
    return pa.concat_tables([SCHEMA.empty_table(), *label_batches(path)])
