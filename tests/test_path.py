"""The whole path by the commands themselves: ask, label, fit; sweeps; resumption; known effects found."""

import json
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.commands import run

MODELS = "m1,m2,m3,m4,m5,m6"
QUICK = ("fit.draws=400", "fit.tune=300")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A sweep of six simulated models into one study."""
    folder = tmp_path_factory.mktemp("runs")
    run(
        "generate", "-m", f"runs_dir={folder}", "study=known", "model=simulated", f"model.name={MODELS}",
        "engine=simulated", "design.size=4000",
    )  # fmt: skip
    run("fit", f"runs_dir={folder}", "study=known")
    return folder


def test_every_planned_response_is_there_once(runs):
    table = pd.read_parquet(runs / "known" / "observations.parquet")
    assert table.groupby("model").size().to_dict() == dict.fromkeys(MODELS.split(","), 4000)
    assert table["cell_key"].is_unique
    assert list(table.columns[:20]) == [
        "model", "persona", "task", "paraphrase", "item", "replicate", "outcome", "refused", "label", "gold",
        "response", "cell_key", "model_revision", "dtype", "engine", "generation_hash", "prompt_tokens",
        "new_tokens", "detector", "detector_version",
    ]  # fmt: skip
    assert set(table["outcome"]) == {"answered", "refused"}
    assert ((table["outcome"] == "refused") == table["refused"]).all()
    accuracy = (table["label"] == table["gold"])[~table["refused"]].mean()
    assert accuracy == pytest.approx(0.8, abs=0.02)


def test_known_effects_are_found_again(runs):
    """Every sd within its 99.8 % interval, and the large effects nearly in line with the truth."""
    truth = xr.open_dataset(runs / "known" / "truth.nc", engine="h5netcdf")
    posterior = az.from_netcdf(runs / "known" / "fit" / "posterior.nc")["posterior"].to_dataset()
    for term in ("persona", "model", "task:paraphrase", "persona:model", "model:task"):
        draws = posterior["sd"].sel(term=term).values.ravel()
        lower, upper = np.quantile(draws, [0.001, 0.999])
        assert lower < float(truth[f"sd_{term}"]) < upper, term
    found = posterior["u_persona"].mean(("chain", "draw"))
    true = truth["u_persona"].sel(persona=found["persona"].values)
    assert np.corrcoef(found, true)[0, 1] > 0.9


def test_simulated_data_are_called_simulated_everywhere(runs):
    diagnostics = json.loads((runs / "known" / "fit" / "diagnostics.json").read_text())
    assert diagnostics["simulated"]
    assert json.loads(az.from_netcdf(runs / "known" / "fit" / "posterior.nc").attrs["simulated"])
    assert (
        "SIMULATED" in run("fit", f"runs_dir={runs}", "study=known", "output=again", "fit.method=fast").stdout
    )


def test_the_same_command_does_only_what_is_missing(runs):
    arguments = (
        f"runs_dir={runs}", "study=known", "model=simulated", "model.name=m1", "engine=simulated",
    )  # fmt: skip
    before = {p: p.read_bytes() for p in (runs / "known" / "responses").glob("*.parquet")}
    assert "0 responses in" in run("generate", *arguments, "design.size=4000").stdout
    assert "100 responses in" in run("generate", *arguments, "design.size=4100").stdout
    for path, content in before.items():
        assert path.read_bytes() == content


def test_sweeps_of_fits_overwrite_nothing(runs):
    run(
        "fit", "-m", f"runs_dir={runs}", "study=known", "priors=half_normal,r2d2", "detector=rules",
        "detector.refused=any,evasion", "output=sweep", "fit.method=fast",
    )  # fmt: skip
    folders = sorted(p.parent.name for p in (runs / "known" / "sweep").glob("*/diagnostics.json"))
    assert len(folders) == 4
    families = {json.loads((p / "diagnostics.json").read_text())["configuration"]["priors"]["family"]
                for p in (runs / "known" / "sweep").iterdir()}  # fmt: skip
    assert families == {"half_normal", "r2d2"}


def test_a_table_from_elsewhere(tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"model": rng.choice(list("abc"), 600), "prompt_type": rng.choice(["x", "y"], 600)})
    table["label"] = rng.random(600) < np.where(table["model"] == "a", 0.7, 0.2)
    table.to_csv(tmp_path / "table.csv", index=False)
    done = run(
        "fit", f"runs_dir={tmp_path}", "study=theirs", f"observations={tmp_path}/table.csv",
        "factors=[model,prompt_type]", "interactions=[[model,prompt_type]]", "columns={refused: label}",
        *QUICK,
    )  # fmt: skip
    assert "600 responses" in done.stdout
    shares = pd.read_csv(tmp_path / "theirs" / "fit" / "variance.csv").set_index(["scale", "term"])["mean"]
    assert shares["probability_first", "model"] > 0.5


def test_a_real_model_from_nothing(tmp_path):
    """The embedded model answers, a second run finds all there, and the table is fitted."""
    arguments = (
        f"runs_dir={tmp_path}", "study=real", "design.size=24", "generation.max_new_tokens=8",
    )  # fmt: skip
    first = run("generate", *arguments)
    assert "24 responses planned" in first.stdout
    assert "24 responses in" in first.stdout
    assert "0 responses in" in run("generate", *arguments).stdout
    table = pd.read_parquet(tmp_path / "real" / "observations.parquet")
    assert len(table) == 24
    assert (table["new_tokens"] <= 8).all()
    run("fit", f"runs_dir={tmp_path}", "study=real", *QUICK)
    assert (tmp_path / "real" / "fit" / "posterior.nc").is_file()
