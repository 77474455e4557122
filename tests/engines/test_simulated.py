"""The simulated engine against the formula that it promises."""

import math
from collections import Counter

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from src.engines.registry import check_engine, create_engine
from src.engines.simulated import REFUSALS
from src.errors import InputError
from src.study.prompts import Prompt
from tests.engines.conftest import answer, make_jobs

CFG = {
    "name": "simulated",
    "intercept": -1.0,
    "sds": {"persona": 0.8, "model": 1.2, "persona:model": 0.5},
    "accuracy": 0.7,
    "seed": 5,
}


def truth(tmp_path, models=("a", "b"), personas=("x", "y", "z")):
    for model in models:
        create_engine({"name": model}, CFG).write_truth(tmp_path / "truth.nc", {"persona": list(personas)})
    return xr.load_dataset(tmp_path / "truth.nc", engine="h5netcdf")


def test_truth_and_probabilities_follow_the_formula(tmp_path):
    known = truth(tmp_path)
    for model in ("a", "b"):
        # An order unlike the alphabet's, with repeats: effects must follow names, not places.
        cells = [{"persona": p, "item": "1"} for p in ("z", "x", "z", "y")]
        found = create_engine({"name": model}, CFG).probabilities(cells)
        for cell, p in zip(cells, found, strict=True):
            at = {"persona": cell["persona"], "model": model}
            logit = sum(
                float(known[name].sel({d: at[d] for d in known[name].dims}))
                for name in ("intercept", "u_persona", "u_model", "u_persona:model")
            )
            assert p == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-12)


def test_truth_merges_the_jobs_of_a_sweep_and_refuses_other_effects(tmp_path):
    once = truth(tmp_path, models=("a",), personas=("x",))
    merged = truth(tmp_path, models=("b",), personas=("y",))
    assert merged.model.values.tolist() == ["a", "b"]
    assert float(merged["u_persona"].sel(persona="x")) == float(once["u_persona"].sel(persona="x"))
    other = create_engine({"name": "a"}, {**CFG, "intercept": 0.0})
    with pytest.raises(InputError, match="other effects"):
        other.write_truth(tmp_path / "truth.nc", {"persona": ["x"]})


def test_effects_are_standard_normals_times_the_sd(tmp_path):
    engine = create_engine({"name": "m"}, {**CFG, "sds": {"persona": 2.0}})
    engine.write_truth(tmp_path / "truth.nc", {"persona": [f"p{i}" for i in range(4000)]})
    effects = xr.load_dataset(tmp_path / "truth.nc", engine="h5netcdf")["u_persona"].values
    assert stats.kstest(effects / 2.0, "norm").pvalue > 0.01


def test_outcomes_match_probabilities_and_accuracy():
    engine = create_engine({"name": "m"}, CFG)
    prompts = [Prompt(persona, "Is it polite?") for persona in ("x", "y")]
    responses = answer(engine, make_jobs(engine, prompts, repeats=20_000))
    for i, persona in enumerate(("x", "y")):
        texts = [responses[f"{i}-{k}"].text for k in range(20_000)]
        refusals = sum(text in REFUSALS for text in texts)
        p = engine.probabilities([{"persona": persona}])[0]
        assert stats.binomtest(refusals, 20_000, p).pvalue > 1e-3
        counts = Counter("yes" in text for text in texts if text not in REFUSALS)
        assert stats.binomtest(counts[True], counts.total(), 0.7).pvalue > 1e-3


def test_order_and_subset_change_nothing():
    engine = create_engine({"name": "m"}, CFG)
    jobs = make_jobs(engine, [Prompt(p, "q") for p in "xyz"], repeats=50)
    whole = answer(engine, jobs)
    shuffled = [jobs[i] for i in np.random.default_rng(0).permutation(len(jobs))]
    assert answer(engine, shuffled) == whole
    assert answer(engine, jobs[7:20]) == {job.key: whole[job.key] for job in jobs[7:20]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intercept": "high"}, "engine.intercept must be a number"),
        ({"sds": {"persona": -1}}, "engine.sds.persona must be a number of at least zero, received -1"),
        ({"accuracy": 1.5}, "between 0 and 1"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        check_engine({"name": "m"}, {**CFG, **change})


def test_term_without_factor_is_named():
    engine = create_engine({"name": "m"}, {**CFG, "sds": {"colour": 1.0}})
    with pytest.raises(InputError, match="'colour'"):
        answer(engine, make_jobs(engine, [Prompt(None, "q")]))
