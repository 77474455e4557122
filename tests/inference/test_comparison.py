"""Leave-one-out comparison puts a real interaction first and an absent one behind its error."""

import numpy as np
import pandas as pd

from src.effects.tables import TableSettings
from src.inference.comparison import COLUMNS, compare_terms
from src.inference.fitting import FitSettings
from src.inference.request import Request
from tests.inference.simulate import NESTED, simulate


def test_terms_are_ranked_by_what_they_predict(tmp_path):
    sds = {"persona": 0.3, "model": 0.8, "task": 0.5, "task:paraphrase": 0.3, "model:task": 1.2}
    cells = simulate(20_000, (6, 6, 4, 2), sds=sds, intercept=-1.0).cells
    request = Request(
        factors=list(cells.levels),
        nested=NESTED,
        interactions=[["persona", "model"], ["model", "task"]],
        columns={},
        priors={"family": "half_normal"},
        settings=FitSettings(draws=500, progress=False),
        tables=TableSettings(),
    )
    table = compare_terms(request, cells)
    assert list(table.columns) == COLUMNS
    assert set(table["left_out"]) == {"", "persona:model", "model:task", "all interactions"}
    rows = table.set_index("left_out")
    assert rows.loc["model:task", "elpd_diff"] < -5 * rows.loc["model:task", "dse"]
    assert abs(rows.loc["", "elpd"] - rows.loc["persona:model", "elpd"]) < 10
    assert table["elpd"].is_monotonic_decreasing
    assert table.iloc[0]["elpd_diff"] == 0
    assert isinstance(table, pd.DataFrame)
    assert np.isfinite(table["se"]).all()
