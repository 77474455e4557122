"""The shipped labels are what their page says, and follow the written criteria where a machine can tell."""

import hashlib
import json
import re

import pandas as pd
import pytest

from src.observations.agreement import cohen_kappa
from src.study.items import load_items
from src.study.paths import CONF
from tests.detect.labelled import (
    KINDS,
    REFUSED,
    SPLITS,
    TABLE,
    label_words,
    read_labelled,
    split_of,
    texts,
)

PAGE = (TABLE.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return read_labelled()


def test_schema(table):
    assert list(table.columns) == [
        *("id", "split", "stratum", "weight", "model", "revision", "persona", "task", "paraphrase", "item"),
        *("system", "asked", "response", "cut", "kind", "label", "second_kind", "second_label"),
        *("final_kind", "final_label"),
    ]
    assert table["id"].tolist() == [f"r{number:04d}" for number in range(1024)]
    assert set(table["kind"]) | set(table["final_kind"]) <= set(KINDS)
    assert set(table["second_kind"]) <= {*KINDS, ""}
    assert (table["second_kind"] != "").sum() == 250
    assert table.groupby("stratum").size().to_dict() == {"random": 624, "screened": 400}
    for name in re.findall(r"^\| `(\w+)`(?:, `(\w+)`)*", PAGE, re.MULTILINE):
        assert {*name} - {""} <= {*table.columns, *KINDS}


def test_labels_are_those_of_the_task_and_only_answers_have_one(table):
    for pass_ in ("", "second_", "final_"):
        rows = table[table[f"{pass_}kind"] != ""]
        answered = rows[f"{pass_}kind"] == "answered"
        assert (answered == (rows[f"{pass_}label"] != "")).all()
        for task, of in rows[answered].groupby("task"):
            assert set(of[f"{pass_}label"]) <= set(label_words(task))


def test_halves_share_no_item(table):
    assert (table["split"] == table["item"].map(split_of)).all()
    items = {split: set(table.loc[table["split"] == split, "item"]) for split in SPLITS}
    assert items["development"].isdisjoint(items["heldout"])
    digest = hashlib.sha256(b"nli-005").hexdigest()
    assert split_of("nli-005") == ("development" if int(digest[-1], 16) % 2 == 0 else "heldout")


def test_messages_hold_the_items_of_the_project(table):
    for task, rows in table.groupby("task"):
        node = {"path": f"items/{task}.csv", "columns": {}, "limit": None}
        header = (CONF / node["path"]).read_text().split("\n", 1)[0].split(",")
        node["columns"] = {
            name: name
            for name in header
            if name in {"item", "gold", "text", "premise", "hypothesis", "sensitivity"}
        }
        items = {item.name: item for item in load_items(task, node, label_words(task))}
        for row in rows.itertuples():
            shown = {
                name: text
                for name, text in items[row.item].fields.items()
                if name in {"text", "premise", "hypothesis"}
            }
            assert all(text in row.asked for text in shown.values()), row.id
    without = table.loc[table["persona"] == "none", "system"]
    assert without.str.startswith("You are a helpful AI assistant named SmolLM").all()


def test_weights_restore_the_study(table):
    """The study had 2,400 responses, of which a screen hit 1,171; every screened response is a hit."""
    assert table["weight"].sum() == pytest.approx(2400, abs=0.01)
    hits = table["weight"].between(1.65, 1.66)
    assert table.loc[hits, "weight"].sum() == pytest.approx(1171, abs=0.01)
    assert hits[table["stratum"] == "screened"].all()


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        ("five kinds", None),
        ("refused or not (`refused=any`)", "any"),
        ("refused or not (`refused=evasion`)", "evasion"),
    ],
)
def test_agreement_of_the_passes_is_what_the_page_states(table, row, kinds):
    both = table[table["second_kind"] != ""]
    first, second = both["kind"], both["second_kind"]
    if kinds:
        first, second = first.isin(REFUSED[kinds]), second.isin(REFUSED[kinds])
    kappa = cohen_kappa(first, second)
    assert f"| {row} | {kappa.value:.2f} | [{kappa.lower:.2f}, {kappa.upper:.2f}] |" in PAGE


def test_counts_are_those_of_the_page(table):
    for kind in KINDS:
        counts = [((table["split"] == split) & (table["final_kind"] == kind)).sum() for split in SPLITS]
        assert f"| `{kind}` | {counts[0]} | {counts[1]} |" in PAGE
    changed = (table["kind"] != table["final_kind"]) | (table["label"] != table["final_label"])
    assert f"that changed {changed.sum()} " in PAGE


def test_equal_texts_in_equal_wordings_have_equal_labels(table):
    """Whoever reads by criteria gives the same text the same label, wherever no item is involved."""
    same = table.groupby(["task", "paraphrase", "response"])[["final_kind", "final_label"]].nunique()
    assert (same == 1).all().all(), same[(same > 1).any(axis=1)]


def test_a_detector_gets_the_table_as_columns(table):
    found = texts(table)
    assert len(found.prompts) == len(found.label_words) == len(found.finish_reasons) == 1024
    assert found.prompts[1].endswith(table["asked"][1])
    assert json.loads(json.dumps(found.label_words[0])).keys() == label_words(table["task"][0]).keys()


def test_what_counts_as_refused_is_what_the_criteria_say():
    from src.detect import outcomes

    assert {name: set(kinds) for name, kinds in outcomes.REFUSED.items()} == REFUSED
    assert set(outcomes.KINDS) == set(KINDS)
