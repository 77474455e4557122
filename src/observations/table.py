"""Joins responses with labels into the table that a fit reads; rebuilt whole, at will."""

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from src.detect.outcomes import OUTCOMES
from src.errors import InputError
from src.observations.labels import read_labels
from src.observations.responses import ResponseStore, written_aside
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
    ]
)
"""Columns of the table, one row a response; others read these names and their order."""

ORDER = ("model", "persona", "persona_template", "task", "paraphrase", "item", "replicate", "cell_key")
"""Columns that the rows are sorted by, so that the order of parts changes nothing."""

ROW_GROUP = 65_536
"""Rows written at a time."""

_FROM_LABELS = ("outcome", "label", "detector", "detector_version", "kind")


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

    Memory holds one model's responses at a time, and all labels.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    labels_path : Path
        The detector's labels.
    versions : mapping, optional
        Package names to versions, kept with the table; Python's and PyArrow's if not given. The file's
        metadata ``whyrefuse`` is JSON: versions, created, rows, errors_excluded, unlabelled, missing,
        simulated.
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
        labels = read_labels(labels_path)
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

    def add(self, rows: pa.Table) -> None:
        self.simulated |= "simulated" in pc.unique(rows["engine"]).to_pylist()
        for group in rows.group_by(["model", "outcome"]).aggregate([([], "count_all")]).to_pylist():
            of = self.counts.setdefault(group["model"], dict.fromkeys(OUTCOMES, 0))
            of[group["outcome"]] += group["count_all"]

    def summary(self) -> Summary:
        rows = sum(sum(of.values()) for of in self.counts.values())
        return Summary(rows, self.errors, self.unlabelled, self.missing, self.simulated, self.counts)


def _labelled_rows(store: ResponseStore, labels: pa.Table, tally: _Tally) -> Iterator[pa.Table]:
    """Yield the rows of the table in order, a row group at a time."""
    columns = [name for name in SCHEMA.names if name not in (*_FROM_LABELS, "refused")]
    for model, parts in store.parts_by_model().items():
        answers = []
        for part in store.scan(columns, parts):
            answered = part.filter(pc.equal(part["model"], model))
            good = answered.filter(pc.not_equal(answered["finish_reason"], "error"))
            tally.errors += answered.num_rows - good.num_rows
            answers.append(_plain(good))
        if not answers:
            continue
        rows = _join(pa.concat_tables(answers).combine_chunks(), labels)
        read = rows.filter(pc.is_valid(rows["detector"]))
        known = read.filter(pc.is_valid(read["outcome"]))
        tally.unlabelled += rows.num_rows - read.num_rows
        tally.missing += read.num_rows - known.num_rows
        order = pc.sort_indices(known, [(name, "ascending") for name in ORDER])
        for start in range(0, len(order), ROW_GROUP):
            group = known.take(order.slice(start, ROW_GROUP)).select(SCHEMA.names).cast(SCHEMA)
            tally.add(group)
            yield group


def _join(responses: pa.Table, labels: pa.Table) -> pa.Table:
    """Append the columns of the labels; null where a response has none."""
    where = pc.index_in(responses["cell_key"], value_set=labels["cell_key"])
    found = labels.select(_FROM_LABELS).take(where)
    for name in _FROM_LABELS:
        responses = responses.append_column(name, pc.cast(found[name], pa.string()))
    # A partial refusal that counts as refused has a label in the labels, and none in the observations.
    answers = pc.equal(responses["outcome"], "answered")
    label = pc.if_else(answers, responses["label"], pa.scalar(None, pa.string()))
    responses = responses.set_column(responses.column_names.index("label"), "label", label)
    return responses.append_column("refused", pc.equal(responses["outcome"], "refused"))


def _plain(rows: pa.Table) -> pa.Table:
    """Turn coded text into text, which can be sorted and is what other programs expect."""
    # One model's responses can exceed the 2 GiB of text that Arrow's small strings hold in one piece.
    types = {"response": pa.large_string()}
    fields = [(field.name, types.get(field.name, SCHEMA.field(field.name).type)) for field in rows.schema]
    return rows.cast(pa.schema(fields))


def _metadata(summary: Summary, versions: Mapping[str, str] | None) -> dict[str, object]:
    return {
        "versions": dict(versions or {"python": platform.python_version(), "pyarrow": pa.__version__}),
        "created": datetime.now(UTC).isoformat(),
        "rows": summary.rows,
        "errors_excluded": summary.errors_excluded,
        "unlabelled": summary.unlabelled,
        "missing": summary.missing,
        "simulated": summary.simulated,
    }
