"""Persona spread against capability: a known slope is found, its absence too, and bad input is named."""

import numpy as np
import pandas as pd
import pytest

from src.effects.reading import read_effects
from src.effects.tables import TableSettings, tables_from_posterior
from src.errors import InputError
from src.inference.capability import capability_slope, read_capability
from src.inference.fitting import FitSettings
from src.inference.request import Request, fit_request
from tests.inference.simulate import counts

SHAPE = (12, 12, 2, 1)
FACTORS = ("persona", "model", "task", "paraphrase")


def fit(tmp_path, slope: float):
    rng = np.random.default_rng(4)
    z = (np.arange(12) - 5.5) / np.arange(12).std()
    spread = 0.7 * np.exp(slope * z)[None, :, None, None]
    log_odds = (
        -1 + rng.normal(size=(1, 12, 1, 1)) + spread * rng.normal(size=(12, 12, 1, 1)) + np.zeros(SHAPE)
    )
    trials = np.full(SHAPE, 100)
    cells = counts(trials, rng.binomial(trials, 1 / (1 + np.exp(-log_odds))), FACTORS)
    names = {f: np.array(v)[cells.codes[:, i]] for i, (f, v) in enumerate(cells.levels.items())}
    table = pd.DataFrame(names).assign(refusals=cells.refusals, trials=cells.trials)
    table.to_csv(tmp_path / "t.csv", index=False)
    request = Request(
        factors=["persona", "model", "task"],
        nested={},
        interactions=[["persona", "model"]],
        columns={},
        priors={"family": "half_normal"},
        settings=FitSettings(draws=500, progress=False),
        tables=TableSettings(),
        capability={level: 7.0 + i for i, level in enumerate(cells.levels["model"])},
    )
    cells, structure, prior, _ = request.prepare(tmp_path / "t.csv")
    result = fit_request(request, cells, structure, prior)
    return result, tables_from_posterior(result.tree, request.tables).frames["capability"], spread.ravel()


@pytest.mark.parametrize("slope", [-0.5, 0.0])
def test_slope_and_implied_spreads_are_found(tmp_path, slope):
    result, table, spread = fit(tmp_path, slope)
    row = table[table["quantity"] == "slope"].iloc[0]
    assert abs(row["mean"] - slope) < 3.5 * row["sd"]
    assert row["sd"] < 0.2
    below = table.loc[table["quantity"] == "slope_negative", "mean"].item()
    assert (below > 0.98) == (slope < 0)
    implied = table[table["quantity"] == "implied_sd"]
    assert implied["capability"].tolist() == [7.0 + i for i in range(12)]
    inside = (implied["ci_lower"] * 0.8 < spread) & (spread < implied["ci_upper"] * 1.2)
    assert inside.all()

    # The latent share uses the mean variance over models.
    effects = read_effects(result.tree)
    draws = result.fitted.plain
    z = (np.arange(12) - 5.5) / np.arange(12).std()
    sd = draws.sds[:, list(effects.terms).index("persona:model")]
    mean_variance = (sd[:, None] ** 2 * np.exp(2 * draws.slope[:, None] * z)).mean(axis=1)
    np.testing.assert_allclose(effects.sds["persona:model"] ** 2, mean_variance)


def test_spreads_are_those_of_the_draws(tmp_path):
    result, table, _ = fit(tmp_path, 0.0)
    posterior = result.tree["posterior"].to_dataset()
    log_odds = posterior["u_persona"] + posterior["u_persona:model"]
    expected = log_odds.std("persona").mean(("chain", "draw")).values
    found = table[table["quantity"] == "spread_log_odds"]["mean"].to_numpy()
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("card", "null, cards or a mapping"),
        ({"a": "big"}, "capability of a must be a number, received 'big'"),
    ],
)
def test_bad_nodes(node, message):
    with pytest.raises(InputError, match=message):
        read_capability(node)


def test_cards_have_values():
    cards = read_capability("cards")
    assert cards["llama3.2-3b"] == pytest.approx(9.5, abs=0.05)
    assert len(cards) > 16


@pytest.mark.parametrize(
    ("capability", "message"),
    [
        ({"model0000": 1.0, "model0001": 2.0}, "unknown model of capability"),
        ({"model0000": 1.0, "model0001": 1.0, "model0002": 1.0}, "three models or more that differ"),
    ],
)
def test_bad_covariates(capability, message):
    cells = counts(np.ones((2, 3)), np.zeros((2, 3)), ("persona", "model"))
    with pytest.raises(InputError, match=message):
        capability_slope(cells, capability)
