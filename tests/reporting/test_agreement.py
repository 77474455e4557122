"""Labels by hand in the report: numbers of the tables, names as text, and nothing without labels."""

import numpy as np
import pandas as pd
import pytest

from src.observations.human import LEVELS, change_human, human_row
from src.observations.quality import study_quality, write_quality
from src.reporting.agreement import quality_grids
from src.reporting.annotating import visible
from src.reporting.building import build_report, quality_of
from src.reporting.page import render_page
from src.study.paths import StudyPaths
from tests.reporting.conftest import MODELS, PERSONAS
from tests.reporting.pages import Page

PERSON = "<b>ann</b>"


@pytest.fixture
def labelled(tmp_path, fit) -> StudyPaths:
    """Two thousand responses, of which 300 are labelled; the detector overlooks a third of the refusals."""
    draw = np.random.default_rng(2)
    paths = StudyPaths(tmp_path, "mine")
    paths.root.mkdir()
    truth = draw.random(2000) < 0.3
    flagged = truth & (draw.random(2000) < 2 / 3)
    table = pd.DataFrame(
        {
            "cell_key": [f"{n:032x}" for n in range(2000)],
            "model": draw.choice(MODELS, 2000),
            "persona": draw.choice(PERSONAS, 2000),
            "task": "politeness",
            "paraphrase": "form",
            "item": "a",
            "refused": flagged,
            "kind": np.where(flagged, "full_refusal", "answered"),
            "label": np.where(flagged, None, "polite"),
            "detector": "rules",
            "detector_version": "1-any",
            "response": "no",
        }
    )
    table.to_parquet(paths.observations, index=False)
    for person, size, seed in ((PERSON, 300, 1), ("bob", 100, 1)):
        rows = table.sample(size, random_state=seed)
        change_human(
            paths,
            person,
            [
                human_row(row, person, "full_refusal" if truth[i] else "answered",
                          None if truth[i] else "polite", "any")
                for i, row in zip(rows.index, rows.to_dict("records"), strict=True)
            ],
        )  # fmt: skip
    assert set(LEVELS) <= set(table.columns)
    return paths


def test_numbers_are_those_of_the_labels(labelled):
    quality = study_quality(labelled)
    own = quality.table.query("annotator == @PERSON and against == 'rules' and factor == ''").set_index(
        "quantity"
    )
    assert 0.55 < own.loc["sensitivity", "value"] < 0.78
    assert own.loc["sensitivity", "ci_lower"] < 2 / 3 < own.loc["sensitivity", "ci_upper"]
    assert own.loc["specificity", "value"] == own.loc["label_accuracy", "value"] == 1
    assert own.loc["sensitivity", ["labels", "responses"]].tolist() == [300, 2000]
    between = quality.table.query("against_is == 'annotator'").set_index("quantity")
    assert between.loc["kappa_refused", ["value", "labels"]].tolist() == [1, 100]
    counts = quality.confusion.query("annotator == @PERSON").set_index(["kind", "read"])["labels"]
    assert counts.sum() == 300
    assert counts["answered", "full_refusal"] == 0
    assert set(quality.table["level"]) == {"", *MODELS, *PERSONAS, "politeness"}
    write_quality(labelled, quality)
    again = pd.read_csv(labelled.labels / "agreement.csv", keep_default_na=False)
    assert again["quantity"].tolist() == quality.table["quantity"].tolist()


def test_what_counts_as_refused_changes_the_numbers(labelled):
    rows = pd.read_parquet(labelled.observations)
    rows.loc[rows["kind"] == "answered", "kind"] = "evasion"
    rows.to_parquet(labelled.observations, index=False)
    own = study_quality(labelled, refused="evasion").table.query("annotator == 'bob'").set_index("quantity")
    assert (own.loc["specificity", "value"] == 0).all()
    rows.assign(detector_version="1-evasion").to_parquet(labelled.observations, index=False)
    assert study_quality(labelled).refused == "evasion"


def test_labels_without_a_verdict_are_counted_and_left_out(labelled):
    rows = pd.read_parquet(labelled.observations)
    rows.head(1000).to_parquet(labelled.observations, index=False)
    notes = study_quality(labelled).notes
    assert len(notes) == 1
    assert "labels left out: their responses are not in observations.parquet" in notes[0]


def test_the_page_shows_the_tables_as_text(labelled, fit):
    quality = study_quality(labelled)
    page = Page(render_page("mine", fit, {}, {}, [], quality))
    assert "#reading" in {a["href"] for a in page.attributes("a")}
    for grid in quality_grids(quality):
        shown = page.tables[grid.caption]
        assert shown[0] == [*grid.names, *grid.numbers]
        assert shown[1:] == [[*names, *numbers] for names, numbers, _ in grid.rows]
    assert PERSON in page.text
    assert PERSON not in page.source
    assert "Jeffreys" in page.text


def test_the_report_finds_labels_by_itself(labelled, fit):
    page = build_report(fit, labelled, labelled.root / "report")
    assert 'id="reading"' in page.read_text()
    change_human(labelled, "bob", remove=study_keys(labelled, "bob"))
    change_human(labelled, PERSON, remove=study_keys(labelled, PERSON))
    assert quality_of(fit, labelled, labelled.observations) is None


def study_keys(paths: StudyPaths, person: str) -> list[str]:
    table = pd.read_parquet(paths.labels / "human.parquet")
    return table.loc[table["annotator"] == person, "cell_key"].tolist()


def test_text_that_would_act_or_hide_is_written_out():
    assert visible("a\tb\r\nc\n") == "a\tb\nc\n"
    assert visible("\x1b[31m\x07\x00\x9b\r") == r"\x1b[31m\x07\x00\x9b\r"
    assert visible("\u202e\u2066\u200b\ufeff\u2028") == r"\u202e\u2066\u200b\ufeff\u2028"
    assert visible("\ud800 é 漢 👍 [bold]") == "\\ud800 é 漢 👍 [bold]"
