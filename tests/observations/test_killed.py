"""Real processes killed for real: every planned response is there exactly once, and none has changed."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from tests.commands import ROOT, run

SIZE = 20_000


def arguments(folder: Path) -> list[str]:
    return [
        f"runs_dir={folder}", "study=killed", "engine=simulated", f"design.size={SIZE}", "flush.rows=500",
    ]  # fmt: skip


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "src.generate", *arguments(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def stored(folder: Path) -> dict[str, str]:
    """Text by key, of every part; a key that stands twice is an error unless a later reader drops it."""
    parts = sorted((folder / "killed" / "responses").glob("*.parquet"))
    rows: dict[str, str] = {}
    for part in parts:
        table = pq.read_table(part, columns=["cell_key", "response"])
        for key, text in zip(table["cell_key"].to_pylist(), table["response"].to_pylist(), strict=True):
            assert rows.setdefault(key, text) == text
    return rows


def kill_and_resume(folder: Path, kills: int, seed: int) -> None:
    chance, before = random.Random(seed), {}
    for _ in range(kills):
        process = start(folder)
        responses = folder / "killed" / "responses"
        seen = len(list(responses.glob("*.parquet"))) if responses.is_dir() else 0
        # Wait until it writes, then a random moment more, so that kills hit the middle of the work.
        while process.poll() is None and len(list(responses.glob("*.parquet"))) <= seen:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = stored(folder)
        assert before.items() <= now.items()
        before = now
    done = run("generate", *arguments(folder))
    after = stored(folder)
    assert before.items() <= after.items()
    assert f"{SIZE - len(before):,} responses in" in done.stdout
    table = pq.read_table(folder / "killed" / "observations.parquet", columns=["cell_key"])["cell_key"]
    assert len(table) == SIZE
    assert set(table.to_pylist()) == set(after)
    assert len(after) == SIZE


def test_two_kills(tmp_path):
    kill_and_resume(tmp_path, kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_twenty_kills(tmp_path):
    kill_and_resume(tmp_path, kills=20, seed=2)


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
