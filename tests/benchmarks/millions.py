"""Time and memory of many simulated responses: asked and stored, resumed, labelled, reduced to cells."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CELLS = """
from pathlib import Path
from src.inference.cells import read_cells
cells = read_cells(Path({table!r}), ["persona", "model", "task", "paraphrase"])
assert cells.trials.sum() == {responses}
"""


def measure(command: list[str]) -> tuple[float, float, int]:
    """Run a process; return seconds of wall time, of processor time, and its peak memory in bytes."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    # Children of its own, such as labelling processes, count only once it has waited for them.
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def main() -> None:
    """Measure every stage as a user runs it, each in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--responses", type=int, default=200_000)
    responses = parser.parse_args().responses
    with tempfile.TemporaryDirectory() as folder:
        module = [sys.executable, "-m"]
        study = [f"runs_dir={folder}", "study=millions"]
        asked = [
            *study, "engine=simulated", "model=simulated", f"design.size={responses}",
            "generation.temperature=1",
        ]  # fmt: skip
        table = str(Path(folder) / "millions" / "observations.parquet")
        stages = {
            "generate": [*module, "src.generate", *asked],
            "generate again": [*module, "src.generate", *asked],
            "detect": [*module, "src.detect", *study],
            "cells": [sys.executable, "-c", CELLS.format(table=table, responses=responses)],
        }
        first = 0.0
        for stage, command in stages.items():
            wall, processor, peak = measure(command)
            first = first or wall
            line = {
                "benchmark": "millions",
                "case": stage,
                "responses": responses,
                "seconds": round(wall, 1),
                "processor_seconds": round(processor, 1),
                "responses_per_second": round(responses / wall),
                "time_over_generate": round(wall / first, 3),
                "peak_megabytes": round(peak / 1e6),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
