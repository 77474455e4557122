"""Contrasts against plain enumeration of small grids, and against what odds ratios must be."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from src.effects.contrasts import COLUMNS, Differences, contrast_draws, contrasts, multiplicity
from src.effects.grid import Effects
from src.errors import InputError
from tests.effects.test_grid import make_effects, mean_given


def named(effects: Effects) -> Effects:
    """The same effects with a persona called none, and wordings named within their tasks."""
    positions = np.array([[0, 1, 2, -1, -1], [-1, -1, -1, 0, -1], [-1, 1, -1, -1, 0]])
    levels = {
        "persona": ["aged", "none", "young"],
        "model": ["llama", "qwen"],
        "task": ["nli", "tone", "topic"],
        "paraphrase": ["a", "b", "c", "d", "e"],
    }
    return replace(effects, levels=levels, positions={"paraphrase": positions})


def find(
    found: list[Differences], factor: str, level: str, within: str
) -> tuple[np.ndarray, np.ndarray, str]:
    for entry in found:
        for i, key in enumerate(zip(entry.levels, entry.within, strict=True)):
            if (entry.factor, *key) == (factor, level, within):
                return entry.log_odds[:, i], entry.risk[:, i], entry.baseline
    raise KeyError(factor, level, within)


def test_draws_equal_enumeration() -> None:
    effects = named(make_effects())
    found = contrast_draws(effects, within=["model", "task"])
    for draw in range(effects.draws):
        for log_odds in (True, False):
            value = 0 if log_odds else 1

            persona = mean_given(effects, draw, ("persona",), log_odds)
            for code, name in ((0, "aged"), (2, "young")):
                ours = find(found, "persona", name, "")
                assert ours[value][draw] == pytest.approx(persona[code,] - persona[1,])
                assert ours[2] == "none"
            by_model = mean_given(effects, draw, ("persona", "model"), log_odds)
            ours = find(found, "persona", "young", "model=qwen")
            assert ours[value][draw] == pytest.approx(by_model[2, 1] - by_model[1, 1])

            task = mean_given(effects, draw, ("task",), log_odds)
            ours = find(found, "task", "tone", "")
            assert ours[value][draw] == pytest.approx(task[1,] - np.mean([task[t,] for t in range(3)]))
            assert ours[2] == "mean"
            by_task = mean_given(effects, draw, ("model", "task"), log_odds)
            ours = find(found, "model", "llama", "task=topic")
            assert ours[value][draw] == pytest.approx((by_task[0, 2] - by_task[1, 2]) / 2)

            wording = mean_given(effects, draw, ("task", "paraphrase"), log_odds)
            ours = find(found, "paraphrase", "e", "task=topic")
            assert ours[value][draw] == pytest.approx((wording[2, 0] - wording[2, 1]) / 2)


def test_every_comparison_appears_once() -> None:
    found = contrast_draws(named(make_effects()), within=["model", "task"])
    keys = [
        (e.factor, level, within) for e in found for level, within in zip(e.levels, e.within, strict=True)
    ]
    assert len(keys) == len(set(keys))
    counts = pd.Series([key[0] for key in keys]).value_counts().to_dict()
    # Two personas overall, in two models and in three tasks; the task with one wording has no contrast of it.
    assert counts == {"persona": 2 * (1 + 2 + 3), "model": 2 * (1 + 3), "task": 3 * (1 + 2), "paraphrase": 5}
    assert {w for f, _, w in keys if f == "paraphrase"} == {"task=nli", "task=topic"}


def test_order_of_factors_changes_nothing() -> None:
    one, two = (
        contrast_draws(named(make_effects(order=order)), within=["model"])
        for order in (("persona", "model", "task", "paraphrase"), ("paraphrase", "task", "model", "persona"))
    )
    for entry in one:
        for level, within in zip(entry.levels, entry.within, strict=True):
            ours, theirs = (find(f, entry.factor, level, within) for f in (one, two))
            np.testing.assert_allclose(ours[0], theirs[0], atol=1e-12)
            np.testing.assert_allclose(ours[1], theirs[1], atol=1e-12)


def test_without_interactions_the_odds_ratio_is_the_effect() -> None:
    rng = np.random.default_rng(0)
    persona, model = rng.normal(size=(500, 3)), rng.normal(size=(500, 4))
    effects = Effects(
        np.full(500, -2.0),
        {},
        {"persona": ("persona",), "model": ("model",)},
        {"persona": persona, "model": model},
        {"persona": ["aged", "none", "young"], "model": list("abcd")},
        {},
        {},
        {"persona": 3, "model": 4},
    )
    table = contrasts(effects, rope=0.02, ci_prob=0.9, ci_kind="eti", within=["model"])
    assert list(table.columns) == COLUMNS
    young = table[(table.factor == "persona") & (table.level == "young")]
    difference = persona[:, 2] - persona[:, 1]
    assert len(young) == 5
    assert young.odds_ratio.to_numpy() == pytest.approx(np.exp(difference.mean()))
    assert young.odds_ratio_ci_lower.to_numpy() == pytest.approx(np.exp(np.quantile(difference, 0.05)))
    assert young.odds_ratio_ci_upper.to_numpy() == pytest.approx(np.exp(np.quantile(difference, 0.95)))
    assert young.prob_positive.to_numpy() == pytest.approx((difference > 0).mean())
    p = 1 / (1 + np.exp(2 - persona[:, :, None] - model[:, None, :]))
    risk = (p[:, 2] - p[:, 1]).mean(axis=1)
    overall = young[young.within == ""].iloc[0]
    assert overall.risk_difference == pytest.approx(risk.mean())
    assert overall.risk_difference_sd == pytest.approx(risk.std())
    assert overall.risk_difference_ci_lower == pytest.approx(np.quantile(risk, 0.05))
    assert overall.prob_rope == pytest.approx((np.abs(risk) < 0.02).mean())
    assert (overall.ci_prob, overall.ci_kind, overall.rope, overall.baseline) == (0.9, "eti", 0.02, "none")


def test_baselines_are_chosen() -> None:
    effects = named(make_effects())
    default = {e.factor: e.baseline for e in contrast_draws(effects)}
    assert default == {"persona": "none", "model": "mean", "task": "mean", "paraphrase": "mean"}
    chosen = {e.factor: e.baseline for e in contrast_draws(effects, baselines={"task": "nli"})}
    assert chosen == {"persona": "mean", "model": "mean", "task": "nli", "paraphrase": "mean"}
    unnamed = {e.factor: e.baseline for e in contrast_draws(make_effects())}
    assert unnamed["persona"] == "mean"


def test_a_single_level_has_nothing_to_compare() -> None:
    effects = Effects(
        np.zeros(4),
        {},
        {"model": ("model",)},
        {"model": np.ones((4, 1))},
        {"model": ["a"]},
        {},
        {},
        {"model": 1},
    )
    table = contrasts(effects, 0.02, 0.9, "hdi")
    assert list(table.columns) == COLUMNS
    assert len(table) == 0
    assert multiplicity(table).expected_by_chance == 0


def test_multiplicity_counts_intervals() -> None:
    rng = np.random.default_rng(5)
    # Normal posteriors about estimates with nothing behind them: one interval in ten misses zero.
    estimate = rng.normal(size=2000)
    draws = 1e-3 * (estimate + rng.normal(size=(2000, 2000)))
    effects = Effects(
        np.zeros(2000),
        {},
        {"model": ("model",)},
        {"model": draws},
        {"model": [str(i) for i in range(2000)]},
        {},
        {},
        {"model": 2000},
    )
    found = multiplicity(contrasts(effects, 0.02, 0.9, "eti"))
    assert found.contrasts == 2000
    assert found.expected_by_chance == pytest.approx(200)
    assert found.excluding_zero == pytest.approx(200, abs=45)


def test_unknown_names_are_refused() -> None:
    effects = named(make_effects())
    with pytest.raises(InputError, match="did you mean model"):
        contrast_draws(effects, within=["modle"])
    with pytest.raises(InputError, match="factor to compare within 'paraphrase'"):
        contrast_draws(effects, within=["paraphrase"])
    with pytest.raises(InputError, match="did you mean none"):
        contrast_draws(effects, baselines={"persona": "non"})
    with pytest.raises(InputError, match="factor of a baseline"):
        contrast_draws(effects, baselines={"paraphrase": "a"})
    with pytest.raises(InputError, match="received -1"):
        contrasts(effects, -1, 0.9, "eti")
    with pytest.raises(InputError, match="unknown ci_kind"):
        contrasts(effects, 0.02, 0.9, "hpd")
