"""A fit with labels from table to tables: joining, notes, groups, numbers looked up by name."""

from dataclasses import replace
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from scipy import special, stats

from src.effects.tables import TableSettings, tables_from_posterior
from src.errors import InputError
from src.fit import _labels
from src.inference.detector_error import VERDICTS, build_error, error_notes, read_error
from src.inference.fitting import FitSettings, fit_cells
from src.inference.request import Request, fit_request
from src.inference.store import hash_cells, write_fit
from src.observations.human import change_human, human_row
from src.study.paths import StudyPaths
from tests.commands import run

QUICK = FitSettings(draws=300, tune=300, chains=4, progress=False)
SENSITIVITY = {"a": 0.95, "b": 0.5}


def responses(seed: int = 1) -> pd.DataFrame:
    """One row a response: 2 models refuse alike, the detector misses half of one's refusals."""
    rng = np.random.default_rng(seed)
    names = [["a", "b"], ["none", "muslim", "atheist"], ["nli", "tone"], range(60)]
    table = pd.MultiIndex.from_product(names, names=["model", "persona", "task", "item"]).to_frame(
        index=False
    )
    truth = rng.random(len(table)) < table["persona"].map({"none": 0.2, "muslim": 0.5, "atheist": 0.3})
    flag = np.where(
        truth, rng.random(len(table)) < table["model"].map(SENSITIVITY), rng.random(len(table)) < 0.02
    )
    return table.drop(columns="item").assign(
        cell_key=[f"r{i}" for i in range(len(table))], refused=flag, human_refused=truth
    )


def request(by: list[str], **changes: object) -> Request:
    settings = {
        "factors": ["model", "persona", "task"],
        "nested": {},
        "interactions": [["persona", "model"]],
        "columns": {},
        "priors": {"family": "half_normal"},
        "settings": QUICK,
        "tables": TableSettings(baseline={"persona": "none"}),
        "error": read_error({"labels": "auto", "by": by}),
    }
    return Request(**{**settings, **changes})


def written(folder: Path, labels: pd.DataFrame, name: str = "labels.csv") -> tuple[Path, Path]:
    responses().drop(columns="human_refused").to_parquet(folder / "table.parquet")
    labels.to_csv(folder / name, index=False)
    return folder / "table.parquet", folder / name


def sample(size: int = 200) -> pd.DataFrame:
    return responses().sample(size, random_state=1)[["cell_key", "human_refused"]]


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_labels_are_joined_to_their_responses(tmp_path, name):
    """Counts by cell are those of a group-by over the joined table."""
    table, _ = written(tmp_path, sample())
    if name.endswith("parquet"):
        # As the label command writes it: the person's verdict is called refused.
        sample().rename(columns={"human_refused": "refused"}).sample(frac=1).to_parquet(tmp_path / name)
    cells, *_ = request(["model"]).prepare(table, tmp_path / name)
    joined = responses().merge(sample()[["cell_key"]], on="cell_key")
    for row, codes in zip(cells.error.labelled, cells.codes, strict=True):
        at = {f: cells.levels[f][code] for f, code in zip(cells.factors, codes, strict=True)}
        inside = joined[(joined[list(at)] == pd.Series(at)).all(axis=1)]
        pairs = [(True, True), (False, True), (True, False), (False, False)]
        expected = [((inside["refused"] == f) & (inside["human_refused"] == t)).sum() for f, t in pairs]
        assert row.tolist() == expected
    assert cells.error.labelled.sum() == 200
    assert (cells.error.unlabelled(cells) >= 0).all()


def test_labels_of_responses_elsewhere_count_by_group(tmp_path):
    other = responses(2)[["model", "refused", "human_refused"]]
    table, labels = written(tmp_path, pd.concat([other, other.head(3).assign(model="unheard-of")]))
    cells, _, _, notes = request(["model"]).prepare(table, labels)
    assert cells.error.labelled.sum() == 0
    expected = other.groupby("model").apply(
        lambda g: [((g["refused"] == f) & (g["human_refused"] == t)).sum() for f, t in
                   [(1, 1), (0, 1), (1, 0), (0, 0)]])  # fmt: skip
    np.testing.assert_array_equal(cells.error.known, np.array(expected.tolist()))
    assert any("3 of 723 labels are of other model" in note for note in notes)
    assert any("720 of them not of this table" in note for note in notes)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: pd.concat([t, t.head(1)]), "twice"),
        (lambda t: t.assign(human_refused="maybe"), "'maybe'"),
        (lambda t: t.assign(cell_key="x" + t["cell_key"]), "no label"),
        (lambda t: t.rename(columns={"human_refused": "humane_refused"}), "did you mean humane_refused"),
        (lambda t: t.drop(columns="cell_key"), "without cell_key"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path, spoil, words):
    table, labels = written(tmp_path, spoil(sample()))
    with pytest.raises(InputError, match=words):
        request(["model"]).prepare(table, labels)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"label": "auto"}, "did you mean labels"),
        ({"labels": True}, "detector_error.labels"),
        ({"by": "model"}, "detector_error.by"),
        ({"sensitivity": {"median": 0.4}}, "between 0.5 and 1"),
        ({"specificity": {"sd": 0}}, "above zero"),
        ({"specificity": {"means": 0.9}}, "key of detector_error.specificity"),
    ],
)
def test_settings_that_cannot_be_used(node, words):
    with pytest.raises(InputError, match=words):
        read_error(node)


def test_the_approximation_says_that_it_cannot(tmp_path):
    table, labels = written(tmp_path, sample())
    cells, structure, prior, _ = request(["model"]).prepare(table, labels)
    with pytest.raises(InputError, match="labels=null"):
        fit_cells(cells, structure, prior, replace(QUICK, method="fast"))


def test_few_labels_are_said(tmp_path):
    table, labels = written(tmp_path, sample(20))
    cells, _, _, notes = request(["model"]).prepare(table, labels)
    assert any(note.startswith("sensitivity rests on its prior and on the other groups") for note in notes)
    settings = read_error({"by": []})
    error = build_error(cells, settings, np.zeros((len(cells.trials), 4)))
    assert any(
        "sensitivity rests on its prior where" in note and "all (0)" in note for note in error_notes(error)
    )
    assert hash_cells(cells) != hash_cells(replace(cells, error=None))


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    ask = request(["model"])
    table, labels = written(folder, sample())
    cells, structure, prior, notes = ask.prepare(table, labels)
    result = fit_request(ask, cells, structure, prior)
    tables = tables_from_posterior(result.tree, ask.tables)
    diagnostics = write_fit(folder, result, tables, notes, {"fit": {"method": "nuts"}, "study": "x"})
    return folder, result, tables, diagnostics, ask


def test_rates_have_named_coordinates(fit):
    tree = az.from_netcdf(fit[0] / "posterior.nc")
    posterior = tree["posterior"]
    assert posterior["sensitivity"].dims == ("chain", "draw", "model")
    assert float(posterior["sensitivity"].sel(model="a").mean()) > float(
        posterior["sensitivity"].sel(model="b").mean()
    )
    assert posterior["sensitivity_sd"].sel(rate_term="model").sizes == {"chain": 4, "draw": 300}
    assert tree["labels"]["of_the_table"].dims == ("model", "verdict")
    assert int(tree["labels"]["of_the_table"].sum()) == 200
    assert list(tree["labels"]["verdict"].values) == list(VERDICTS)
    assert np.isfinite(az.loo(tree).elpd)
    assert np.isfinite(az.psense_summary(tree, var_names=["sensitivity"])["prior"].to_numpy(float)).all()


def test_log_likelihood_is_that_of_flags_and_truths(fit):
    """One cell and draw, looked up by names alone, against scipy."""
    folder, result, *_ = fit
    tree = az.from_netcdf(folder / "posterior.nc")
    draw = tree["posterior"].to_dataset().isel(chain=2, draw=11)
    i = int(np.argmax(result.cells.error.labelled.min(axis=1)))
    cell = tree["observed_data"].to_dataset().isel(cell=i)
    at = {f: str(cell[f].values) for f in ("model", "persona", "task")}
    log_odds = draw["intercept"] + sum(draw[f"u_{f}"].sel({f: level}) for f, level in at.items())
    log_odds += draw["u_persona:model"].sel(persona=at["persona"], model=at["model"])
    p = special.expit(float(log_odds))
    se, sp = (float(draw[rate].sel(model=at["model"])) for rate in ("sensitivity", "specificity"))
    hit, miss, alarm, passed = result.cells.error.labelled[i]
    flagged, other = result.cells.error.unlabelled(result.cells)[i]
    expected = stats.binom.logpmf(flagged, flagged + other, se * p + (1 - sp) * (1 - p))
    expected += hit * np.log(p * se) + miss * np.log(p * (1 - se))
    expected += alarm * np.log((1 - p) * (1 - sp)) + passed * np.log((1 - p) * sp)
    assert float(tree["log_likelihood"]["refusals"].isel(chain=2, draw=11, cell=i)) == pytest.approx(
        expected, rel=1e-5
    )


def test_true_rates_are_found_where_flags_differ(fit):
    """Both models refuse a third; flags say one half as much of the second."""
    table = fit[2].frames["detector_error"].set_index(["quantity", "level"])
    truth = responses().groupby("model")["human_refused"].mean()
    for model in ("a", "b"):
        rate = table.loc[("refusal_rate", model)]
        assert rate["ci_lower"] - 0.03 < truth[model] < rate["ci_upper"] + 0.03
        assert table.loc[("informative", model), "mean"] > 0.99
    assert table.loc[("refusal_rate", "b"), "observed"] < 0.65 * truth["b"]
    assert table.loc[("sensitivity", "b"), "mean"] == pytest.approx(0.5, abs=0.15)
    assert table.loc[("sensitivity", "b"), "responses"] > 20
    assert "detector_prior" in fit[2].frames["power_scaling"]


def test_tables_are_recomputed_from_the_file_alone(fit):
    folder, _, tables, diagnostics, ask = fit
    again = tables_from_posterior(az.from_netcdf(folder / "posterior.nc"), ask.tables)
    for name, frame in tables.frames.items():
        pd.testing.assert_frame_equal(again.frames[name], frame)
    assert (folder / "detector_error.csv").is_file()
    assert diagnostics["labelled"] == 200
    assert any("200 responses read by a person" in note for note in diagnostics["notes"])


@pytest.mark.parametrize("by", [["persona", "model"], []], ids=str)
def test_rates_by_other_factors(tmp_path, by):
    ask = request(by, settings=replace(QUICK, chains=1, draws=100, tune=100))
    table, labels = written(tmp_path, sample())
    cells, structure, prior, _ = ask.prepare(table, labels)
    result = fit_request(ask, cells, structure, prior)
    frame = tables_from_posterior(result.tree, ask.tables).frames["detector_error"]
    expected = 6 if by else 1
    assert (frame["quantity"] == "sensitivity").sum() == expected
    shown = result.tree["posterior"]["sensitivity"]
    assert shown.dims == (("chain", "draw", "model", "persona") if by else ("chain", "draw"))
    if by:
        names = frame.loc[frame["quantity"] == "sensitivity", "level"].tolist()
        assert names[1] == "a:muslim"
        row = frame[(frame["quantity"] == "sensitivity") & (frame["level"] == "b:none")]
        assert float(row["mean"].iloc[0]) == pytest.approx(float(shown.sel(model="b", persona="none").mean()))


def test_of_several_annotators_the_first_counts(tmp_path):
    first = sample().assign(annotator="one")
    second = sample(20).assign(annotator="two", human_refused=lambda t: ~t["human_refused"])
    table, labels = written(tmp_path, pd.concat([first, second]))
    cells, _, _, notes = request(["model"]).prepare(table, labels)
    alone = request(["model"]).prepare(*written(tmp_path, first))[0]
    np.testing.assert_array_equal(cells.error.labelled, alone.error.labelled)
    assert any("several annotators" in note for note in notes) == (cells.error.labelled.sum() == 200)


@pytest.mark.parametrize(("setting", "counts"), [("any", True), ("full", False)])
def test_kinds_count_as_the_flags_do(tmp_path, setting, counts):
    """A partial refusal is a refusal of a person if the detector's setting says so, whatever was stored."""
    labels = sample().assign(kind="partial_refusal").rename(columns={"human_refused": "refused"})
    labels.to_parquet(tmp_path / "labels.parquet")
    table = responses().drop(columns="human_refused").assign(detector_version=f"1-{setting}")
    table.to_parquet(tmp_path / "table.parquet")
    cells, *_ = request(["model"]).prepare(tmp_path / "table.parquet", tmp_path / "labels.parquet")
    hit, miss, *others = cells.error.known.sum(axis=0)
    assert hit + miss == (200 if counts else 0)
    assert sum(others) == (0 if counts else 200)


def test_the_command_uses_the_studys_own_labels(tmp_path):
    """From the files of a study to the page."""
    study = tmp_path / "mine"
    study.mkdir()
    table = responses().drop(columns="human_refused").assign(
        paraphrase="form", item="one", response="I cannot.", engine="transformers", label=None,
        detector="rules", detector_version="1-any",
        kind=lambda t: np.where(t["refused"], "full_refusal", "answered"),
    )  # fmt: skip
    table.astype({"label": "string"}).to_parquet(study / "observations.parquet")
    read = responses().assign(paraphrase="form", item="one").sample(200, random_state=1)
    kinds = np.where(read["human_refused"], "full_refusal", "answered")
    rows = [
        human_row(r, "me", kind, None, "any") for r, kind in zip(read.to_dict("records"), kinds, strict=True)
    ]
    change_human(StudyPaths(tmp_path, "mine"), "me", rows)
    common = (
        f"runs_dir={tmp_path}",
        "study=mine",
        "factors=[model,persona,task]",
        "fit.draws=200",
        "fit.tune=200",
    )
    fitted = run("fit", *common)
    assert "200 responses read by a person" in fitted.stdout
    assert "The detector, %" in fitted.stdout
    reported = run("report", f"runs_dir={tmp_path}", "study=mine")
    assert "flagged as refusals" in reported.stdout
    page = (study / "report" / "index.html").read_text(encoding="utf-8")
    assert "How far are flags refusals?" in page
    assert "of the responses are refusals. What follows speaks of these." in page


def test_only_labels_of_the_studys_own_table_are_taken_by_themselves(tmp_path):
    paths = StudyPaths(tmp_path, "mine")
    own, other = (OmegaConf.create({"observations": table}) for table in (None, "table.csv"))
    assert _labels(own, "auto", paths) is None
    paths.labels.mkdir(parents=True)
    (paths.labels / "human.parquet").touch()
    assert _labels(own, "auto", paths) == paths.labels / "human.parquet"
    assert _labels(other, "auto", paths) is None
    assert _labels(own, None, paths) is None
    assert _labels(other, "mine.csv", paths) == Path("mine.csv")
