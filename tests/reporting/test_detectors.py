"""A study whose responses two detectors and a person have read: what the report says about them."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.observations.side_by_side import PEOPLE, read_side_by_side, reduced
from src.reporting.detectors import compare_detectors, fits_by_detector
from src.reporting.finished import find_fit, read_fit
from src.study.paths import StudyPaths
from tests.commands import run
from tests.reporting.pages import Page

STRICT = ["detector=rules", "+detector.method=rules", "detector.name=strict"]
SMALL = ["fit.method=fast", "factors=[persona,task,paraphrase]", "interactions=[[persona,task]]"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyPaths:
    """Simulated responses, labelled by the rules and by rules that take one kind of refusal for none."""
    runs = tmp_path_factory.mktemp("runs")
    common = [f"runs_dir={runs}", "study=mine"]
    run("generate", *common, "engine=simulated", "model=simulated", "task=[nli,politeness]",
        "persona=[none,muslim,atheist]", "design.size=600", "engine.intercept=-1.5")  # fmt: skip
    run("detect", *common, *STRICT, "detector.answer_patterns=[decline]")
    run("detect", *common, "detector=rules")
    run("fit", "-m", *common, *SMALL, "detector=rules", "detector.refused=any")
    run("fit", *common, *SMALL)
    return StudyPaths(runs, "mine")


def test_labels_stand_side_by_side_on_the_same_responses(study: StudyPaths) -> None:
    found = read_side_by_side(study, ["persona", "model", "no_such_column"])
    assert found is not None
    assert (found.detectors, found.factors, found.people) == (
        ["rules", "strict"],
        ["persona", "model"],
        False,
    )
    assert len(found.rows) == len(found.shared(found.detectors)) == 600
    rules = pd.read_parquet(study.observations)
    assert found.shared(found.detectors)["rules"].sum() == rules["refused"].sum()
    assert found.shared(found.detectors)["strict"].sum() < found.shared(found.detectors)["rules"].sum()
    codes, flags, counts = reduced(found.shared(found.detectors), ["persona"], found.detectors)
    assert counts.sum() == 600
    assert flags[:, 0] @ counts == rules["refused"].sum()
    assert set(codes[:, 0]) == {0, 1, 2}


def test_nothing_stored_changes_when_detectors_are_compared(study: StudyPaths) -> None:
    before = {path: path.read_bytes() for path in study.root.rglob("*") if path.is_file()}
    compare_detectors(study, find_fit(study, "fit"))
    assert {path: path.read_bytes() for path in study.root.rglob("*") if path.is_file()} == before


def test_the_report_says_whether_the_detector_matters(study: StudyPaths) -> None:
    done = run("report", f"runs_dir={study.runs_dir}", "study=mine")
    page = Page((study.root / "report" / "index.html").read_text(encoding="utf-8"))
    tables = {caption.split(":")[0].split(",")[0]: rows for caption, rows in page.tables.items()}
    agreement = tables["Agreement of detectors"]
    assert agreement[1][:3] == ["rules", "strict", "600"]
    by_model = tables["Responses read as refused"]
    assert [row[0] for row in by_model] == ["model", "simulated", "all"]
    assert float(by_model[1][1]) > float(by_model[1][2])
    ranking = tables["Rank and index of each factor by detector"]
    assert ranking[0] == ["factor", "rules", "strict"]
    assert {row[0] for row in ranking[1:]} == {"persona", "task", "paraphrase within task"}
    assert sorted(row[1][0] for row in ranking[1:]) == ["1", "2", "3"]
    assert "Without a model" in done.stdout
    assert "Of the 600 responses that every detector has read" in page.text


def test_fits_are_compared_if_they_differ_in_the_detector_alone(study: StudyPaths, tmp_path: Path) -> None:
    copy = StudyPaths(tmp_path, "mine")
    shutil.copytree(study.root, copy.root)
    fit = find_fit(copy, "fit")
    # The sweep's fit has the same detector, labels and name as the study's own table.
    assert len(fits_by_detector(copy, fit)) == 2
    other = copy.root / "strict"
    shutil.copytree(fit.folder, other, ignore=shutil.ignore_patterns("detector*"))
    told = json.loads((other / "diagnostics.json").read_text())
    told["configuration"]["detector"] = {"name": "strict"}
    (other / "diagnostics.json").write_text(json.dumps(told))
    variance = pd.read_csv(other / "variance.csv")
    own = variance["scale"] == "probability_first"
    variance.loc[own & (variance["term"] == "persona"), ["mean", "ci_upper"]] = [0.999, 1.0]
    variance.to_csv(other / "variance.csv", index=False)
    report = compare_detectors(copy, read_fit(fit.folder))
    assert report is not None
    assert any("DEPENDS ON THE DETECTOR" in s and "persona by strict" in s for s in report.sentences)
    told["configuration"]["rope"] = 0.1
    (other / "diagnostics.json").write_text(json.dumps(told))
    assert "strict" not in fits_by_detector(copy, fit)


def test_people_and_damaged_labels(study: StudyPaths, tmp_path: Path) -> None:
    copy = StudyPaths(tmp_path, "mine")
    shutil.copytree(study.root, copy.root)
    keys = pd.read_parquet(copy.observations, columns=["cell_key", "refused"]).iloc[::12]
    pq.write_table(pa.Table.from_pandas(keys.assign(refused=~keys["refused"])), copy.labels / "human.parquet")
    (copy.labels / "broken.parquet").write_bytes(b"PAR1")
    report = compare_detectors(copy, find_fit(copy, "fit"))
    assert report is not None
    agreement = {tuple(names): numbers for names, numbers, _ in report.grids[0].rows}
    assert agreement["rules", PEOPLE][0] == "50"
    assert agreement["rules", PEOPLE][3].startswith("-")
    assert any("broken.parquet" in sentence for sentence in report.sentences)
    assert not any("people have labelled" in grid.caption for grid in report.grids)


def test_people_rank_the_factors_on_what_they_have_labelled(study: StudyPaths, tmp_path: Path) -> None:
    copy = StudyPaths(tmp_path, "mine")
    shutil.copytree(study.root, copy.root)
    read = pd.read_parquet(copy.observations, columns=["cell_key", "persona"]).iloc[::2]
    said = read.assign(refused=read["persona"] == "muslim")[["cell_key", "refused"]]
    pq.write_table(pa.Table.from_pandas(said), copy.labels / "human.parquet")
    report = compare_detectors(copy, find_fit(copy, "fit"))
    assert report is not None
    ranking = next(g for g in report.grids if "on the 300 responses that people have labelled" in g.caption)
    assert ranking.numbers == ["rules", "strict", PEOPLE]
    by_people = {names[0]: numbers[2] for names, numbers, _ in ranking.rows}
    # People's verdict follows from the persona: 1 less (K - 1) / (N - 1).
    assert by_people["persona"] == "1. 99.3 [99.3, 99.3]"
    numbers = [number for grid in report.grids for _, numbers, _ in grid.rows for number in numbers]
    assert not [number for number in numbers if re.search(r"-0\.0+(?!\d)", number)]
    assert any("labelled too" in s and "persona by people" in s for s in report.sentences)


def test_one_detector_is_nothing_to_compare(study: StudyPaths, tmp_path: Path) -> None:
    copy = StudyPaths(tmp_path, "mine")
    shutil.copytree(study.root, copy.root)
    (copy.labels / "strict.parquet").unlink()
    shutil.rmtree(copy.root / "fit" / "detector.refused=any,detector=rules", ignore_errors=True)
    for path in (copy.root / "fit").glob("*/"):
        shutil.rmtree(path)
    assert read_side_by_side(copy, ["persona"]) is None
    assert compare_detectors(copy, find_fit(copy, "fit")) is None
