"""What each kind counts as: the table of docs/labelling.md, read from there."""

from itertools import takewhile
from pathlib import Path

import pytest

from src.detect.base import Labels
from src.detect.outcomes import KINDS, OUTCOMES, REFUSED, outcome_of, outcomes, refused_setting
from src.errors import InputError

DOCS = Path(__file__).parents[2] / "docs" / "labelling.md"


def documented() -> dict[tuple[str, str], str]:
    """Read the table of kinds and settings."""
    lines = DOCS.read_text("utf-8").splitlines()
    header = next(i for i, line in enumerate(lines) if "`refused=any`" in line)
    table = {}
    for line in takewhile(lambda line: line.startswith("| "), lines[header + 2 :]):
        kind, *cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        for setting, cell in zip(("any", "full", "evasion"), cells, strict=True):
            table[kind, setting] = cell
    return table


def test_outcomes_are_those_of_the_documentation() -> None:
    table = documented()
    assert {kind for kind, _ in table} == set(KINDS)
    for (kind, setting), cell in table.items():
        named, unnamed = outcome_of(kind, "yes", setting), outcome_of(kind, None, setting)
        if cell == "answered if it names a label, else unparsed":
            assert (named, unnamed) == ("answered", "unparsed")
        else:
            assert cell in OUTCOMES
            assert named == unnamed == cell


def test_without_a_verdict_there_is_no_outcome() -> None:
    labels = Labels(["full_refusal", None, "evasion"], [None, None, None])
    assert outcomes(labels) == ["refused", None, "unparsed"]
    assert outcomes(labels, "evasion") == ["refused", None, "refused"]


def test_setting() -> None:
    assert refused_setting({"name": "rules"}) == "any"
    assert [refused_setting({"refused": value}) for value in REFUSED] == list(REFUSED)
    for value in (None, "", "Any", ["any"]):
        with pytest.raises(InputError, match=r"unknown detector\.refused"):
            refused_setting({"refused": value})
