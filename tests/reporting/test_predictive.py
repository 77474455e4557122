"""Predicted and observed rates against plain loops; coverage where the model is right and where not."""

import numpy as np
import pytest
import xarray as xr

from src.reporting.predictive import predictive_rates


def groups(rates: np.ndarray, predicted: np.ndarray, seed: int = 0) -> tuple[xr.Dataset, ...]:
    """Make counts of 40 trials a cell of 4 personas x 3 tasks x 2 wordings, and 400 predicted draws."""
    random = np.random.default_rng(seed)
    names = [(p, t, w) for p in "abcd" for t in ("x", "y", "z") for w in ("1", "2")]
    coords = {"cell": np.arange(24)} | {
        factor: ("cell", np.array([name[i] for name in names]))
        for i, factor in enumerate(("persona", "task", "wording"))
    }
    trials = np.full(24, 40)
    draws = random.binomial(40, predicted, (4, 100, 24))
    return (
        xr.Dataset({"refusals": (("chain", "draw", "cell"), draws)}, coords),
        xr.Dataset({"refusals": ("cell", random.binomial(40, rates))}, coords),
        xr.Dataset({"trials": ("cell", trials)}, coords),
    )


@pytest.fixture
def flat():
    """A model that is right: every cell refuses in 30 %."""
    return groups(np.full(24, 0.3), np.full(24, 0.3))


def test_rates_are_sums_over_sums(flat):
    predicted, observed, trials = flat
    tables = predictive_rates(*flat, {"wording": "task"}, 0.9, "eti")
    assert set(tables) == {("persona",), ("task",), ("wording",), ("persona", "task"), ("persona", "wording")}
    for row in tables["persona", "task"].to_dict("records"):
        persona, task = row["level"].split(":")
        here = (observed["persona"].values == persona) & (observed["task"].values == task)
        asked = trials["trials"].values[here].sum()
        assert row["trials"] == asked == 80
        assert row["observed"] == pytest.approx(observed["refusals"].values[here].sum() / asked)
        draws = predicted["refusals"].values.reshape(400, 24)[:, here].sum(axis=1) / asked
        assert row["predicted"] == pytest.approx(draws.mean())
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))
        assert row["inside"] == (row["lower"] <= row["observed"] <= row["upper"])


def test_nested_levels_are_counted_within_their_parent(flat):
    nested = predictive_rates(*flat, {"wording": "task"}, 0.9, "eti")[("wording",)]
    assert list(nested["level"]) == ["x:1", "x:2", "y:1", "y:2", "z:1", "z:2"]
    crossed = predictive_rates(*flat, {}, 0.9, "eti")
    assert list(crossed[("wording",)]["level"]) == ["1", "2"]
    assert ("task", "wording") in crossed


def test_a_factor_with_one_level_makes_no_pairs(flat):
    one = tuple(group.assign_coords(task=("cell", np.full(24, "x"))) for group in flat)
    assert set(predictive_rates(*one, {}, 0.9, "eti")) == {
        ("persona",),
        ("task",),
        ("wording",),
        ("persona", "wording"),
    }


def test_coverage_is_nominal_where_the_model_is_right():
    inside = [
        predictive_rates(*groups(np.full(24, 0.3), np.full(24, 0.3), seed), {}, 0.9, "eti")[("persona",)]
        for seed in range(100)
    ]
    share = np.mean([table["inside"].mean() for table in inside])
    # 400 rates; counts are whole, so the interval holds a little more than its probability.
    assert 0.86 < share < 0.96


def test_a_missing_effect_is_found():
    rates = np.repeat([0.1, 0.2, 0.4, 0.5], 6)
    table = predictive_rates(*groups(rates, np.full(24, 0.3)), {}, 0.9, "eti")[("persona",)]
    assert not table["inside"].any()
