"""New levels against simulation by hand."""

import numpy as np
import pytest
from scipy.special import expit

from src.effects.grid import Effects
from src.effects.predictions import COLUMNS, new_level, prediction_table

DRAWS = 40_000


def effects() -> Effects:
    """One posterior draw, repeated: two models, two tasks with two and one wordings."""
    rng = np.random.default_rng(1)
    one = {
        "model": rng.normal(size=2),
        "task": rng.normal(size=2),
        "task:paraphrase": rng.normal(size=(2, 2)),
    }
    one["model:task"] = rng.normal(size=(2, 2))
    sds = {"model": 0.8, "task": 0.5, "task:paraphrase": 0.3, "model:task": 0.4}
    return Effects(
        intercept=np.full(DRAWS, -1.0),
        sds={name: np.full(DRAWS, sd) for name, sd in sds.items()},
        terms={name: tuple(name.split(":")) for name in sds},
        effects={name: np.tile(u, (DRAWS, *(1 for _ in u.shape))) for name, u in one.items()},
        levels={"model": ["a", "b"], "task": ["x", "y"], "paraphrase": ["p", "q"]},
        nested={"paraphrase": "task"},
        present={"paraphrase": np.array([[True, True], [True, False]])},
        sizes={"model": 2, "task": 2, "paraphrase": 2},
    )


def by_hand(factor: str) -> np.ndarray:
    at, rng = effects(), np.random.default_rng(2)
    u = {name: array[0] for name, array in at.effects.items()}
    cells = [(0, 0, 0.25), (0, 1, 0.25), (1, 0, 0.5)]  # task, wording, weight

    def normal(sd: float) -> np.ndarray:
        return sd * rng.normal(size=DRAWS)

    total = np.zeros(DRAWS)
    if factor == "model":
        main, pair = normal(0.8), [normal(0.4), normal(0.4)]
        for task, wording, weight in cells:
            total += weight * expit(
                -1 + main + u["task"][task] + u["task:paraphrase"][task, wording] + pair[task]
            )
    if factor == "task":
        main, pair = normal(0.5), [normal(0.4), normal(0.4)]
        for wording in (normal(0.3), normal(0.3)):
            for model in range(2):
                total += 0.25 * expit(-1 + u["model"][model] + main + pair[model] + wording)
    if factor == "paraphrase":
        for task in range(2):
            wording = normal(0.3)
            for model in range(2):
                total += 0.25 * expit(
                    -1 + u["model"][model] + u["task"][task] + u["model:task"][model, task] + wording
                )
    return total


@pytest.mark.parametrize("factor", ["model", "task", "paraphrase"])
def test_new_levels_have_the_distribution_of_a_simulation(factor):
    found, expected = new_level(effects(), factor, np.random.default_rng(3)), by_hand(factor)
    at = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(found, at), np.quantile(expected, at), atol=0.006)


def test_table_has_a_row_a_factor():
    table = prediction_table(effects(), np.random.default_rng(4), 0.9, "eti")
    assert list(table.columns) == COLUMNS
    assert table["factor"].tolist() == ["model", "task", "paraphrase"]
    assert (table["ci_lower"] < table["mean"]).all()
    assert (table["mean"] < table["ci_upper"]).all()
