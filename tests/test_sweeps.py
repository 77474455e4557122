"""Sweeps by every launcher: a failing job neither stops others nor hides; a rerun does what is missing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from tests.commands import ROOT, run
from tests.tiny_models import make_tiny_model, set_field

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
SUBMITIT = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10")


def sweep(folder: Path, *more: str, models: str = "a,b,c", size: int = 200) -> list[str]:
    return [
        "-m", f"runs_dir={folder}", "study=swept", "engine=simulated", "model=simulated",
        f"model.name={models}", f"design.size={size}", *more,
    ]  # fmt: skip


def records(folder: Path) -> list[dict]:
    """What the newest sweep wrote of its jobs."""
    newest = max((folder / "swept" / "sweeps").iterdir())
    return [json.loads(path.read_text()) for path in sorted((newest / "jobs").glob("*.json"))]


def responses(folder: Path) -> dict[str, int]:
    table = pd.read_parquet(folder / "swept" / "observations.parquet", columns=["model", "cell_key"])
    assert table["cell_key"].is_unique
    return table.groupby("model").size().to_dict()


def one_job_fails_and_a_rerun_asks_for_it_alone(folder: Path, *launcher: str) -> None:
    """Another process's lock on b makes that job fail, as a real conflict does."""
    (folder / "swept" / "responses").mkdir(parents=True)
    with FileLock(folder / "swept" / "responses" / ".b.lock"):
        failed = run("generate", *sweep(folder, *launcher), status=1)
    assert "2 of 3 jobs done" in failed.stdout
    assert "the same command again does only what is missing" in failed.stdout
    assert [job["status"] for job in records(folder)] == ["done", "failed", "done"]
    assert "another process is generating b" in records(folder)[1]["line"]
    assert responses(folder) == {"a": 200, "c": 200}
    again = run("generate", *sweep(folder, *launcher))
    assert "3 of 3 jobs done" in again.stdout
    assert [job["line"].split(" in ")[0] for job in records(folder)] == [
        "0 responses", "200 responses", "0 responses",
    ]  # fmt: skip
    assert responses(folder) == {"a": 200, "b": 200, "c": 200}


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param((), id="basic"),
        pytest.param(JOBLIB, id="joblib", marks=SLOW),
        pytest.param(SUBMITIT, id="submitit", marks=SLOW),
    ],
)
def test_one_failing_job(tmp_path, launcher):
    one_job_fails_and_a_rerun_asks_for_it_alone(tmp_path, *launcher)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_failing_job_on_a_ray_cluster_of_two_nodes(tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        one_job_fails_and_a_rerun_asks_for_it_alone(
            tmp_path,
            "hydra/launcher=ray",
            f"hydra.launcher.ray.init.address={cluster.address}",
            # The plugin sets a size that a running cluster refuses.
            "+hydra.launcher.ray.init.object_store_memory=null",
        )
    finally:
        cluster.shutdown()


def test_a_defect_of_ours_is_recorded_with_its_traceback_and_stops_no_other_job(tmp_path):
    """A folder where the model's next part is written makes the write fail as no check foresees."""
    (tmp_path / "swept" / "responses" / ".a.new").mkdir(parents=True)
    failed = run("generate", *sweep(tmp_path, models="a,b"), status=1)
    first, second = records(tmp_path)
    assert (first["status"], second["status"]) == ("failed", "done")
    assert "Traceback" in first["trace"]
    assert "Traceback" in failed.stderr
    assert "1 of 2 jobs done" in failed.stdout


@pytest.mark.slow
def test_a_killed_worker_is_named(tmp_path):
    """The launcher gives up when a worker dies; the table says which job has no end."""
    command = [sys.executable, "-m", "src.generate", *sweep(tmp_path, *JOBLIB, models="a,b", size=2_000_000)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "swept" / "responses"
    while process.poll() is None and not list(parts.glob("*.parquet")):
        time.sleep(0.05)
    os.kill(_writer_of(parts), signal.SIGKILL)
    printed, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "error: the launcher stopped" in errors
    assert "0 of 2 jobs done" in printed
    assert "no end" in {job["status"] for job in records(tmp_path)}
    assert run("generate", *sweep(tmp_path, *JOBLIB, models="a,b", size=1000)).returncode == 0


def _writer_of(folder: Path) -> int:
    """Find a process that holds a model's lock open."""
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            held = os.readlink(place)
        except OSError:
            continue
        if held.startswith(f"{folder}/.") and held.endswith(".lock"):
            return int(place.parts[2])
    raise AssertionError(f"no process writes {folder}")


@pytest.mark.slow
def test_a_damaged_model_folder_among_whole_ones(tmp_path):
    """Real models: weights that do not fit their configuration, which only loading them shows."""
    damaged, whole = (make_tiny_model(tmp_path / name, context=2048) for name in ("damaged", "whole"))
    set_field(damaged / "config.json", "intermediate_size", 96)
    arguments = [
        "-m", f"runs_dir={tmp_path}/runs", "study=swept", "model=local", "engine.device=cpu",
        f"model.path={damaged},{whole}", "model.name=${.path}", "design.size=6",
        "generation.max_new_tokens=4",
    ]  # fmt: skip
    failed = run("generate", *arguments, status=1)
    assert "1 of 2 jobs done" in failed.stdout
    assert [job["status"] for job in records(tmp_path / "runs")] == ["failed", "done"]
    assert responses(tmp_path / "runs") == {str(whole): 6}
    set_field(damaged / "config.json", "intermediate_size", 128)
    assert "2 of 2 jobs done" in run("generate", *arguments).stdout
    assert responses(tmp_path / "runs") == {str(damaged): 6, str(whole): 6}


def peak(command: list[str]) -> int:
    """Run a command of ours and return the most memory that its process held, in bytes."""
    with subprocess.Popen(
        [sys.executable, "-m", "src.generate", *command], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_models_of_a_sweep_do_not_add_up_in_memory(tmp_path):
    """Three different models one after another in one process against the largest of them alone."""
    sizes = {"small": 4096, "large": 8192, "middle": 6144}
    folders = {
        name: make_tiny_model(
            tmp_path / name, context=2048, seed=seed, hidden_size=2048, head_dim=64, intermediate_size=size
        )
        for seed, (name, size) in enumerate(sizes.items())
    }
    weights = {name: (folder / "model.safetensors").stat().st_size for name, folder in folders.items()}
    assert min(weights.values()) > 200e6

    def arguments(study: str, names: list[str]) -> list[str]:
        return [
            "-m", f"runs_dir={tmp_path}/runs", f"study={study}", "model=local", "engine.device=cpu",
            "engine.dtype=float32", f"model.path={','.join(str(folders[name]) for name in names)}",
            "model.name=${.path}", "design.size=6", "generation.max_new_tokens=2",
        ]  # fmt: skip

    alone = peak(arguments("alone", ["large"]))
    together = peak(arguments("swept", list(folders)))
    assert together < 1.3 * alone
    assert together < alone + min(weights.values()) / 2
    assert responses(tmp_path / "runs") == {str(folder): 6 for folder in folders.values()}
    assert all("labelling" in job["line"] for job in records(tmp_path / "runs"))
