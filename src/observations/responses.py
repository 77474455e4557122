"""The append-only store of raw responses: a folder of Parquet parts that are never rewritten.

A part is written beside its place, made durable and renamed, so readers see whole parts or none. One process
at a time writes one model of a study; the lock that says so ends with its process, however that ends.
"""

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from src.engines.base import GenerationSettings, Identity, Response
from src.engines.keys import generation_hash, settings_json
from src.errors import InputError, unknown
from src.files import written_aside
from src.observations.planning import PlannedJob

NAMES = pa.dictionary(pa.int32(), pa.string())
"""Type of text that repeats: the distinct values once, and codes."""

SCHEMA = pa.schema(
    [
        ("cell_key", pa.string()),
        ("model", NAMES),
        ("persona", NAMES),
        ("persona_template", NAMES),
        ("task", NAMES),
        ("paraphrase", NAMES),
        ("item", NAMES),
        ("replicate", pa.int32()),
        ("gold", NAMES),
        ("task_labels", NAMES),
        ("response", pa.string()),
        ("prompt", pa.string()),
        ("system_role", NAMES),
        ("finish_reason", NAMES),
        ("prompt_tokens", pa.int32()),
        ("new_tokens", pa.int32()),
        ("batch_size", pa.int32()),
        ("model_id", NAMES),
        ("model_revision", NAMES),
        ("dtype", NAMES),
        ("engine", NAMES),
        ("device", NAMES),
        ("generation_hash", NAMES),
        ("generation", NAMES),
        ("seed", pa.int64()),
        ("versions", NAMES),
        ("written_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns of a part, one row a response."""

HASH = np.dtype("S16")
"""Type of a key's hash; bytes, so that hashes can be sorted and searched."""

_ERROR = "error"


class DamagedFileError(InputError):
    """A file that is cut off, changed on disk, or not what its place says."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}; move it away, then make what it held anew")
        self.reason = reason


class ResponseStore:
    """Reads the responses of one study.

    Parameters
    ----------
    folder : Path
        ``runs/<study>/responses``; may not exist yet, which is an empty store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def parts(self) -> list[Path]:
        """Finished parts, sorted by name and so by time."""
        return sorted(path for path in self._folder.glob("*.parquet") if not path.name.startswith("."))

    def parts_by_model(self) -> dict[str, list[Path]]:
        """Finished parts of each model, models and parts sorted.

        Returns
        -------
        dict
            A part that holds several models stands under each.

        Raises
        ------
        DamagedFileError
            If a part cannot be read.
        """
        found: dict[str, list[Path]] = defaultdict(list)
        for part in self.parts():
            names = read_checked(part, SCHEMA, ["model"])["model"]
            for model in pc.unique(pc.cast(names, pa.string())).to_pylist():
                found[model].append(part)
        return dict(sorted(found.items()))

    def stored(self, model: str) -> "StoredKeys":
        """Keys of one model that need no new job: its stored responses that are no errors.

        Parameters
        ----------
        model : str
            Name of the model, as it stands in the data.

        Returns
        -------
        StoredKeys
            Sixteen bytes a key.

        Raises
        ------
        DamagedFileError
            If a part cannot be read.
        """
        found = []
        for part in self.parts():
            table = read_checked(part, SCHEMA, ["cell_key", "model", "finish_reason"])
            wanted = pc.and_(pc.not_equal(table["finish_reason"], _ERROR), pc.equal(table["model"], model))
            found.append(key_hashes(table["cell_key"].filter(wanted)))
        return StoredKeys(np.concatenate(found) if found else np.empty(0, HASH))

    def scan(self, columns: Sequence[str], parts: Sequence[Path] | None = None) -> Iterator[pa.Table]:
        """Stream the responses part by part, each key once.

        Of the rows with one key the first that is not an error is given, else the first, in the order of the
        parts' names. Beside one part's rows, memory holds about 40 bytes a stored row.

        Parameters
        ----------
        columns : sequence of str
            Names from `SCHEMA`.
        parts : sequence of Path, optional
            Parts to read instead of all; must hold every row of the keys in them.

        Yields
        ------
        pyarrow.Table
            Rows of one part, in stored order.

        Raises
        ------
        DamagedFileError
            If a part cannot be read.
        InputError
            If there is no such column.
        """
        for name in columns:
            if name not in SCHEMA.names:
                raise unknown("column of the responses", name, SCHEMA.names)
        parts = self.parts() if parts is None else parts
        for part, kept in zip(parts, first_rows(parts), strict=True):
            if kept.any():
                yield read_checked(part, SCHEMA, columns).filter(pa.array(kept))

    def damaged(self) -> list[tuple[Path, str]]:
        """Read every byte of every part and find those that are damaged.

        Returns
        -------
        list of (Path, str)
            Parts, each with what is wrong with it.
        """
        found = []
        for part in self.parts():
            try:
                read_checked(part, SCHEMA)
            except DamagedFileError as error:
                found.append((part, error.reason))
        return found

    def set_aside_damaged(self) -> list[Path]:
        """Rename damaged parts to ``<name>.damaged``, so that their cells are generated anew.

        Returns
        -------
        list of Path
            The new paths; nothing is deleted.
        """
        moved = []
        for part, _ in self.damaged():
            aside = part.with_name(f"{part.name}.damaged")
            while aside.exists():
                aside = aside.with_name(f"{aside.name}.damaged")
            try:
                part.rename(aside)
            except FileNotFoundError:
                continue  # another process has just set it aside
            moved.append(aside)
        return moved


class StoredKeys:
    """A set of keys that takes sixteen bytes each, so that ten million fit in little memory.

    Parameters
    ----------
    hashes : ndarray of HASH, shape (keys,)
        From `key_hashes`.
    """

    def __init__(self, hashes: np.ndarray) -> None:
        self._hashes = np.sort(hashes)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._hashes)

    def contains(self, keys: Sequence[str]) -> np.ndarray:
        """Look keys up.

        Parameters
        ----------
        keys : sequence of str
            Cell keys.

        Returns
        -------
        ndarray of bool, shape (keys,)
            Which are in the set.
        """
        if not len(self._hashes):
            return np.zeros(len(keys), bool)
        wanted = key_hashes(pa.array(keys, pa.string()))
        at = np.searchsorted(self._hashes, wanted).clip(max=len(self._hashes) - 1)
        return self._hashes[at] == wanted


class ResponseWriter:
    """Adds one model's responses to the store; a context manager that flushes at its end, whatever ends it.

    Parameters
    ----------
    folder : Path
        ``runs/<study>/responses``; made if missing.
    model : str
        Name of the model, as it stands in the data.
    identity : Identity
        What answers.
    settings : GenerationSettings
        How responses are drawn.
    versions : mapping
        Package names to versions.
    rows : int
        Responses that may wait for a part.
    seconds : float
        Time after which the next response makes a part of those that wait.

    Raises
    ------
    InputError
        On entry, if another process is generating this model in this study.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        identity: Identity,
        settings: GenerationSettings,
        versions: Mapping[str, str],
        *,
        rows: int = 4096,
        seconds: float = 30.0,
    ) -> None:
        self._folder = folder
        self._model = model
        # Quoting keeps different models' files apart, whatever their names hold.
        self._slug = quote(model, safe="")
        self._lock = FileLock(folder / f".{self._slug}.lock")
        self._context = {
            **asdict(identity),
            "generation_hash": generation_hash(settings),
            "generation": settings_json(settings),
            "versions": json.dumps(dict(versions), sort_keys=True),
        }
        self._limits = (rows, seconds)
        self._waiting: list[tuple[PlannedJob, Response, int]] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        """Take the model's lock."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"another process is generating {self._model} in study {self._folder.parent.name}"
            ) from None
        self._aside.unlink(missing_ok=True)
        self._flushed = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, also after an exception or an interrupt, and give the lock back."""
        try:
            # Where writing has just failed for want of room, a second try would only hide the first error.
            if not isinstance(error, InputError):
                self.flush()
        finally:
            self._lock.release()

    def add(self, planned: PlannedJob, response: Response) -> None:
        """Take one response; write a part if enough wait or the last one is long ago.

        Parameters
        ----------
        planned : PlannedJob
            The job that was answered.
        response : Response
            Its answer.
        """
        if planned.job.key != response.key:
            raise ValueError(f"response {response.key} does not answer job {planned.job.key}")
        self._waiting.append((planned, response, time.time_ns() // 1000))
        rows, seconds = self._limits
        if len(self._waiting) >= rows or time.monotonic() - self._flushed >= seconds:
            self.flush()

    def flush(self) -> None:
        """Make a part of the responses that wait, if any."""
        if self._waiting:
            table = _table(self._waiting, self._context)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{self._slug}-{secrets.token_hex(4)}.parquet"
            with written_aside(self._folder / name, self._aside) as file:
                pq.write_table(table, file, compression="zstd", write_page_checksum=True)
            # An interrupt just before this line stores these rows twice; readers take each key once.
            self._waiting = []
        self._flushed = time.monotonic()

    @property
    def _aside(self) -> Path:
        # One fixed name: only the holder of the lock writes it, so a killed process leaves one file at most.
        return self._folder / f".{self._slug}.new"


def read_checked(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file with its page checksums verified.

    Parameters
    ----------
    path : Path
        The file.
    schema : pyarrow.Schema
        Columns that it must hold; others are left unread.
    columns : sequence of str, optional
        Those of them to read; all if not given.

    Returns
    -------
    pyarrow.Table
        The columns in the order asked for.

    Raises
    ------
    DamagedFileError
        If the file is cut off or changed, or lacks a column.
    InputError
        If the file is missing or may not be read.
    """
    wanted = list(schema.names if columns is None else columns)
    with _opened(path, schema) as file:
        return file.read(wanted).select(wanted)


def batches_checked(path: Path, schema: pa.Schema, rows: int = 1_000_000) -> Iterator[pa.Table]:
    """Read a Parquet file as `read_checked` does, at most so many rows at a time.

    Parameters
    ----------
    path : Path
        The file.
    schema : pyarrow.Schema
        Columns that it must hold, and that are read.
    rows : int
        Rows at a time.

    Yields
    ------
    pyarrow.Table
        The columns, in the schema's order.

    Raises
    ------
    DamagedFileError
        If the file is cut off or changed, or lacks a column.
    InputError
        If the file is missing or may not be read.
    """
    with _opened(path, schema) as file:
        for batch in file.iter_batches(rows, columns=schema.names):
            yield pa.Table.from_batches([batch]).select(schema.names)


@contextmanager
def _opened(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file that holds a schema's columns, and name it in every error of reading it."""
    try:
        source = pa.OSFile(str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror or error}") from error
    try:
        with source, pq.ParquetFile(source, page_checksum_verification=True) as file:
            found = {field.name: field.type for field in file.schema_arrow}
            for field in schema:
                if found.get(field.name) != field.type:
                    raise DamagedFileError(path, f"it has no column {field.name!r} of type {field.type}")
            yield file
    except MemoryError:
        raise  # a full memory says nothing about the file, though Arrow counts it among its own errors
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedFileError(path, (str(error).splitlines() or [type(error).__name__])[0]) from error


def key_hashes(keys: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Hash keys to 128 bits: two of ten million meet with odds of 10^-25.

    Parameters
    ----------
    keys : pyarrow array of string
        Cell keys.

    Returns
    -------
    ndarray of HASH, shape (keys,)
        Sixteen bytes each.
    """
    texts = keys.to_numpy(zero_copy_only=False)
    halves = np.empty((len(texts), 2), np.uint64)
    halves[:, 0] = pd.util.hash_array(texts, categorize=False)
    halves[:, 1] = pd.util.hash_array(texts, hash_key="whyrefuse-keys-2", categorize=False)
    return halves.view(HASH)[:, 0]


def first_rows(parts: Sequence[Path]) -> list[np.ndarray]:
    """Mark, in each part, the rows that stand for their keys: good ones before errors, then by position.

    Parameters
    ----------
    parts : sequence of Path
        Parts that hold every row of the keys in them.

    Returns
    -------
    list of ndarray of bool, shape (rows of the part,)
        One a part; each key is marked once.
    """
    if not parts:
        return []
    hashes, errors = [], []
    for part in parts:
        table = read_checked(part, SCHEMA, ["cell_key", "finish_reason"])
        hashes.append(key_hashes(table["cell_key"]))
        errors.append(pc.equal(table["finish_reason"], _ERROR).to_numpy())
    sizes = [len(e) for e in errors]
    halves = np.concatenate(hashes).view(np.uint64).reshape(-1, 2)
    del hashes
    order = np.lexsort((np.concatenate(errors), halves[:, 1], halves[:, 0]))  # stable: equal rows keep order
    new = np.ones(len(order), bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(axis=1)
    kept = np.zeros(len(order), bool)
    kept[order[new]] = True
    return np.split(kept, np.cumsum(sizes)[:-1])


def _table(waiting: list[tuple[PlannedJob, Response, int]], context: Mapping[str, str]) -> pa.Table:
    """Lay responses out as the columns of a part."""
    planned, responses, times = zip(*waiting, strict=True)
    columns: dict[str, Sequence[Any]] = {
        "cell_key": [r.key for r in responses],
        "replicate": [p.replicate for p in planned],
        "gold": [p.gold for p in planned],
        "task_labels": [p.task_labels for p in planned],
        "response": [r.text for r in responses],
        "prompt": [p.job.rendered.text for p in planned],
        "system_role": [p.job.rendered.system_role for p in planned],
        "finish_reason": [r.finish_reason for r in responses],
        "prompt_tokens": [r.prompt_tokens for r in responses],
        "new_tokens": [r.new_tokens for r in responses],
        "batch_size": [r.batch_size for r in responses],
        "seed": [p.job.seed for p in planned],
        "written_at": times,
    }
    codes = np.zeros(len(waiting), np.int32)
    arrays = []
    for field in SCHEMA:
        if field.name in context:
            arrays.append(pa.DictionaryArray.from_arrays(codes, [context[field.name]]))
        elif field.name in columns:
            arrays.append(_column(columns[field.name], field.type))
        else:
            arrays.append(_column([p.levels[field.name] for p in planned], field.type))
    return pa.table(arrays, schema=SCHEMA)


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        # A server's JSON may hold halves of UTF-16 pairs, which no UTF-8 file can: join them or mark them.
        whole = [v.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for v in values]
        return pa.array(whole, kind)
