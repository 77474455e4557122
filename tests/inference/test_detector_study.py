"""What labels buy: a model effect that does not exist, with flags taken for refusals and with their error."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from src.inference.cells import Cells
from src.inference.fitting import FitSettings, fit_cells
from src.inference.priors import read_prior
from src.inference.terms import build_structure
from src.inference.tree import sum_of_effects
from tests.inference.simulate import counts, flagged
from tests.inference.test_exactness import write_markdown

REPLICATIONS = 100
SHAPE, FACTORS = (2, 6, 3), ("model", "persona", "task")
EACH = 100
"""Responses of each combination of model, persona and task."""
SENSITIVITY, SPECIFICITY = [0.95, 0.3], 0.97
TRUE_EFFECTS = {"the models refuse alike": 0.0, "the second refuses more": 0.8}
"""Log-odds of the second model's refusing beside the first's, by scenario."""
LABELS = (100, 300, 1000)


def simulated(effect: float, rng: np.random.Generator) -> tuple[Cells, float]:
    """Draw true refusals, and the true difference between the models, in probability."""
    log_odds = -1.2 + 0.6 * rng.normal(size=(1, 6, 1)) + 0.5 * rng.normal(size=(1, 1, 3))
    p = expit(log_odds + np.array([0.0, effect]).reshape(2, 1, 1))
    trials = np.full(SHAPE, EACH)
    return counts(trials, rng.binomial(trials, p), FACTORS), float(p[1].mean() - p[0].mean())


def difference(cells: Cells, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the difference between the models averaged over all else, and the detector's rates by model."""
    structure = build_structure(cells, [["persona", "model"]])
    prior = read_prior({"family": "half_normal"}, structure.names)
    settings = FitSettings(draws=500, tune=300, chains=2, cores=1, seed=seed, progress=False)
    fitted = fit_cells(cells, structure, prior, settings)
    p = expit(sum_of_effects(fitted.plain, structure, cells.codes)).reshape(-1, *SHAPE)
    by_model = p.mean(axis=(2, 3))
    error = cells.error
    rates = {rate: expit(sum_of_effects(plain, error.structure, error.trials_of(rate).codes))
             for rate, plain in fitted.rates.items()}  # fmt: skip
    return by_model[:, 1] - by_model[:, 0], rates


def replicate(replication: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Fit one table of each scenario in every way: differences, and rates where they are learned."""
    found, rates_found = [], []
    for scenario, effect in TRUE_EFFECTS.items():
        cells, truth = simulated(effect, np.random.default_rng([replication, 20251124]))
        fits = {"true refusals (nobody has them)": cells}
        for size in LABELS:
            sample = flagged(cells, {"model": SENSITIVITY}, SPECIFICITY, size, seed=replication)
            fits["flags taken for refusals"] = sample.cells
            fits[f"flags and {size:,} labels"] = replace(sample.cells, error=sample.error(["model"]))
        for name, table in fits.items():
            draws, rates = difference(table, replication)
            lower, upper = np.quantile(draws, [0.05, 0.95])
            numbers = {"right": truth, "mean": draws.mean(), "lower": lower, "upper": upper}
            found.append({"truth": scenario, "fit": name, **numbers})
            for rate, by_model in rates.items():
                right = SENSITIVITY if rate == "sensitivity" else [SPECIFICITY] * 2
                ends = np.quantile(by_model, [0.05, 0.95], axis=0)
                for model, which in enumerate(("first", "second")):
                    numbers = {"right": right[model], "lower": ends[0, model], "upper": ends[1, model]}
                    rates_found.append({"fit": name, "rate": rate, "model": which, **numbers})
    return found, rates_found


def differences_table(found: pd.DataFrame) -> pd.DataFrame:
    """Summarise replications, in percentage points."""
    rows = []
    for (scenario, fit), group in found.groupby(["truth", "fit"], sort=False):
        right, mean, lower, upper = (100 * group[name] for name in ("right", "mean", "lower", "upper"))
        rows.append(
            {
                "truth": scenario,
                "fit": fit,
                "true difference": f"{right.mean():.1f}",
                "mean estimate": f"{mean.mean():.1f}",
                "root mean square error": f"{np.sqrt(((mean - right) ** 2).mean()):.1f}",
                "width of 90 % intervals": f"{(upper - lower).mean():.1f}",
                "their coverage": f"{((lower < right) & (right < upper)).mean():.2f}",
                "without zero": f"{((lower > 0) | (upper < 0)).mean():.2f}",
            }
        )
    return pd.DataFrame(rows)


def rates_table(found: pd.DataFrame) -> pd.DataFrame:
    """Summarise how well sensitivity and specificity are learned."""
    rows = []
    for (fit, rate, model), group in found.groupby(["fit", "rate", "model"], sort=False):
        width = (group["upper"] - group["lower"]).mean()
        inside = ((group["lower"] < group["right"]) & (group["right"] < group["upper"])).mean()
        rows.append(
            {
                "fit": fit,
                "rate": f"{rate} on the {model} model",
                "true": f"{group['right'].iloc[0]:.2f}",
                "width of 90 % intervals": f"{width:.2f}",
                "their coverage": f"{inside:.2f}",
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_spurious_model_effect_vanishes_and_intervals_cover():
    found = [replicate(replication) for replication in range(REPLICATIONS)]
    differences = differences_table(pd.DataFrame([row for one, _ in found for row in one]))
    rates = rates_table(pd.DataFrame([row for _, one in found for row in one]))
    write_markdown("detector_error", differences)
    write_markdown("detector_rates", rates)
    coverage = differences["their coverage"].astype(float)
    spurious = differences["fit"] == "flags taken for refusals"
    assert (coverage[spurious] < 0.1).all()
    error = 3.5 * np.sqrt(0.9 * 0.1 / REPLICATIONS)
    assert (coverage[~spurious] > 0.9 - error).all()
    assert (rates["their coverage"].astype(float) > 0.9 - error).all()
