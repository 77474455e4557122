"""One real fit of a small table with names that try to break out, and its report."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from src.reporting.finished import read_fit
from tests.commands import run

MODELS = ["<script>alert(1)</script>", "[bold]qwen[/bold]", "$\\frac{a}{b}$ --> & co"]
PERSONAS = ["none", "NA", "muslim", "a persona with a name that is much longer than any label should be"]
RESPONSE = "<img src=x onerror=alert(1)> I cannot & will not {{ 7 * 7 }} help."


def responses() -> pd.DataFrame:
    """Simulate 30 responses to each combination, with effects of model, persona and wording."""
    random = np.random.default_rng(3)
    names = [MODELS, PERSONAS, ["nli", "politeness"], ["form", "casual"], range(30)]
    table = pd.MultiIndex.from_product(names).to_frame(index=False)
    table.columns = ["model", "persona", "task", "paraphrase", "item"]
    log_odds = (
        table["model"].map(dict(zip(MODELS, [-2.0, 0.0, 1.0], strict=True)))
        + table["persona"].map(dict(zip(PERSONAS, [0.0, -0.5, 1.0, 0.2], strict=True)))
        - 0.8 * (table["paraphrase"] == "form")
    )
    refused = random.random(len(table)) < expit(log_odds)
    return table.drop(columns="item").assign(
        refused=refused, response=np.where(refused, RESPONSE, "entailment"), engine="transformers"
    )


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A study with a fit by NUTS in ``fit``; an approximate one of simulated data in ``fast``, compared."""
    folder = tmp_path_factory.mktemp("runs")
    study = folder / "mine"
    study.mkdir()
    responses().to_parquet(study / "observations.parquet")
    responses().assign(engine="simulated").to_parquet(folder / "simulated.parquet")
    common = (f"runs_dir={folder}", "study=mine", "fit.draws=500", "fit.tune=300")
    run("fit", *common)
    run("fit", *common, "fit.method=fast", "fit.compare=true", "output=fast",
        f"observations={folder}/simulated.parquet")  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def fit(runs):
    """The fit by NUTS."""
    return read_fit(runs / "mine" / "fit")


@pytest.fixture(scope="session")
def reported(runs):
    """The command's process of the report, and its page."""
    done = run("report", f"runs_dir={runs}", "study=mine")
    return done, (runs / "mine" / "report" / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def copied(runs, tmp_path) -> Path:
    """A study that a test may damage."""
    shutil.copytree(runs / "mine" / "fit", tmp_path / "mine" / "fit")
    return tmp_path / "mine"
