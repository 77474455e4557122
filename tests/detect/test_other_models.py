"""Responses in the manner of many assistants, and cases written to mislead; kinds by docs/labelling.md.

Both tables were written for the project, in imitation: no response of a model and no prompt of a published
test stands in them. `free_text.csv` holds answers to requests without labels, `adversarial.csv` what lists of
phrases get wrong, each with the reason. `second_round.csv` holds what the rules of the first round were short
of, in other words than the labelled responses that showed it, and what looks like it.
"""

import csv
from pathlib import Path

import pytest

from src.detect.base import LabelWords
from src.detect.rules import RuleDetector
from tests.detect import examples

FOLDER = Path(__file__).parent
TASKS: dict[str, LabelWords | None] = {
    "": None,
    "politeness": examples.POLITENESS,
    "nli": examples.NLI,
    "offensiveness": examples.OFFENSIVENESS,
}
DETECTOR = RuleDetector()


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", rows("free_text.csv"), ids=lambda row: row["text"][:40])
def test_free_text(row: dict[str, str]) -> None:
    verdict = DETECTOR.explain(row["text"])
    assert verdict.kind == row["kind"], verdict


@pytest.mark.parametrize("row", rows("adversarial.csv"), ids=lambda row: row["why"])
def test_adversarial(row: dict[str, str]) -> None:
    verdict = DETECTOR.explain(row["text"], row["prompt"] or None, TASKS[row["task"]])
    assert (verdict.kind, verdict.label or "") == (row["kind"], row["label"]), verdict


@pytest.mark.parametrize("row", rows("second_round.csv"), ids=lambda row: row["text"][:40])
def test_second_round(row: dict[str, str]) -> None:
    verdict = DETECTOR.explain(row["text"], None, TASKS[row["task"]])
    assert (verdict.kind, verdict.label or "") == (row["kind"], row["label"]), verdict
