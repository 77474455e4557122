"""Names and numbers are written as a reader expects them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.reporting.words import (
    APPROXIMATE,
    FAILED,
    SIMULATED,
    labels,
    number,
    percent,
    percent_in_text,
    plain,
    points,
    shortened,
    term_name,
    warnings_above,
)


@pytest.mark.parametrize(
    ("term", "name"),
    [
        ("persona", "persona"),
        ("persona:model", "persona × model"),
        ("task:paraphrase", "paraphrase within task"),
        ("persona:task:paraphrase", "persona × paraphrase within task"),
        ("residual", "chance of one response"),
        ("higher_order", "all other interactions"),
    ],
)
def test_terms_are_written_out(term, name):
    assert term_name(term, {"paraphrase": "task", "item": "task"}) == name


@pytest.mark.parametrize(
    ("simulated", "verdict", "banners"),
    [
        (False, "pass", []),
        (True, "pass", [SIMULATED]),
        (False, "approximate", [APPROXIMATE]),
        (False, "fail", [FAILED]),
        (True, "fail", [SIMULATED, FAILED]),
    ],
)
def test_banners_stand_exactly_where_they_must(simulated, verdict, banners):
    assert warnings_above({"simulated": simulated, "verdict": verdict}) == banners


def test_numbers_keep_the_digits_that_matter():
    assert percent(0.553, 0.5409, 0.5658) == "55.3 [54.1, 56.6]"
    assert percent_in_text(0.553, 0.5409, 0.5658) == "55 % [54, 57]"
    assert percent_in_text(0.0081, 0.0063, 0.0099) == "0.8 % [0.6, 1.0]"
    assert points(-0.0526, -0.0659, 0.0004) == "-5.3 [-6.6, +0.0]"
    assert plain(1.196, 0.05, 12345.6) == "1.20 [0.05, 1.23e+04]"
    assert [number(value, ".1f") for value in (None, math.nan, 2.25)] == ["-", "-", "2.2"]


@given(st.text(), st.integers(4, 40))
def test_shortened_names_are_short_and_keep_both_ends(name, most):
    short = shortened(name, most)
    assert len(short) <= most or short == name
    if len(name) > most:
        assert short[0] == name[0]
        assert short[-1] == name[-1]
    else:
        assert short == name


@given(st.lists(st.text(max_size=60), max_size=6))
def test_labels_tell_names_apart(names):
    shown = labels(names, 8)
    assert [names.index(name) for name in names] == [shown.index(label) for label in shown]
