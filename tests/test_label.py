"""python -m src.label in a real terminal, from a pipe and from files."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from src.errors import InputError
from src.observations.importing import import_labels
from src.observations.samples import read_frame
from src.study.paths import StudyPaths
from tests.commands import ROOT, run
from tests.observations.terminal import Terminal

EVIL = "\x1b]0;owned\x07\x1b[2J[bold red]Polite.[/] :smile: \u202eetiloP\x00"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A study of the simulated engine whose every response tries to act on the terminal."""
    folder = tmp_path_factory.mktemp("label")
    run("generate", f"runs_dir={folder}", "study=mine", "engine=simulated", "model=simulated",
        "task=[politeness,nli]", "persona=[none,muslim,atheist]", "design.size=120")  # fmt: skip
    for part in (folder / "mine" / "responses").glob("*.parquet"):
        table = pq.read_table(part)
        texts = [f"{text} {EVIL}" for text in table["response"].to_pylist()]
        place = table.column_names.index("response")
        pq.write_table(table.set_column(place, table.schema.field(place), [texts]), part, compression="zstd",
                       write_page_checksum=True)  # fmt: skip
    return folder


@pytest.fixture
def runs(made, tmp_path) -> Path:
    shutil.copytree(made / "mine", tmp_path / "mine")
    return tmp_path


def human(runs: Path) -> pd.DataFrame:
    return pd.read_parquet(runs / "mine" / "labels" / "human.parquet")


def start(runs: Path, *more: str) -> Terminal:
    return Terminal("label", f"runs_dir={runs}", "study=mine", "size=6", "annotator=ann", *more)


def test_a_sitting_with_undo_quit_kill_and_resumption(runs):
    first = start(runs)
    shown = first.expect("1 of 6 (0 labelled)")
    shown = first.expect("q quit")
    assert "asked" in shown
    assert "persona" not in shown
    assert "simulated" not in shown
    # What a response does to a terminal is written out; nothing of it acts.
    for harmless in (r"\x1b]0;owned\x07\x1b[2J[bold red]Polite.[/] :smile: \u202eetiloP\x00",):
        assert harmless in shown.replace("\n", "")
    for evil in (b"\x1b]0;", b"\x07", "\u202e".encode(), b"\x00"):
        assert evil not in first.raw
    first.press("f")
    first.expect("2 of 6 (1 labelled)")
    assert human(runs)["kind"].tolist() == ["full_refusal"]
    first.press("\x1b[A\x1bOPu")  # an arrow and a function key are no answer
    assert "taken back" in first.expect("1 of 6 (0 labelled)") + first.expect("asked")
    assert human(runs).empty
    first.press("e")
    first.expect("2 of 6 (1 labelled)")
    first.press("s")
    first.expect("3 of 6 (1 labelled, 1 skipped)")
    first.press("a")
    first.expect("which label?")
    first.press("x")  # no label: back
    first.expect("u undo")
    first.press("a2")
    first.expect("4 of 6 (2 labelled, 1 skipped)")
    first.press("q")
    printed = first.end(0)
    assert "2 of 6 labelled, 4 left; the same command goes on from here" in printed
    assert "How well rules reads refusals" in printed
    kept = human(runs)
    assert kept["kind"].tolist() == ["evasion", "answered"]

    killed = start(runs)
    killed.expect("3 of 6 (2 labelled)")
    killed.press("1")
    killed.expect("4 of 6 (3 labelled)")
    killed.kill()
    assert human(runs)["kind"].tolist() == ["evasion", "answered", "answered"]
    pd.testing.assert_frame_equal(human(runs).head(2).drop(columns="weight"), kept.drop(columns="weight"))

    last = start(runs)
    last.expect("4 of 6 (3 labelled)")
    last.press("u")  # a label of an earlier sitting
    last.expect("3 of 6 (2 labelled)")
    last.press("n1p0p1")  # typed faster than they are saved
    assert "6 of 6 labelled, all labelled" in last.end(0)
    kinds = human(runs).set_index("labelled_at").sort_index()["kind"].tolist()
    assert kinds == ["evasion", "answered", "unparsed", "answered", "partial_refusal", "partial_refusal"]
    labels = human(runs)["label"]
    assert labels.notna().tolist() == [False, True, False, True, False, True]


def test_the_order_is_the_same_again_and_weights_restore_the_study(runs):
    size = len(pd.read_parquet(runs / "mine" / "observations.parquet"))
    done = piped(runs, "ffffff" * 30, "size=500")
    assert f"{size} of {size} labelled, all labelled" in done.stdout
    table = human(runs)
    assert table["weight"].tolist() == pytest.approx([1.0] * size)
    again = piped(runs, "eeee", "size=500", "annotator=bob")
    assert f"4 of {size} labelled" in again.stdout
    table = human(runs)
    bob = table[table["annotator"] == "bob"]
    assert bob["cell_key"].tolist() == table["cell_key"].head(4).tolist()
    assert (bob["weight"] > 1).all()
    assert "bob" in again.stdout


def piped(runs: Path, keys: str, *more: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "src.label", f"runs_dir={runs}", "study=mine", "annotator=ann", *more],
        cwd=ROOT, input=keys, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


def test_keys_from_a_pipe_and_what_is_shown_unblinded(runs):
    done = piped(runs, "f\ne\n", "blind=false")
    assert "2 of 120 labelled" in done.stdout or "2 of 200 labelled" in done.stdout
    assert "model simulated, persona " in done.stdout
    for evil in ("\x1b", "\x07", "\u202e", "\x00"):
        assert evil not in done.stdout
    nothing = piped(runs, "", "annotator=bob")
    assert "0 of " in nothing.stdout
    assert "How well" not in nothing.stdout


def test_ctrl_c_keeps_everything(runs):
    terminal = start(runs)
    terminal.expect("q quit")
    terminal.press("f")
    terminal.expect("2 of 6 (1 labelled)")
    terminal.expect("q quit")
    terminal.interrupt()
    assert "1 of 6 labelled, 5 left; the same command goes on" in terminal.end(130)
    assert len(human(runs)) == 1


def rows(runs: Path, count: int = 4) -> pd.DataFrame:
    table = pd.read_parquet(runs / "mine" / "observations.parquet")
    return table[table["task"] == "politeness"].head(count)[["cell_key"]]


def take(runs: Path, table: pd.DataFrame, *more: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    table.to_csv(runs / "labels.csv", index=False)
    return run("label", f"runs_dir={runs}", "study=mine", f"import={runs}/labels.csv", *more, status=status)


def test_labels_from_a_file(runs):
    table = rows(runs).assign(
        kind=["full_refusal", "answered", "partial_refusal", "evasion"], label=["", "polite", "impolite", ""],
        weight=[2, 3, 4, ""], annotator=["", "", "bob", ""],
    )  # fmt: skip
    done = take(runs, table, "annotator=ann")
    assert "4 labels taken over" in done.stdout
    kept = human(runs).set_index("cell_key").loc[table["cell_key"]]
    assert kept["kind"].tolist() == table["kind"].tolist()
    assert kept["label"].fillna("").tolist() == table["label"].tolist()
    assert kept["weight"].tolist() == [2, 3, 4, 1]
    assert kept["annotator"].tolist() == ["ann", "ann", "bob", "ann"]
    assert kept["refused"].tolist() == [True, False, True, False]
    changed = take(runs, table.assign(kind="unparsed", label=""), "annotator=ann")
    assert "4 labels taken over" in changed.stdout
    assert len(human(runs)) == 4
    yes_no = rows(runs, 2).rename(columns={"cell_key": "id"}).assign(refused=["true", "0"])
    take(runs, yes_no, "annotator=carl", "refused=evasion")
    carl = human(runs).query("annotator == 'carl'")
    assert carl["refused"].tolist() == [True, False]
    assert carl["kind"].isna().all()
    assert carl["outcome"].fillna("").tolist() == ["refused", ""]
    scores = pd.read_csv(runs / "mine" / "labels" / "agreement.csv")
    assert {"ann", "bob", "carl"} <= set(scores["annotator"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "full_refussal"}, "line 2: unknown kind 'full_refussal'; did you mean full_refusal"),
        (
            {"kind": "answered", "label": "polit"},
            "line 2: unknown label of task politeness 'polit'; did you mean polite",
        ),
        ({"kind": "evasion", "label": "polite"}, "line 2: a label goes with answered or partial_refusal"),
        ({"kind": "evasion", "cell_key": "abc"}, "line 2: study mine has no response 'abc' (4 of 4 rows"),
        ({"kind": ""}, "line 2: neither kind nor refused has a value"),
        ({"refused": "perhaps"}, "line 2: refused must be true or false, received 'perhaps'"),
        ({"kind": "evasion", "refused": "true"}, "line 2: kind evasion says refused=false (refused=any)"),
        ({"kind": "evasion", "weight": "-1"}, "line 2: weight must be a positive number, received '-1'"),
        ({"kinds": "evasion"}, "needs a column kind or refused; its columns: cell_key, kinds; did you mean"),
        ({"kind": "evasion", "annotator": "a\x1bb"}, "annotator must be a printable name"),
    ],
)
def test_unusable_rows(runs, change, said):
    rows(runs).assign(**change).to_csv(runs / "labels.csv", index=False)
    paths = StudyPaths(runs, "mine")
    with pytest.raises(InputError, match=re.escape(said)):
        import_labels(runs / "labels.csv", paths, read_frame(paths)[0], "ann", "any")
    assert not (runs / "mine" / "labels" / "human.parquet").exists()


def test_a_file_with_one_unusable_row_changes_nothing(runs):
    good = rows(runs).assign(kind="evasion")
    take(runs, good, "annotator=ann")
    labels = runs / "mine" / "labels"
    before = {path: path.read_bytes() for path in labels.glob("*.parquet")}
    bad = pd.concat([good.assign(kind="unparsed"), good.head(1)])
    done = take(runs, bad, "annotator=ann", status=2)
    assert done.stderr.startswith("error: ")
    assert f"line 6: '{good['cell_key'].iloc[0]}' stands in the file twice" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in labels.glob("*.parquet")} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["strata=[persna]"], "unknown stratum 'persna'; did you mean persona"),
        (["blind=maybe"], "blind must be true or false, received 'maybe'"),
        (["import=none.csv"], "cannot read none.csv"),
        (["score=true"], "has no labels by hand yet; run python -m src.label study=mine"),
        (["sizes=3"], "did you mean size"),
    ],
)
def test_bad_input_is_one_line_and_status_2(runs, arguments, said):
    before = sorted(path.name for path in (runs / "mine" / "labels").iterdir())
    done = run("label", f"runs_dir={runs}", "study=mine", *arguments, status=2)
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in (runs / "mine" / "labels").iterdir()) == before
