"""A model asked again under other settings: what counts is said, and is the reader's choice."""

import json

import pyarrow.parquet as pq
import pytest

from src.errors import InputError
from src.inference.cells import read_cells
from tests.commands import run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Simulated model a: 300 responses, then 200 hotter; model b: 100, hotter."""
    folder = tmp_path_factory.mktemp("runs")
    for model, size, temperature in (("a", 300, 0.2), ("a", 200, 1.0), ("b", 100, 1.0)):
        run(
            "generate", f"runs_dir={folder}", "study=asked", "engine=simulated", "model=simulated",
            f"model.name={model}", f"design.size={size}", f"generation.temperature={temperature}",
        )  # fmt: skip
    return folder / "asked" / "observations.parquet"


def trials(cells):
    model = cells.codes[:, cells.factors.index("model")]
    return {name: cells.trials[model == code].sum() for code, name in enumerate(cells.levels["model"])}


def test_the_newest_settings_count_and_the_note_says_so(table):
    cells = read_cells(table, ["model", "persona"])
    assert trials(cells) == {"a": 200, "b": 100}
    (note,) = cells.notes
    assert note.startswith("a was asked again under other settings: 300 responses of generation ")
    assert "(temperature 0.2, now 1.0) left out; generation=all counts them too" in note


def test_all_or_one_generation_can_be_chosen(table):
    everything = read_cells(table, ["model"], generation="all")
    assert trials(everything) == {"a": 500, "b": 100}
    assert everything.notes[0].startswith("a was asked in 2 ways, all 500 responses are counted as alike")
    configurations = json.loads(pq.read_schema(table).metadata[b"whyrefuse"])["configurations"]
    old = next(one["generation_hash"] for one in configurations if not one["newest"])
    chosen = read_cells(table, ["model"], generation=old)
    assert trials(chosen) == {"a": 300}
    assert chosen.notes == [f"a: 300 of 500 responses are of generation {old}, the others left out"]
    # The hash as a factor tells both apart.
    told = read_cells(table, ["model", "generation_hash"], generation="all")
    assert sorted(told.trials) == [100, 200, 300]
    with pytest.raises(InputError, match="unknown generation 'newst'; did you mean newest"):
        read_cells(table, ["model"], generation="newst")


def test_models_asked_differently_are_named(tmp_path):
    for model, temperature in (("a", 0.2), ("b", 1.0)):
        run(
            "generate", f"runs_dir={tmp_path}", "study=asked", "engine=simulated", "model=simulated",
            f"model.name={model}", "design.size=50", f"generation.temperature={temperature}",
        )  # fmt: skip
    cells = read_cells(tmp_path / "asked" / "observations.parquet", ["model"])
    (note,) = cells.notes
    assert note.startswith("models were asked with different temperature (0.2 for a; 1.0 for b): part of")
    fitted = run("fit", f"runs_dir={tmp_path}", "study=asked", "fit.method=fast")
    assert "models were asked with different temperature" in " ".join(fitted.stdout.split())


def test_a_table_from_elsewhere_is_counted_whole(tmp_path):
    (tmp_path / "t.csv").write_text("model,refused\na,1\na,0\n")
    assert read_cells(tmp_path / "t.csv", ["model"]).trials.sum() == 2
    with pytest.raises(InputError, match="no column generation_hash to choose 'abc' by"):
        read_cells(tmp_path / "t.csv", ["model"], generation="abc")
