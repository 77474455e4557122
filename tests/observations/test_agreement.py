"""Agreement statistics against closed forms, published figures, the jackknife and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from src.observations.agreement import (
    cohen_kappa,
    confusion,
    detector_quality,
    jeffreys,
    weighted_share,
)


def labellings(table):
    """Spell a table of counts out as two labellings."""
    pairs = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return [i for i, _ in pairs], [j for _, j in pairs]


def test_kappa_of_published_examples():
    """Fifty yes and no: 0.4; the diagnoses of Fleiss (1981), table 13.1: 0.68, SE 0.087."""
    assert cohen_kappa(*labellings([[20, 5], [10, 15]])).value == pytest.approx(0.4)
    found = cohen_kappa(*labellings([[75, 1, 4], [5, 4, 1], [0, 0, 10]]), ci_prob=0.95)
    assert found.value == pytest.approx(0.676, abs=5e-4)
    assert (found.upper - found.value) / 1.96 == pytest.approx(0.087, abs=1e-3)
    assert found.labels == 100


def test_kappa_s_standard_error_is_the_jackknife_s():
    draw = np.random.default_rng(5)
    first = draw.integers(0, 4, 600)
    second = np.where(draw.random(600) < 0.7, first, draw.integers(0, 4, 600))
    left_out = [cohen_kappa(np.delete(first, i), np.delete(second, i)).value for i in range(600)]
    jackknife = np.sqrt(599 / 600 * np.sum((left_out - np.mean(left_out)) ** 2))
    found = cohen_kappa(first, second)
    assert (found.upper - found.value) / stats.norm.ppf(0.95) == pytest.approx(jackknife, rel=0.02)


def test_kappa_at_its_ends():
    assert cohen_kappa(["a", "b", "a"], ["a", "b", "a"]).value == 1
    assert cohen_kappa(["a", "b"], ["b", "a"]).value == -1
    assert np.isnan(cohen_kappa(["a", "a"], ["a", "a"]).value)
    assert np.isnan(cohen_kappa([], []).value)
    independent = labellings([[9, 3], [3, 1]])
    assert cohen_kappa(*independent).value == pytest.approx(0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=40))
def test_kappa_is_symmetric_and_bounded(pairs):
    first, second = zip(*pairs, strict=True)
    one, other = cohen_kappa(first, second), cohen_kappa(second, first)
    assert one.value == pytest.approx(other.value, nan_ok=True)
    assert np.isnan(one.value) or -1 <= one.value <= 1
    assert np.isnan(one.value) or one.lower <= one.value <= one.upper
    assert confusion(first, second).to_numpy().sum() == len(pairs)


def test_jeffreys_is_the_beta_posterior():
    assert jeffreys(7, 20) == pytest.approx(stats.beta(7.5, 13.5).ppf([0.05, 0.95]))
    assert jeffreys(0, 20)[0] == 0
    assert jeffreys(20, 20)[1] == 1
    lower, upper = weighted_share(np.array([True, False]), np.array([3.0, 1.0])).lower, 1
    assert 0 < lower < upper


def test_equal_weights_change_nothing():
    hits = np.arange(30) < 9
    assert weighted_share(hits) == weighted_share(hits, np.full(30, 7.5))
    assert weighted_share(hits).value == 0.3
    none = weighted_share(np.array([], bool))
    assert np.isnan(none.value)
    assert (none.lower, none.upper) == (0, 1)


def test_quality_of_a_fully_labelled_table_is_that_of_its_counts():
    flagged = np.repeat([True, True, False, False], [300, 100, 50, 550])
    refused = np.repeat([True, False, True, False], [300, 100, 50, 550])
    found = detector_quality(flagged, refused, np.ones(1000), (400, 600))
    assert found["sensitivity"].value == pytest.approx(300 / 350)
    assert found["specificity"].value == pytest.approx(550 / 650)
    assert found["precision"].value == pytest.approx(0.75)
    assert found["accuracy"].value == pytest.approx(0.85)
    assert found["refusal_rate"].value == pytest.approx(0.35)


def test_quality_against_draws_of_both_shares():
    """Ten of ten flagged and none of forty others, of 100 and 2,000: the draws are plain Beta posteriors."""
    flagged = np.repeat([True, False], [10, 40])
    found = detector_quality(flagged, flagged, np.where(flagged, 10.0, 50.0), (100, 2000))
    draw = np.random.default_rng(1)
    precision, missed = draw.beta(10.5, 0.5, 200_000), draw.beta(0.5, 40.5, 200_000)
    sensitivity = 100 * precision / (100 * precision + 2000 * missed)
    assert found["sensitivity"].value == 1
    assert [found["sensitivity"].lower, found["sensitivity"].upper] == pytest.approx(
        np.quantile(sensitivity, [0.05, 0.95]), abs=0.005
    )
    assert found["sensitivity"].lower < 0.6


def test_quality_without_labels_or_responses_says_so():
    none = np.array([], bool)
    found = detector_quality(none, none, np.array([]), (10, 90))
    assert all(np.isnan(one.value) for one in found.values())
    assert found["sensitivity"].upper - found["sensitivity"].lower > 0.7
    found = detector_quality(none, none, np.array([]), (0, 0))
    assert all(np.isnan(one.value) for one in found.values())
    never = detector_quality(np.zeros(20, bool), np.arange(20) < 5, np.ones(20), (0, 200))
    assert never["sensitivity"].value == 0
    assert never["specificity"].value == 1
    assert np.isnan(never["precision"].value)


def test_intervals_of_a_stratified_sample_cover_the_truth():
    """A tenth is flagged, and a hundred of each group are labelled: a plain share would be far off."""
    draw = np.random.default_rng(11)
    inside = {"sensitivity": 0, "specificity": 0}
    values, runs = [], 300
    for _ in range(runs):
        truth = draw.random(4000) < 0.12
        read = np.where(truth, draw.random(4000) < 0.7, draw.random(4000) < 0.03)
        chosen = np.concatenate(
            [draw.choice(np.flatnonzero(read == group), 100, replace=False) for group in (True, False)]
        )
        sizes = int(read.sum()), int((~read).sum())
        weights = np.repeat([sizes[0] / 100, sizes[1] / 100], 100)
        found = detector_quality(read[chosen], truth[chosen], weights, sizes)
        real = {"sensitivity": read[truth].mean(), "specificity": (~read[~truth]).mean()}
        values.append(found["sensitivity"].value)
        for name, value in real.items():
            inside[name] += found[name].lower <= value <= found[name].upper
    assert np.mean(values) == pytest.approx(0.7, abs=0.03)
    # About 270 are expected, or more: intervals for all time are wide for a population of 4,000.
    assert all(count >= 256 for count in inside.values()), inside
