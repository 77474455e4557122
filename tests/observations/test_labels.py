"""Labels of several detectors stand side by side and are replaced whole or not at all."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.detect.base import Labels
from src.detect.outcomes import KINDS, outcome_of, stored_version
from src.errors import InputError
from src.observations.labels import (
    SCHEMA,
    label_rows,
    labels_path,
    read_labels,
    write_labels,
)
from src.study.paths import StudyPaths

ROWS = st.lists(
    st.tuples(
        st.text(max_size=8),
        st.none() | st.sampled_from(KINDS),
        st.none() | st.sampled_from(["yes", "no"]),
        st.none() | st.floats(allow_nan=False),
    ),
    max_size=12,
)


def batch(
    keys: list[str], kind: str = "full_refusal", detector: str = "rules", version: str = "1"
) -> pa.Table:
    return label_rows(keys, Labels([kind] * len(keys), [None] * len(keys)), detector, version)  # type: ignore[list-item]


@given(st.lists(ROWS, max_size=4), st.sampled_from(["any", "full", "evasion"]))
@settings(max_examples=40, deadline=None)
def test_labels_come_back_as_they_were_written(batches: list, refused: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels" / "rules.parquet"
        tables = []
        for rows in batches:
            keys, kinds, labels, scores = ([row[i] for row in rows] for i in range(4))
            tables.append(label_rows(keys, Labels(kinds, labels, scores), "rules", "v1", refused))
        assert write_labels(path, iter(tables)) == sum(map(len, batches))
        table = read_labels(path)
    assert table.schema.equals(SCHEMA)
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (
            key,
            kind,
            kind and outcome_of(kind, label, refused),
            label,
            "rules",
            stored_version("v1", refused),
            score,
            None,
        )
        for rows in batches
        for key, kind, label, score in rows
    ]


def test_detectors_stand_side_by_side_and_new_labels_replace_old_ones(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "mine")
    rules, judge = labels_path(paths, "rules"), labels_path(paths, "org/judge v2")
    assert rules == tmp_path / "mine" / "labels" / "rules.parquet"
    assert judge.parent == rules.parent
    write_labels(rules, [batch(["a", "b"])])
    write_labels(judge, [batch(["a"], "answered", "org/judge v2")])
    write_labels(rules, [batch(["c"], "unparsed", version="2")])
    assert read_labels(rules).to_pylist() == [
        {
            "cell_key": "c",
            "kind": "unparsed",
            "outcome": "unparsed",
            "label": None,
            "detector": "rules",
            "detector_version": "2-any",
            "score": None,
            "reason": None,
        }
    ]
    assert read_labels(judge)["detector"].to_pylist() == ["org/judge v2"]


def test_labels_stay_when_their_renewal_fails(tmp_path: Path) -> None:
    path = tmp_path / "rules.parquet"
    write_labels(path, [batch(["a"])])
    before = path.read_bytes()

    def failing() -> Iterator[pa.Table]:
        yield batch(["b"])
        raise RuntimeError("the detector broke")

    with pytest.raises(RuntimeError, match="the detector broke"):
        write_labels(path, failing())
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"rules.parquet", ".rules.parquet.lock"}


def test_a_kind_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="detector 'rules' gave the kind 'maybe'; it must be full_refusal, "):
        batch(["a"], "maybe")
    path = tmp_path / "rules.parquet"
    for column in ("kind", "outcome"):
        row = {"cell_key": "a", "kind": "answered", "outcome": "answered", column: "maybe"}
        columns = [pa.array([row.get(field.name)], field.type) for field in SCHEMA]
        pq.write_table(pa.table(columns, schema=SCHEMA), path)
        with pytest.raises(InputError, match=rf"rules\.parquet holds the {column} 'maybe'"):
            read_labels(path)


def test_missing_and_damaged_labels_are_named(tmp_path: Path) -> None:
    write_labels(tmp_path / "rules.parquet", [batch(["a"])])
    with pytest.raises(InputError, match=r"no labels of detector 'judge' in .*; there are labels of: rules$"):
        read_labels(tmp_path / "judge.parquet")
    with pytest.raises(InputError, match=r"there are labels of: none$"):
        read_labels(tmp_path / "absent" / "judge.parquet")
    with (tmp_path / "rules.parquet").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match=r"rules\.parquet is damaged"):
        read_labels(tmp_path / "rules.parquet")
