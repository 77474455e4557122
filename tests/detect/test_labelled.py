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


def fresh(table: pd.DataFrame) -> pd.Series:
    """Which rows are of the second study."""
    return table["split"].str.startswith("fresh_")


def test_schema(table):
    assert list(table.columns) == [
        *("id", "split", "stratum", "weight", "model", "revision", "persona", "task", "paraphrase", "item"),
        *("system", "asked", "response", "cut", "kind", "label", "second_kind", "second_label"),
        *("final_kind", "final_label"),
    ]
    first, second = [f"r{number:04d}" for number in range(1024)], [f"s{number:04d}" for number in range(1142)]
    assert table["id"].tolist() == first + second
    assert set(table["kind"]) | set(table["final_kind"]) <= set(KINDS)
    assert set(table["second_kind"]) <= {*KINDS, ""}
    twice = table[table["second_kind"] != ""]
    assert fresh(twice).value_counts().to_dict() == {False: 250, True: 200}
    assert table.groupby([fresh(table), "stratum"]).size().to_dict() == {
        (False, "random"): 624,
        (False, "screened"): 400,
        (True, "random"): 250,
        (True, "screened"): 892,
    }
    for name in re.findall(r"^\| `(\w+)`(?:, `(\w+)`)*", PAGE, re.MULTILINE):
        assert {*name} - {""} <= {*table.columns, *KINDS}


def test_labels_are_those_of_the_task_and_only_answers_have_one(table):
    for pass_ in ("", "second_", "final_"):
        rows = table[table[f"{pass_}kind"] != ""]
        answered = rows[f"{pass_}kind"] == "answered"
        named = rows[f"{pass_}label"] != ""
        assert named[answered].all()
        assert set(rows.loc[named & ~answered, f"{pass_}kind"]) <= {"partial_refusal"}
        for task, of in rows[answered].groupby("task"):
            assert set(of[f"{pass_}label"]) <= set(label_words(task))


def test_halves_share_no_item(table):
    assert table["split"].tolist() == list(map(split_of, table["item"], fresh(table)))
    items = {split: set(table.loc[table["split"] == split, "item"]) for split in SPLITS}
    assert (items["development"] | items["fresh_development"]).isdisjoint(
        items["heldout"] | items["fresh_heldout"]
    )
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
    """Of 2,400 and 2,000 responses a screen hit 1,171 and 892; every screened response is a hit."""
    first, second = table[~fresh(table)], table[fresh(table)]
    assert first["weight"].sum() == pytest.approx(2400, abs=0.01)
    assert second["weight"].sum() == pytest.approx(2000, abs=0.01)
    hits = first["weight"].between(1.65, 1.66)
    assert first.loc[hits, "weight"].sum() == pytest.approx(1171, abs=0.01)
    assert hits[first["stratum"] == "screened"].all()
    assert (second.loc[second["stratum"] == "screened", "weight"] == 1).all()


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        ("five kinds", None),
        ("refused or not (`refused=any`)", "any"),
        ("refused or not (`refused=evasion`)", "evasion"),
    ],
)
def test_agreement_of_the_passes_is_what_the_page_states(table, row, kinds):
    cells = []
    for of in (table[~fresh(table)], table[fresh(table)]):
        both = of[of["second_kind"] != ""]
        first, second = both["kind"], both["second_kind"]
        if kinds:
            first, second = first.isin(REFUSED[kinds]), second.isin(REFUSED[kinds])
        kappa = cohen_kappa(first, second)
        cells.append(f"{kappa.value:.2f} [{kappa.lower:.2f}, {kappa.upper:.2f}]")
    assert f"| {row} | {cells[0]} | {cells[1]} |" in PAGE


def test_counts_are_those_of_the_page(table):
    for kind in KINDS:
        counts = [((table["split"] == split) & (table["final_kind"] == kind)).sum() for split in SPLITS]
        assert f"| `{kind}` | {' | '.join(map(str, counts))} |" in PAGE
    changed = (table["kind"] != table["final_kind"]) | (table["label"] != table["final_label"])
    assert f"that changed {changed[~fresh(table)].sum()} " in PAGE
    assert f"changed {changed[fresh(table)].sum()} of the second" in PAGE


def test_equal_texts_in_equal_wordings_have_equal_labels(table):
    """Whoever reads by criteria gives the same text the same label, wherever no item is involved."""
    same = table.groupby(["task", "paraphrase", "response"])[["final_kind", "final_label"]].nunique()
    assert (same == 1).all().all(), same[(same > 1).any(axis=1)]


def test_a_detector_gets_the_table_as_columns(table):
    found = texts(table)
    assert len(found.prompts) == len(found.label_words) == len(found.finish_reasons) == 1024 + 1142
    assert found.prompts[1].endswith(table["asked"][1])
    assert json.loads(json.dumps(found.label_words[0])).keys() == label_words(table["task"][0]).keys()


def test_what_counts_as_refused_is_what_the_criteria_say():
    from src.detect import outcomes

    assert {name: set(kinds) for name, kinds in outcomes.REFUSED.items()} == REFUSED
    assert set(outcomes.KINDS) == set(KINDS)
