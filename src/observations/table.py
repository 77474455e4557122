"""Joins responses with labels into the table that a fit reads; rebuilt whole, at will."""

import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from src.detect.outcomes import OUTCOMES
from src.errors import InputError
from src.files import written_aside
from src.observations.labels import label_batches
from src.observations.responses import (
    HASH,
    NAMES,
    ResponseStore,
    first_rows,
    key_hashes,
    read_checked,
)
from src.observations.responses import SCHEMA as STORED
from src.study.paths import StudyPaths

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("persona", pa.string()),
        ("task", pa.string()),
        ("paraphrase", pa.string()),
        ("item", pa.string()),
        ("replicate", pa.int32()),
        ("outcome", pa.string()),
        ("refused", pa.bool_()),
        ("label", pa.string()),
        ("gold", pa.string()),
        ("response", pa.string()),
        ("cell_key", pa.string()),
        ("model_revision", pa.string()),
        ("dtype", pa.string()),
        ("engine", pa.string()),
        ("generation_hash", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("new_tokens", pa.int32()),
        ("detector", pa.string()),
        ("detector_version", pa.string()),
        ("persona_template", pa.string()),
        ("system_role", pa.string()),
        ("finish_reason", pa.string()),
        ("batch_size", pa.int32()),
        ("kind", pa.string()),
        ("superseded", pa.bool_()),
    ]
)
"""Columns of the table, one row a response; others read these names and their order. A response is superseded
if its model was asked again later under another configuration, or its cell in other words."""

ORDER = ("model", "persona", "persona_template", "task", "paraphrase", "item", "replicate", "cell_key")
"""Columns that the rows are sorted by, so that the order of parts changes nothing."""

ROW_GROUP = 65_536
"""Rows written at a time."""

AT_ONCE = 262_144
"""Rows sorted at a time; more only if one cell has more."""

CONFIGURATION = ("generation_hash", "model_id", "model_revision", "dtype", "engine")
"""Columns that tell apart how a model was asked; ``generation`` holds the settings behind the first."""

_CELL = ORDER[1:6]
_FROM_LABELS = ("outcome", "label", "detector", "detector_version", "kind")
_COLUMNS = (
    *(n for n in SCHEMA.names if n not in (*_FROM_LABELS, "refused", "superseded")),
    "model_id",
)
"""Read of the stored responses."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table of observations holds, and what was left out of it."""

    rows: int
    """Responses in the table."""
    errors_excluded: int
    """Cells that so far have an error instead of an answer."""
    unlabelled: int
    """Answers that the detector has not read yet: they came after it, as while another model generates."""
    missing: int
    """Answers about which the detector gives no verdict, such as a judge's non-answers."""
    simulated: bool
    """Whether a response comes from the simulated engine."""
    counts: dict[str, dict[str, int]]
    """Responses by model and outcome, models sorted, every outcome named."""
    configurations: list[dict[str, Any]] = field(default_factory=list)
    """How each model was asked, oldest first: model, `CONFIGURATION`, settings (as generated with), responses
    stored without error, and whether it is the model's newest."""


def observations_lock(paths: StudyPaths) -> FileLock:
    """Lock a study's labels and observations; `build_observations` takes it, and a holder may call that.

    Whoever labels and then builds holds it for both, so that labels of fewer responses never replace labels
    of more.

    Parameters
    ----------
    paths : StudyPaths
        The study; its folder must exist.

    Returns
    -------
    FileLock
        A context manager that waits for other processes; one object a study, so that it can be nested.
    """
    return FileLock(paths.root / ".observations.lock", is_singleton=True)


def build_observations(
    paths: StudyPaths,
    labels_path: Path,
    versions: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Summary:
    """Write ``observations.parquet``: each answered cell once, with one detector's labels, in sorted order.

    Memory holds `AT_ONCE` responses, and about 130 bytes for each one stored.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    labels_path : Path
        The detector's labels.
    versions : mapping, optional
        Package names to versions, kept with the table; Python's and PyArrow's if not given. The file's
        metadata ``whyrefuse`` is JSON: versions, created, rows, errors_excluded, unlabelled, missing,
        simulated, configurations.
    output : Path, optional
        The file to write; the study's own table by default.

    Returns
    -------
    Summary
        What the table holds.

    Raises
    ------
    InputError
        If the study is unknown, there are no labelled responses, or a file is damaged; the table then stays
        as it was.
    """
    paths.require()
    with observations_lock(paths):
        labels = _Labels(label_batches(labels_path))
        tally = _Tally()
        with written_aside(output or paths.observations) as file:
            # Without Arrow's own copy of the schema, what is known only at the end can stand in the metadata.
            with pq.ParquetWriter(
                file, SCHEMA, compression="zstd", write_page_checksum=True, store_schema=False
            ) as writer:
                for rows in _labelled_rows(ResponseStore(paths.responses), labels, tally):
                    writer.write_table(rows)
                summary = tally.summary()
                writer.add_key_value_metadata({"whyrefuse": json.dumps(_metadata(summary, versions))})
            if summary.rows == 0:
                raise InputError(
                    f"study {paths.study} holds no labelled response: {summary.errors_excluded} errors, "
                    f"{summary.unlabelled} not in {labels_path}, {summary.missing} without a verdict; "
                    "generate, or label again"
                )
    return summary


class _Tally:
    """Counts rows as they pass."""

    def __init__(self) -> None:
        self.errors = 0
        self.unlabelled = 0
        self.missing = 0
        self.simulated = False
        self.counts: dict[str, dict[str, int]] = {}
        self.configurations: list[dict[str, Any]] = []

    def add(self, rows: pa.Table) -> None:
        self.simulated |= "simulated" in pc.unique(rows["engine"]).to_pylist()
        for group in rows.group_by(["model", "outcome"]).aggregate([([], "count_all")]).to_pylist():
            of = self.counts.setdefault(group["model"], dict.fromkeys(OUTCOMES, 0))
            of[group["outcome"]] += group["count_all"]

    def summary(self) -> Summary:
        rows = sum(sum(of.values()) for of in self.counts.values())
        return Summary(
            rows, self.errors, self.unlabelled, self.missing, self.simulated, self.counts, self.configurations
        )


def _labelled_rows(store: ResponseStore, labels: "_Labels", tally: _Tally) -> Iterator[pa.Table]:
    """Yield the rows of the table in order, a row group at a time."""
    for model, parts in store.parts_by_model().items():
        look = _look_over(model, parts)
        tally.errors += look.errors
        tally.configurations += look.configurations
        for holding, cells in look.batches:
            read = [_answers(part, look.kept[part], [*_COLUMNS, "written_at"]) for part in holding]
            of_cells = [rows.filter(pc.is_in(_cell_names(rows), value_set=cells)) for rows in read]
            rows = labels.join(_mark_superseded(pa.concat_tables(of_cells), look.configurations[-1]))
            found = rows.filter(pc.is_valid(rows["detector"]))
            known = found.filter(pc.is_valid(found["outcome"]))
            tally.unlabelled += rows.num_rows - found.num_rows
            tally.missing += found.num_rows - known.num_rows
            order = pc.sort_indices(known, [(name, "ascending") for name in ORDER])
            for start in range(0, len(order), ROW_GROUP):
                group = known.take(order.slice(start, ROW_GROUP)).select(SCHEMA.names).cast(SCHEMA)
                tally.add(group)
                yield group


@dataclass(frozen=True, slots=True)
class _Look:
    """What a first look at one model's parts tells, without their text."""

    kept: dict[Path, np.ndarray]
    """Rows of each part that are answers of the model and stand for their keys."""
    errors: int
    """Cells that so far have an error instead."""
    configurations: list[dict[str, Any]]
    """As in `Summary`."""
    batches: list[tuple[list[Path], pa.Array]]
    """Cells in order, about `AT_ONCE` responses together, after the parts that hold some of them."""


def _look_over(model: str, parts: Sequence[Path]) -> _Look:
    kept, errors, cells, asked = {}, 0, [], []
    how = [*CONFIGURATION, "generation"]
    for number, (part, first) in enumerate(zip(parts, first_rows(parts), strict=True)):
        names = read_checked(part, STORED, ["model", "finish_reason"])
        of_model = first & pc.equal(names["model"], model).to_numpy()
        failed = pc.equal(names["finish_reason"], "error").to_numpy()
        errors += int((of_model & failed).sum())
        kept[part] = of_model & ~failed
        rows = _answers(part, kept[part], [*_CELL, *how, "written_at"])
        asked.append(rows.group_by(how).aggregate([("written_at", "max"), ([], "count_all")]))
        count = pa.table({"cell": _cell_names(rows)}).group_by("cell").aggregate([([], "count_all")])
        cells.append(count.append_column("part", pa.array(np.full(len(count), number))))
    return _Look(kept, errors, _configurations(model, asked), _batches(pa.concat_tables(cells), parts))


def _answers(part: Path, kept: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Read those rows, with coded text as plain text: it can be sorted and is what other programs expect."""
    rows = read_checked(part, STORED, columns).filter(pa.array(kept))
    coded = [pa.types.is_dictionary(field.type) for field in rows.schema]
    plain = [pa.field(f.name, pa.string()) if c else f for f, c in zip(rows.schema, coded, strict=True)]
    return rows.cast(pa.schema(plain))


def _cell_names(rows: pa.Table) -> pa.ChunkedArray:
    """Name each row's cell; names sort as the cells' levels do."""
    return pc.binary_join_element_wise(*(rows[name] for name in _CELL), "\0")


def _configurations(model: str, asked: list[pa.Table]) -> list[dict[str, Any]]:
    how = [*CONFIGURATION, "generation"]
    together = pa.concat_tables(asked).group_by(how)
    found = together.aggregate([("written_at_max", "max"), ("count_all", "sum")]).to_pylist()
    found.sort(key=lambda row: (row["written_at_max_max"], row["generation_hash"]))
    return [
        {
            "model": model,
            **{name: row[name] for name in CONFIGURATION},
            "settings": json.loads(row["generation"]),
            "responses": row["count_all_sum"],
            "newest": place == len(found) - 1,
        }
        for place, row in enumerate(found)
    ]


def _batches(cells: pa.Table, parts: Sequence[Path]) -> list[tuple[list[Path], pa.Array]]:
    """Cut the sorted cells into batches of about `AT_ONCE` responses."""
    counts = cells.group_by("cell").aggregate([("count_all", "sum")]).sort_by("cell")
    batch = np.cumsum(counts["count_all_sum"].to_numpy()) // AT_ONCE
    found = []
    for number in np.unique(batch):
        names = counts["cell"].filter(pa.array(batch == number)).combine_chunks()
        holding = cells["part"].filter(pc.is_in(cells["cell"], value_set=names))
        found.append(([parts[i] for i in sorted(pc.unique(holding).to_pylist())], names))
    return found


def _mark_superseded(rows: pa.Table, newest: Mapping[str, Any]) -> pa.Table:
    """Append which responses a later one replaces, for want of any other reason to ask a cell again."""
    current = np.ones(len(rows), bool)
    for name in CONFIGURATION:
        current &= pc.equal(rows[name], newest[name]).to_numpy()
    where = [*_CELL, "replicate"]
    last = (
        rows.filter(pa.array(current)).group_by(where).aggregate([("written_at", "max"), ([], "count_all")])
    )
    twice = last.filter(pc.greater(last["count_all"], 1))
    if len(twice):
        latest = rows.select([*where, "written_at"]).to_pandas().groupby(where)["written_at"]
        # An edited wording, persona or item changes the prompt and not the names.
        current &= (rows["written_at"].to_pandas() == latest.transform("max")).to_numpy()
    return rows.append_column("superseded", pa.array(~current))


class _Labels:
    """Labels by key, in about 50 bytes a response."""

    def __init__(self, batches: Iterable[pa.Table]) -> None:
        hashes, columns = [np.empty(0, HASH)], []
        for labels in batches:
            hashes.append(key_hashes(labels["cell_key"]))
            columns.append(labels.select(_FROM_LABELS))
        together = np.concatenate(hashes)
        order = np.argsort(together)
        self._hashes = together[order]
        schema = pa.schema([(name, NAMES) for name in _FROM_LABELS])
        table = pa.concat_tables(columns) if columns else schema.empty_table()
        self._columns = table.unify_dictionaries().combine_chunks().take(pa.array(order))

    def join(self, responses: pa.Table) -> pa.Table:
        """Append the columns of the labels, null where a response has none, and what follows from them."""
        wanted = key_hashes(responses["cell_key"])
        at = np.searchsorted(self._hashes, wanted)
        hit = np.zeros(len(at), bool)
        inside = at < len(self._hashes)
        hit[inside] = self._hashes[at[inside]] == wanted[inside]
        found = self._columns.take(pa.array(at, mask=~hit))
        for name in _FROM_LABELS:
            responses = responses.append_column(name, pc.cast(found[name], pa.string()))
        # A partial refusal that counts as refused has a label in the labels, and none in the observations.
        answers = pc.equal(responses["outcome"], "answered")
        label = pc.if_else(answers, responses["label"], pa.scalar(None, pa.string()))
        responses = responses.set_column(responses.column_names.index("label"), "label", label)
        return responses.append_column("refused", pc.equal(responses["outcome"], "refused"))


def _metadata(summary: Summary, versions: Mapping[str, str] | None) -> dict[str, object]:
    return {
        "versions": dict(versions or {"python": platform.python_version(), "pyarrow": pa.__version__}),
        "created": datetime.now(UTC).isoformat(),
        "rows": summary.rows,
        "errors_excluded": summary.errors_excluded,
        "unlabelled": summary.unlabelled,
        "missing": summary.missing,
        "simulated": summary.simulated,
        "configurations": summary.configurations,
    }
