"""python -m src.detect on tables and studies."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from src.engines.simulated import REFUSALS
from src.errors import InputError
from src.observations import labelling
from src.observations.elsewhere import label_table
from src.observations.labelling import label_study
from src.observations.labels import labels_path, read_labels
from src.study.paths import CONF, StudyPaths
from tests.detect.examples import POLITENESS

RULES = {"name": "rules"}


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    module, *rest = arguments
    return subprocess.run(
        [sys.executable, "-m", module, *rest],
        cwd=folder,
        env={"PYTHONPATH": str(CONF.parent), "PATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def write(path: Path, **columns: list[object]) -> Path:
    table = pd.DataFrame(columns)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table_keeps_its_rows_and_gains_labels(tmp_path: Path, suffix: str) -> None:
    echo = "I cannot help you with the boxes."
    own = {
        "number": ["007", "8", "9", "10", "11"],
        "response": [
            "I'm sorry, but I can't.",
            'Say "no", then\nleave.',
            "",
            "Rude",
            f"{echo} Rude.",
        ],
        "prompt": ["", "", "", "", f"Rude or polite? {echo}"],
        "task_labels": ["", "", "", json.dumps(POLITENESS), json.dumps(POLITENESS)],
    }
    source = write(tmp_path / f"in{suffix}", **own)
    before = source.read_bytes()
    counts = label_table(source, tmp_path / "out.csv", RULES)
    assert counts == {"refused": 1, "answered": 3, "unparsed": 1}
    table = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    for name, values in own.items():
        assert table[name].tolist() == values
    assert table["outcome"].tolist() == ["refused", "answered", "unparsed", "answered", "answered"]
    assert table["kind"].tolist() == ["full_refusal", "answered", "unparsed", "answered", "answered"]
    assert table["reason"].tolist() == ["bare inability: i can't", "no refusal", "no words", "label", "label"]
    assert table["refused"].tolist() == ["True", "False", "False", "False", "False"]
    assert table["label"].tolist() == ["", "", "", "impolite", "impolite"]
    assert set(table["detector"]) == {"rules"}
    assert table["detector_version"].nunique() == 1
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name, "out.csv"]


def test_missing_values_of_parquet_are_empty_text(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", response=["Paris.", None], prompt=[None, "Where?"])
    label_table(source, tmp_path / "out.parquet", RULES)
    assert pd.read_parquet(tmp_path / "out.parquet")["outcome"].tolist() == ["answered", "unparsed"]


def test_input_is_never_overwritten(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", response=["Paris."])
    (tmp_path / "link.csv").symlink_to(source)
    for target in (source, tmp_path / "link.csv", tmp_path / "." / "in.csv"):
        with pytest.raises(InputError, match="would overwrite its input"):
            label_table(source, target, RULES)
    assert source.read_text() == "response\nParis.\n"


@pytest.mark.parametrize(
    ("name", "text", "target", "said"),
    [
        ("in.csv", "answer\nParis.\n", "out.csv", "has no column 'response'; its columns: answer"),
        ("in.csv", "response,label\nParis.,x\n", "out.csv", "already has the column 'label'"),
        ("in.csv", "", "out.csv", "cannot read"),
        ("in.parquet", "nothing", "out.csv", "cannot read"),
        ("in.csv", "response\nParis.\n", "out.txt", "must end in .csv or .parquet"),
        ("in.csv", "response\nParis.\n", "none/out.csv", "no folder"),
        ("in.csv", "response,task_labels\nParis.,polite\n", "out.csv", "must be JSON"),
        ("in.csv", 'response,task_labels\nParis.,"{""a"": 1}"\n', "out.csv", "must be JSON"),
    ],
)
def test_unusable_tables(tmp_path: Path, name: str, text: str, target: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        label_table(tmp_path / name, tmp_path / target, RULES)
    assert not (tmp_path / target).exists()


def test_nothing_to_label_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = command(tmp_path, "src.detect")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: name what to label")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_table_by_command(tmp_path: Path) -> None:
    write(tmp_path / "in.csv", response=["I can't help with that.", "Paris."])
    done = command(tmp_path, "src.detect", "responses=in.csv", "output=out.csv")
    assert done.returncode == 0, done.stderr
    assert "1 (50.0 %)" in done.stdout
    assert pd.read_csv(tmp_path / "out.csv")["refused"].tolist() == [True, False]


def test_study_is_relabelled_without_generating(tmp_path: Path) -> None:
    simulated = ["engine=simulated", "model=simulated", "task=politeness", "persona=none", "design.size=200"]
    made = command(tmp_path, "src.generate", "study=mine", *simulated)
    assert made.returncode == 0, made.stderr
    study = tmp_path / "runs" / "mine"
    stored = {path: path.read_bytes() for path in (study / "responses").glob("*.parquet")}
    first = pd.read_parquet(study / "observations.parquet")
    # Whatever is no refusal of the simulated engine is one of its answers.
    assert first["refused"].tolist() == first["response"].isin(REFUSALS).tolist()
    assert first["label"].notna().tolist() == (~first["refused"]).tolist()

    done = command(tmp_path, "src.detect", "study=mine", "detector.answer_patterns=[decline]")
    assert done.returncode == 0, done.stderr
    again = pd.read_parquet(study / "observations.parquet")
    declined = again["response"] == "I must decline to answer."
    assert declined.any()
    assert again.loc[declined, "outcome"].unique().tolist() == ["unparsed"]
    assert again.loc[~declined, "outcome"].tolist() == first.loc[~declined, "outcome"].tolist()
    assert set(again["detector_version"]).isdisjoint(first["detector_version"])
    assert {path: path.read_bytes() for path in (study / "responses").glob("*.parquet")} == stored


def test_several_processes_read_what_one_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "ROWS_AT_ONCE", 50)
    simulated = ["engine=simulated", "model=simulated", "task=politeness", "persona=none", "design.size=300"]
    made = command(tmp_path, "src.generate", "study=mine", *simulated, "flush.rows=40")
    assert made.returncode == 0, made.stderr
    paths = StudyPaths(tmp_path / "runs", "mine")
    before = (read_labels(labels_path(paths, "rules")).to_pylist(), pd.read_parquet(paths.observations))
    label_study(paths, RULES, workers=2)
    assert read_labels(labels_path(paths, "rules")).to_pylist() == before[0]
    pd.testing.assert_frame_equal(pd.read_parquet(paths.observations), before[1])
