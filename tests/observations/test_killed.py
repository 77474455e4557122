"""Real processes killed for real: every planned response is there exactly once, and none has changed."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from tests.commands import ROOT, run

SIZE = 20_000
SIMULATED = ("engine=simulated", f"design.size={SIZE}", "flush.rows=500")
REAL = ("design.size=96", "flush.rows=8", "generation.max_new_tokens=6", "engine.batch_size=8")


def arguments(folder: Path, engine: Sequence[str] = SIMULATED) -> list[str]:
    return [f"runs_dir={folder}", "study=killed", *engine]


def start(folder: Path, engine: Sequence[str] = SIMULATED) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "src.generate", *arguments(folder, engine)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def parts(folder: Path) -> dict[str, bytes]:
    """Every finished part, byte for byte."""
    return {path.name: path.read_bytes() for path in (folder / "killed" / "responses").glob("[!.]*.parquet")}


def stored(folder: Path) -> dict[str, tuple]:
    """Raw row by key, of every part; no key stands twice."""
    rows: dict[str, tuple] = {}
    for part in sorted((folder / "killed" / "responses").glob("[!.]*.parquet")):
        for row in pq.read_table(part).to_pylist():
            assert rows.setdefault(row["cell_key"], (*row.values(),)) == (*row.values(),)
    return rows


def kill_and_resume(folder: Path, kills: int, seed: int, engine: Sequence[str] = SIMULATED) -> None:
    """Kill at random moments after the first new part, at the latest when the run ends of itself."""
    chance, before, died = random.Random(seed), parts(folder), 0
    responses = folder / "killed" / "responses"
    for _ in range(kills):
        process = start(folder, engine)
        seen = len(before)
        while process.poll() is None and len(list(responses.glob("[!.]*.parquet"))) <= seen:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        died += process.wait() == -signal.SIGKILL
        now = parts(folder)
        assert before.items() <= now.items()
        before = now
    assert died == kills
    rows = stored(folder)
    done = run("generate", *arguments(folder, engine))
    assert before.items() <= parts(folder).items()
    after = stored(folder)
    assert rows.items() <= after.items()
    assert f"{len(after) - len(rows):,} responses in" in done.stdout
    assert f"{len(after):,} responses planned" in done.stdout
    table = pq.read_table(folder / "killed" / "observations.parquet", columns=["cell_key"])["cell_key"]
    assert sorted(table.to_pylist()) == sorted(after)


def test_two_kills(tmp_path):
    kill_and_resume(tmp_path, kills=2, seed=1)
    assert len(stored(tmp_path)) == SIZE


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_twenty_kills(tmp_path):
    engine = ("engine=simulated", "design.size=200000", "flush.rows=500")
    kill_and_resume(tmp_path, kills=20, seed=2, engine=engine)
    assert len(stored(tmp_path)) == 200_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_kills_of_the_real_model(tmp_path):
    kill_and_resume(tmp_path, kills=3, seed=3, engine=REAL)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_came_and_says_how_to_go_on(tmp_path, sign):
    process = start(tmp_path)
    responses = tmp_path / "killed" / "responses"
    while process.poll() is None and not list(responses.glob("*.parquet")):
        time.sleep(0.01)
    process.send_signal(sign)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 130, printed
    assert "the same command goes on from here" in printed
    assert "Traceback" not in printed
    kept = len(stored(tmp_path))
    assert 0 < kept < SIZE
    assert f"{SIZE - kept:,} responses in" in run("generate", *arguments(tmp_path)).stdout


def test_two_processes_of_one_model_do_not_mix(tmp_path):
    """The lock is the one that a generating process holds; held here, so that no timing is involved."""
    folder = tmp_path / "killed" / "responses"
    folder.mkdir(parents=True)
    with FileLock(folder / ".smollm2-135m.lock"):
        second = run("generate", *arguments(tmp_path), status=2)
        assert second.stderr.startswith("error: another process is generating smollm2-135m in study killed")
        other = run("generate", *arguments(tmp_path), "model.name=other", "design.size=100")
        assert "100 responses in" in other.stdout
    assert "20,000 responses in" in run("generate", *arguments(tmp_path)).stdout


def test_two_models_at_once_keep_all(tmp_path):
    """Two processes write one study side by side; whoever labels last joins the responses of both."""
    engines = [
        ("engine=simulated", "model=simulated", f"model.name={name}", "design.size=3000") for name in "ab"
    ]
    processes = [start(tmp_path, engine) for engine in engines]
    for process in processes:
        printed = process.communicate(timeout=120)[0]
        assert process.returncode == 0, printed
    table = pq.read_table(tmp_path / "killed" / "observations.parquet", columns=["cell_key", "model"])
    assert sorted(table["cell_key"].to_pylist()) == sorted(stored(tmp_path))
    assert table["model"].to_pylist() == ["a"] * 3000 + ["b"] * 3000
