"""Human labels on disk: people side by side, replaced, taken back, and whole at every moment."""

import multiprocessing

import pandas as pd
import pytest

from src.errors import InputError
from src.observations.human import (
    LEVELS,
    SCHEMA,
    change_human,
    check_annotator,
    human_path,
    human_row,
    read_human,
    refusals,
)
from src.study.paths import StudyPaths


def response(key: str) -> dict[str, str]:
    return {"cell_key": key, **{name: f"{name} of {key}" for name in LEVELS}}


def row(key: str, annotator: str, kind: str = "answered", label: str | None = "polite") -> dict:
    return human_row(response(key), annotator, kind, label if kind == "answered" else None, "any")


@pytest.fixture
def paths(tmp_path) -> StudyPaths:
    return StudyPaths(tmp_path, "mine")


def test_columns_are_those_that_others_read(paths):
    change_human(paths, "ann", [row("a", "ann"), row("b", "ann", "evasion")], weights={"a": 3.0})
    table = read_human(paths)
    assert list(table.columns) == [
        *("cell_key", "kind", "outcome", "refused", "label", "annotator", "labelled_at", "weight"),
        *("model", "persona", "task", "paraphrase", "item"),
    ] == SCHEMA.names  # fmt: skip
    assert table["weight"].tolist() == [3.0, 1.0]
    assert table["outcome"].tolist() == ["answered", "unparsed"]
    assert table["refused"].tolist() == [False, False]
    assert table["persona"].tolist() == ["persona of a", "persona of b"]
    assert table["labelled_at"].is_monotonic_increasing
    assert pd.isna(table["label"][1])


def test_people_stand_side_by_side(paths):
    change_human(paths, "ann", [row("a", "ann"), row("b", "ann")])
    change_human(paths, "bob", [row("a", "bob", "full_refusal")], weights={"a": 9.0, "b": 9.0})
    own = change_human(paths, "ann", [row("a", "ann", "unparsed")])
    assert dict(zip(own["cell_key"], own["kind"], strict=True)) == {"b": "answered", "a": "unparsed"}
    table = read_human(paths)
    assert len(table) == 3
    bob = table[table["annotator"] == "bob"]
    assert bob[["cell_key", "kind", "refused", "weight"]].to_numpy().tolist() == [
        ["a", "full_refusal", True, 9.0]
    ]
    assert table.loc[table["annotator"] == "ann", "weight"].tolist() == [1.0, 1.0]
    change_human(paths, "ann", remove=["a", "b"])
    assert read_human(paths)["annotator"].tolist() == ["bob"]
    change_human(paths, "bob", remove=["a"])
    assert read_human(paths).empty


def test_refusals_follow_the_setting_and_the_stored_word_where_there_is_no_kind():
    table = pd.DataFrame(
        {"kind": ["full_refusal", "partial_refusal", "evasion", "answered", None, None],
         "refused": [True, True, False, False, True, False]}
    )  # fmt: skip
    assert refusals(table, "any").tolist() == [True, True, False, False, True, False]
    assert refusals(table, "full").tolist() == [True, False, False, False, True, False]
    assert refusals(table, "evasion").tolist() == [True, True, True, False, True, False]


def _label_many(folder, name):
    for number in range(15):
        change_human(StudyPaths(folder, "mine"), name, [row(f"{number}", name)])


def test_people_who_label_at_the_same_time_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    people = [context.Process(target=_label_many, args=(tmp_path, name)) for name in ("ann", "bob")]
    for process in people:
        process.start()
    for process in people:
        process.join()
        assert process.exitcode == 0
    assert read_human(StudyPaths(tmp_path, "mine")).groupby("annotator").size().to_dict() == {
        "ann": 15,
        "bob": 15,
    }


def test_a_damaged_file_is_named_and_kept(paths):
    change_human(paths, "ann", [row("a", "ann")])
    whole = human_path(paths).read_bytes()
    human_path(paths).write_bytes(whole[:-20])
    with pytest.raises(InputError, match=r"human.parquet is damaged"):
        change_human(paths, "ann", [row("b", "ann")])
    assert human_path(paths).read_bytes() == whole[:-20]


@pytest.mark.parametrize("name", ["", "  ", "a\x1b[2J", "x" * 61, "a\nb"])
def test_unusable_names(name):
    with pytest.raises(InputError, match="annotator must be a printable name"):
        check_annotator(name)
    assert check_annotator(" Ann ") == "Ann"
