"""Keeps what became of each job of a sweep, so that a failing job neither stops the others nor hides.

Hydra's launchers run the jobs; each writes one small file into the sweep's folder when it starts and when it
ends, on whatever machine that is. Whoever started the sweep reads the files when all is over.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from src.errors import InputError

DONE, FAILED, STOPPED, NO_END, NOT_STARTED = "done", "failed", "stopped", "no end", "not started"
"""What can become of a job; ``no end``: it started and wrote no end, killed or out of reach."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job."""

    job: int
    """Number of the job, from zero."""
    overrides: list[str]
    """What tells it apart."""
    status: str
    """One of the five above."""
    seconds: float | None = None
    """Wall time, once it has ended."""
    line: str = ""
    """What it did, or its error."""
    trace: str = ""
    """Where an error of ours arose."""


class RememberSweep(Callback):
    """Lets the process that starts a sweep know the sweep's folder; Hydra tells only the jobs."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Keep Hydra's configuration of the sweep."""
        HydraConfig.instance().set_config(config)


def run_recorded(task: Callable[[DictConfig], object], cfg: DictConfig) -> None:
    """Run one job of a sweep and write what became of it; its errors end here.

    Parameters
    ----------
    task : callable
        Does the work; a text that it returns says what it did.
    cfg : DictConfig
        The job's configuration.
    """
    hydra = HydraConfig.get()
    number, overrides = int(hydra.job.num), list(hydra.overrides.task)
    path = _folder() / f"{number:05d}.json"
    _write(path, Outcome(number, overrides, NO_END))
    began = time.monotonic()

    def end(status: str, line: str, trace: str = "") -> None:
        seconds = round(time.monotonic() - began, 1)
        _write(path, Outcome(number, overrides, status, seconds, " ".join(line.split()), trace))

    try:
        end(DONE, str(task(cfg) or ""))
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        end(FAILED, str(error))
    except Exception as error:
        traceback.print_exc()
        end(FAILED, f"{type(error).__name__}: {error}", traceback.format_exc())
    except BaseException as error:
        end(STOPPED, f"{type(error).__name__}")
        raise


def read_outcomes(jobs: Sequence[Sequence[str]] | None) -> list[Outcome]:
    """Read what became of the jobs of the sweep that this process started.

    Parameters
    ----------
    jobs : sequence of sequence of str, optional
        Every job's overrides; None where only the sweeper knew them.

    Returns
    -------
    list of Outcome
        One a job, in the order of their numbers.
    """
    found = {
        outcome.job: outcome
        for path in _folder().glob("[0-9]*.json")
        for outcome in [Outcome(**json.loads(path.read_text(encoding="utf-8")))]
    }
    for number, overrides in enumerate(jobs or []):
        found.setdefault(number, Outcome(number, list(overrides), NOT_STARTED))
    return [found[number] for number in sorted(found)]


def _folder() -> Path:
    return Path(HydraConfig.get().sweep.dir) / "jobs"


def _write(path: Path, outcome: Outcome) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")
    os.replace(aside, path)
