"""Item tables in every format, mapped, filtered, and refused with a reason."""

import json

import pandas as pd
import pytest

from src.errors import InputError
from src.study.items import load_items

LABELS = {"good": ["good"], "bad": ["bad"]}
TABLE = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "text": ["It's “fine”, they said", "naïve, ☂", "third"],
        "y": ["1", "0", "-1"],
        "part": list("xyx"),
    }
)
MAPPED = {
    "columns": {"item": "id", "gold": "y", "text": "text"},
    "labels": {"1": "good", "0": "bad", "-1": None},
}


def write(folder, kind):
    path = folder / f"items.{kind}"
    if kind == "csv":
        TABLE.to_csv(path, index=False)
    elif kind == "tsv":
        TABLE.to_csv(path, index=False, sep="\t")
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in TABLE.to_dict("records")))
    else:
        TABLE.assign(y=TABLE["y"].astype(int)).to_parquet(path)
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_formats_give_the_same_items(tmp_path, kind):
    items = load_items("t", {"path": write(tmp_path, kind), **MAPPED}, LABELS)
    assert [(i.name, i.gold, i.fields["text"]) for i in items] == [
        ("a", "good", "It's “fine”, they said"),
        ("b", "bad", "naïve, ☂"),
    ]


def test_hub_data_set_is_read_by_the_datasets_library(tmp_path):
    # The library's own loader, pointed at a local folder as it would be at a hub id.
    write(tmp_path, "csv")
    items = load_items("t", {"hub": str(tmp_path), "split": "train", **MAPPED}, LABELS)
    assert [i.gold for i in items] == ["good", "bad"]


def test_filter_limit_and_made_up_names(tmp_path):
    path = write(tmp_path, "csv")
    source = {
        "path": path,
        "columns": {"gold": "y", "text": "text"},
        "labels": {"1": "good", "0": "bad", "-1": "bad"},
    }
    assert [i.name for i in load_items("t", {**source, "where": {"part": "x"}}, LABELS)] == ["t-0", "t-2"]
    assert len(load_items("t", {**source, "limit": 1}, LABELS)) == 1


def test_numeric_ratings_are_binned(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("text,score\nx,-1.5\ny,0\nz,0.5\nw,2\n")
    source = {
        "path": str(path),
        "columns": {"gold": "score", "text": "text"},
        "bins": {"edges": [0, 0.5], "labels": ["impolite", "neutral", "polite"]},
    }
    golds = [i.gold for i in load_items("t", source, {"impolite": [], "neutral": [], "polite": []})]
    assert golds == ["impolite", "neutral", "polite", "polite"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "nowhere.csv"}, ["nowhere.csv"]),
        ({"columns": {"item": "id", "gold": "y", "text": "txet"}}, ["txet", "did you mean text"]),
        ({"columns": {"item": "id", "text": "text"}}, ["gold"]),
        ({"labels": {"1": "goood", "0": "bad", "-1": None}}, ["goood", "did you mean good"]),
        ({"labels": {"1": None, "0": None, "-1": None}}, ["no item is left"]),
        ({"limit": 0}, ["limit", "0"]),
        ({"hub": "x/y"}, ["either path or hub"]),
        ({"colums": {}}, ["colums", "did you mean columns"]),
        ({"format": "xlsx"}, ["xlsx"]),
    ],
)
def test_unusable_sources_are_named(tmp_path, change, words):
    with pytest.raises(InputError) as error:
        load_items("t", {"path": write(tmp_path, "csv"), **MAPPED, **change}, LABELS)
    assert all(word in str(error.value) for word in words)


def test_repeated_item_names_are_refused(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("item,text,gold\na,x,good\na,y,bad\n")
    with pytest.raises(InputError, match="'a' stands more than once"):
        load_items(
            "t", {"path": str(path), "columns": {"item": "item", "gold": "gold", "text": "text"}}, LABELS
        )
