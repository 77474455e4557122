"""The posterior is that of the plain model: agreement with independent implementations, and calibration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.effects.contrasts import contrast_draws
from src.effects.reading import read_effects
from src.effects.summaries import convergence
from src.effects.variance import variance_shares
from src.inference.fitting import FitSettings, fit_cells
from src.inference.priors import read_prior
from src.inference.recover import draw_prior
from src.inference.terms import build_structure
from src.inference.tree import build_tree, sum_of_effects
from tests.inference.simulate import INTERACTIONS, NESTED, counts, flagged, simulate

TABLES = Path(__file__).resolve().parents[2] / "docs" / "tables"
SIMULATIONS = 300
RANKS = 99
"""Thinned draws that a true value is ranked among."""


def write_markdown(name: str, table: pd.DataFrame) -> None:
    TABLES.mkdir(exist_ok=True)
    head = "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns) + "\n"
    rows = ["| " + " | ".join(str(value) for value in row) + " |" for row in table.itertuples(index=False)]
    (TABLES / f"{name}.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", ["half_normal", "r2d2"])
@pytest.mark.parametrize(("regime", "responses"), [("rich", 6000), ("sparse", 300)])
def test_agreement_with_the_textbook_model(regime, responses, family):
    """Means and spreads of every intercept, sd and effect within Monte Carlo error of PyMC's own model."""
    cells = simulate(responses, (6, 5, 3, 4)).cells
    structure = build_structure(cells, INTERACTIONS, NESTED)
    prior = read_prior({"family": family, "scale": 1.0}, structure.names)
    fits = {
        method: fit_cells(
            cells, structure, prior, FitSettings(method, draws=4000, tune=1000, progress=False)
        ).plain
        for method in ("nuts", "pymc")
    }
    columns = {
        method: np.column_stack([f.intercept, f.sds, *(u.reshape(len(u), -1) for u in f.effects)])
        for method, f in fits.items()
    }
    errors = {}
    for method, draws in columns.items():
        found = convergence(draws.reshape(4, -1, draws.shape[1]))
        errors[method] = draws.std(axis=0) / np.sqrt(found["ess_bulk"])
        assert np.nanmax(found["r_hat"]) < 1.02
    scores = (columns["nuts"].mean(axis=0) - columns["pymc"].mean(axis=0)) / np.hypot(
        errors["nuts"], errors["pymc"]
    )
    spread = columns["nuts"].std(axis=0) / columns["pymc"].std(axis=0)
    write_markdown(
        f"agreement-{regime}-{family}",
        pd.DataFrame(
            {
                "quantity": ["intercept", *(f"sd {name}" for name in structure.names)],
                "mean, ours": columns["nuts"].mean(axis=0)[:7].round(3),
                "mean, textbook": columns["pymc"].mean(axis=0)[:7].round(3),
                "difference in standard errors": scores[:7].round(2),
                "ratio of spreads": spread[:7].round(3),
            }
        ),
    )
    # Hundreds of correlated scores: the largest of 100 normals passes 4.5 once in 1,500 runs.
    assert np.abs(scores).max() < 4.5
    np.testing.assert_allclose(spread, 1.0, atol=0.12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_calibration_of_the_default_model():
    """Simulation-based calibration (Talts et al. 2018): ranks of true values among draws are uniform."""
    shape, factors = (5, 4, 3, 3), ("persona", "model", "task", "paraphrase")
    empty = counts(np.ones(shape), np.zeros(shape), factors)
    structure = build_structure(empty, INTERACTIONS, NESTED)
    prior = read_prior({"family": "half_normal"}, structure.names)
    rng = np.random.default_rng(20251124)
    ranks: dict[str, list[int]] = {}
    inside: dict[str, list[float]] = {}
    for simulation in range(SIMULATIONS):
        truth = draw_prior(structure, prior, 1, rng)
        log_odds = np.full(shape, truth.intercept[0])
        for term, effect in zip(structure.terms, truth.effects, strict=True):
            order = sorted(term, key=factors.index)
            moved = effect[0].transpose([term.index(f) for f in order])
            log_odds = log_odds + moved.reshape(
                [shape[factors.index(f)] if f in term else 1 for f in factors]
            )
        trials = np.full(shape, 4)
        cells = counts(trials, rng.binomial(trials, 1 / (1 + np.exp(-log_odds))), factors)
        settings = FitSettings(draws=500, tune=400, chains=2, seed=simulation, progress=False)
        fitted = fit_cells(cells, structure, prior, settings)
        tree = build_tree(cells, structure, fitted, truth, prior, simulation)
        drawn, true = quantities(read_effects(tree)), quantities(read_effects(tree, "prior"))
        for name, draws in drawn.items():
            thinned = draws[:: len(draws) // RANKS][:RANKS]
            ranks.setdefault(name, []).append(int((thinned < true[name][0]).sum()))
            inside.setdefault(name, []).append((draws < true[name][0]).mean())
    rows = []
    for name, found in ranks.items():
        observed = np.bincount(np.array(found) // 10, minlength=10)
        at = np.array(inside[name])
        rows.append(
            {
                "quantity": name,
                "uniformity of ranks, p": round(float(stats.chisquare(observed).pvalue), 3),
                "50 % intervals": f"{np.mean(np.abs(at - 0.5) < 0.25):.2f}",
                "90 % intervals": f"{np.mean(np.abs(at - 0.5) < 0.45):.2f}",
            }
        )
    table = pd.DataFrame(rows)
    write_markdown("calibration", table)
    # Bonferroni over the quantities, at 1 %.
    assert table["uniformity of ranks, p"].min() > 0.01 / len(table)
    error = 3.5 * np.sqrt(0.9 * 0.1 / SIMULATIONS)
    np.testing.assert_allclose(table["90 % intervals"].astype(float), 0.9, atol=error)


def quantities(effects) -> dict[str, np.ndarray]:
    """Intercept, sds, one effect of each term, shares on every scale, and persona contrasts."""
    found = {"intercept": effects.intercept}
    found |= {f"sd {name}": draws for name, draws in effects.sds.items()}
    found |= {f"first effect of {name}": u.reshape(len(u), -1)[:, 0] for name, u in effects.effects.items()}
    for scale, shares in variance_shares(effects).draws.items():
        found |= {f"{scale} share of {name}": shares[name] for name in ("persona", "model", "persona:model")}
    for difference in contrast_draws(effects, baselines={"persona": "persona0000"}):
        if difference.factor == "persona":
            found["risk difference of a persona"] = difference.risk[:, 0]
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("by", [["model"], ["model", "persona"]], ids=str)
def test_agreement_with_the_textbook_model_where_the_detector_errs(by):
    """Effects, and sensitivity and specificity by group, within Monte Carlo error of PyMC's own model."""
    sample = flagged(simulate(3000, (4, 3, 2, 2)).cells, {"model": [0.9, 0.7, 0.4]}, 0.95, labels=300)
    error = sample.error(by)
    cells = replace(sample.cells, error=error)
    structure = build_structure(cells, INTERACTIONS, NESTED)
    prior = read_prior({"family": "half_normal"}, structure.names)
    columns, errors = {}, {}
    for method in ("nuts", "pymc"):
        settings = FitSettings(method, draws=4000, tune=1000, progress=False)
        fitted = fit_cells(cells, structure, prior, settings)
        models = [fitted.plain, *fitted.rates.values()]
        groups = [
            sum_of_effects(of, error.structure, error.trials_of(rate).codes)
            for rate, of in fitted.rates.items()
        ]
        effects = [u.reshape(len(u), -1) for of in models for u in of.effects]
        heads = [column for of in models for column in (of.intercept[:, None], of.sds)]
        draws = np.column_stack([*heads, *groups, *effects])
        found = convergence(draws.reshape(4, -1, draws.shape[1]))
        assert np.nanmax(found["r_hat"]) < 1.02
        columns[method], errors[method] = draws, draws.std(axis=0) / np.sqrt(found["ess_bulk"])
    difference = columns["nuts"].mean(axis=0) - columns["pymc"].mean(axis=0)
    scores = difference / np.hypot(errors["nuts"], errors["pymc"])
    spread = columns["nuts"].std(axis=0) / columns["pymc"].std(axis=0)
    # The quantities that have a name in the table: what stands before the groups.
    names = ["intercept", *(f"sd {name}" for name in structure.names)]
    for rate in fitted.rates:
        names += [f"{rate}, average log-odds", *(f"{rate}, sd {name}" for name in error.structure.names)]
    shown = slice(0, len(names))
    write_markdown(
        f"agreement-detector-{'-'.join(by)}",
        pd.DataFrame(
            {
                "quantity": names,
                "mean, ours": columns["nuts"].mean(axis=0)[shown].round(3),
                "mean, textbook": columns["pymc"].mean(axis=0)[shown].round(3),
                "difference in standard errors": scores[shown].round(2),
                "ratio of spreads": spread[shown].round(3),
            }
        ),
    )
    assert np.abs(scores).max() < 4.5
    np.testing.assert_allclose(spread, 1.0, atol=0.12)
