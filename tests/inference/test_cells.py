"""Tables of any origin reduced to counts, checked against pandas; bad tables named in one line."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.errors import InputError
from src.inference.cells import read_cells

ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "ü y", "1"]), st.booleans()),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, kind=st.sampled_from(["parquet", "csv", "tsv", "jsonl"]), counts=st.booleans())
def test_counts_are_those_of_pandas(tmp_path_factory, rows, kind, counts):
    table = pd.DataFrame(rows, columns=["model", "prompt", "refused"])
    by_cell = table.groupby(["model", "prompt"])["refused"].agg(["sum", "count"])
    if counts:
        table = by_cell.reset_index().set_axis(["model", "prompt", "refusals", "trials"], axis=1)
    path = tmp_path_factory.mktemp("t") / f"t.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    cells = read_cells(path, ["model", "prompt"])
    found = {
        (cells.levels["model"][m], cells.levels["prompt"][p]): (k, n)
        for (m, p), k, n in zip(cells.codes, cells.refusals, cells.trials, strict=True)
    }
    assert found == {
        key: tuple(map(float, row)) for key, row in zip(by_cell.index, by_cell.to_numpy(), strict=True)
    }


@pytest.mark.parametrize(
    "words", [("yes", "no"), ("TRUE", "False"), ("1", "0"), ("1.0", "0.0"), (" y ", "n")]
)
def test_outcomes_in_other_words(tmp_path, words):
    table = pd.DataFrame({"model": list("aab"), "label": [words[0], words[1], words[1]]})
    table.to_csv(tmp_path / "t.csv", index=False)
    cells = read_cells(tmp_path / "t.csv", ["model"], {"refused": "label"})
    assert cells.refusals.tolist() == [1, 0]
    assert cells.trials.tolist() == [2, 1]


def test_incomplete_rows_are_left_out_and_counted(tmp_path):
    pd.DataFrame({"model": ["a", "b", "c"], "refused": ["1", "", "0"]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    cells = read_cells(tmp_path / "t.csv", ["model"])
    assert cells.trials.sum() == 2
    assert cells.notes == [
        "1 of 3 rows lack an outcome or a level: left out",
        "no outcome for model b: left out, nothing is said of it",
    ]


def test_simulated_responses_are_known_as_such(tmp_path):
    table = pd.DataFrame(
        {"model": ["a", "a"], "refused": [True, False], "engine": ["simulated", "transformers"]}
    )
    table.to_parquet(tmp_path / "t.parquet")
    assert read_cells(tmp_path / "t.parquet", ["model"]).simulated
    table.assign(engine="transformers").to_parquet(tmp_path / "t.parquet")
    assert not read_cells(tmp_path / "t.parquet", ["model"]).simulated


GOOD = {"model": ["a", "b"], "refusals": [1, 2], "trials": [3, 3]}


@pytest.mark.parametrize(
    ("table", "factors", "columns", "message"),
    [
        (GOOD, ["modle"], {}, "did you mean model"),
        (GOOD, ["model"], {"refsued": "x"}, "did you mean refused"),
        (GOOD, ["model"], {"refused": "flag"}, "unknown column of t.csv for the outcome"),
        ({**GOOD, "refusals": [4, 1]}, ["model"], {}, "row 1: 4 refusals of 3 trials"),
        ({**GOOD, "refusals": [-1, 1]}, ["model"], {}, "holds -1; counts must be whole"),
        ({**GOOD, "trials": [3, 2.5]}, ["model"], {}, "holds 2.5; counts must be whole"),
        ({**GOOD, "trials": ["three", 3]}, ["model"], {}, "no number"),
        ({"model": ["a"], "refusals": [1]}, ["model"], {}, "counts need both refusals and trials"),
        ({"model": ["a"], "refused": ["maybe"]}, ["model"], {}, "holds 'maybe'"),
        ({"model": ["a"], "refused": [""]}, ["model"], {}, "no row with an outcome"),
        ({"model": [], "refused": []}, ["model"], {}, "holds no rows"),
    ],
)
def test_bad_tables_get_one_clear_line(tmp_path, table, factors, columns, message):
    pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=message):
        read_cells(tmp_path / "t.csv", factors, columns)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(InputError, match="no such table"):
        read_cells(tmp_path / "none.csv", ["model"])
    (tmp_path / "t.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="not a readable table"):
        read_cells(tmp_path / "t.parquet", ["model"])
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        read_cells(tmp_path / "empty.csv", ["model"])
    (tmp_path / "t.xlsx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"use .parquet, .csv"):
        read_cells(tmp_path / "t.xlsx", ["model"])


def test_json_lines_keep_numbers_as_they_are(tmp_path):
    lines = [{"model": "1e5", "refused": 1}, {"model": "1e5", "refused": 0}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cells = read_cells(tmp_path / "t.jsonl", ["model"])
    assert cells.levels == {"model": ["1e5"]}
    assert np.array_equal(cells.trials, [2])
