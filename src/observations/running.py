"""Runs one model's plan: asks for what is missing, shows progress, and keeps every response that came."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from src.detect.base import Detector, Texts
from src.detect.decided import Decided
from src.detect.outcomes import outcomes, refused_setting
from src.detect.registry import create_detector
from src.detect.rules import RuleDetector
from src.engines.base import Engine, GenerationSettings, Job, Response
from src.engines.registry import create_engine
from src.errors import InputError
from src.observations.planning import PlannedJob, plan_jobs
from src.observations.responses import ResponseStore, ResponseWriter
from src.provenance import GENERATE, versions
from src.study.designs import Cells
from src.study.factors import Factors
from src.study.paths import StudyPaths

_CountRefusals = Callable[[list[tuple[PlannedJob, Response]]], int]


@dataclass(frozen=True, slots=True)
class Flush:
    """When waiting responses are written."""

    rows: int
    """This many wait."""
    seconds: float
    """So long ago something was written."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("rows", "seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise InputError(f"flush.{name} must be a number above zero, received {value!r}")


@dataclass(frozen=True, slots=True)
class Done:
    """What one run of a plan did."""

    asked: int
    """Responses produced."""
    found: int
    """Cells that were there already."""
    errors: int
    """Cells that ended without an answer; the next run asks them again."""
    seconds: float
    """Wall time of asking, loading and writing included."""
    loading: float
    """Wall time until the model was there."""
    writing: float
    """Wall time of writing responses."""
    causes: Mapping[str, int] = field(default_factory=dict)
    """Number of errors by cause."""
    labelling: float = 0.0
    """Wall time of labelling the study afterwards."""


def check_model_name(paths: StudyPaths, model_cfg: Mapping[str, Any]) -> None:
    """Make sure that a level of the factor model never names two models.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    model_cfg : mapping
        One file of ``conf/model``.

    Raises
    ------
    InputError
        If the study holds another model's responses under this name.
    """
    name, wanted = str(model_cfg["name"]), model_cfg.get("id")
    parts = ResponseStore(paths.responses).parts_by_model().get(name, [])
    if not parts or wanted is None:
        return
    for rows in ResponseStore(paths.responses).scan(["model_id", "engine"], parts=parts[:1]):
        for known in set(rows["model_id"].to_pylist()):
            if rows["engine"][0].as_py() != "simulated" and known != wanted:
                raise InputError(
                    f"study {paths.study} holds responses of {known} under the name {name!r}; "
                    f"give {wanted} another one: model.name=..."
                )


def ask(
    paths: StudyPaths,
    cfg: Mapping[str, Any],
    factors: Factors,
    cells: Cells,
    settings: GenerationSettings,
    flush: Flush,
) -> Done:
    """Produce every response of the plan that the store does not hold yet.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    cfg : mapping
        Resolved configuration with ``model``, ``engine`` and ``detector``.
    factors : Factors
        Levels behind the cells.
    cells : Cells
        The plan.
    settings : GenerationSettings
        How responses are drawn.
    flush : Flush
        When waiting responses are written.

    Returns
    -------
    Done
        What was done.

    Raises
    ------
    InputError
        If another process generates the same model in the same study, the engine gives up, or all that was
        planned ended without an answer.
    """
    from rich.console import Console

    began = time.monotonic()
    model = str(cfg["model"]["name"])
    engine = create_engine(cfg["model"], cfg["engine"])
    refusals = _refusals(create_detector(cfg["detector"]), refused_setting(cfg["detector"]))
    store = ResponseStore(paths.responses)
    console = Console(highlight=False)
    asked = found = 0
    causes: Counter[str] = Counter()
    loading = writing = 0.0
    try:
        with ResponseWriter(
            paths.responses, model, engine.identity(), settings, versions(GENERATE),
            rows=int(flush.rows), seconds=flush.seconds,
        ) as writer:  # fmt: skip
            for part in store.set_aside_damaged():
                console.print(
                    f"damaged, set aside as {part}: its responses are asked for again", markup=False
                )
            check_model_name(paths, cfg["model"])
            _write_truth(engine, paths, factors)
            stored = store.stored(model).contains
            with _interruptible(console, paths), _Progress(console, len(cells), refusals) as progress:
                for jobs, skipped in plan_jobs(cells, factors, model, engine, settings, stored):
                    found += skipped
                    progress.skip(skipped)
                    planned = {job.job.key: job for job in jobs}
                    loading += _seconds(engine.load) if jobs else 0
                    for response in engine.generate(_to_ask(jobs, settings), settings):
                        writing += _seconds(partial(writer.add, planned[response.key], response))
                        asked += 1
                        if response.finish_reason == "error":
                            causes[response.cause] += 1
                        progress.add(planned[response.key], response)
    finally:
        # The traceback of an error would keep the weights, and the next job of a sweep needs their memory.
        engine.close()
    errors = causes.total()
    if errors == asked > 0 == found:
        raise InputError(
            f"none of {asked:,} responses of {model} could be had ({name_causes(causes)}); "
            "once that is put right, the same command asks again"
        )
    return Done(asked, found, errors, time.monotonic() - began, loading, writing, causes)


def name_causes(causes: Mapping[str, int]) -> str:
    """Name the causes of errors, the most frequent first.

    Parameters
    ----------
    causes : mapping
        Number of errors by cause.

    Returns
    -------
    str
        Such as ``12 times a prompt that fills the model's context: ...``; without numbers if there is one.
    """
    if len(causes) == 1:
        return next(iter(causes))
    return "; ".join(f"{count:,} times {cause}" for cause, count in Counter(causes).most_common())


def _to_ask(planned: list[PlannedJob], settings: GenerationSettings) -> list[Job]:
    """Take the jobs of a plan, with what ends their responses early where that is asked for."""
    if not settings.stop_when_decided:
        return [one.job for one in planned]
    rules = RuleDetector()
    words = {labels: json.loads(labels) for labels in {one.task_labels for one in planned}}
    return [
        replace(one.job, decided=Decided(one.job.rendered.text, words[one.task_labels], rules))
        for one in planned
    ]


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


class _Progress:
    """A bar with rate, time left, and refusals so far as the detector reads them."""

    def __init__(self, console: Any, total: int, refusals: _CountRefusals) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=False),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[refused]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._console = console
        self._refusals = refusals
        self._task = self._bar.add_task("asking", total=total, rate="loading", refused="")
        self._waiting: list[tuple[PlannedJob, Response]] = []
        self._refused = self._read = 0
        self._began = self._looked = self._told = time.monotonic()

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.update(self._task, completed=self._read + len(self._waiting))
        self._bar.stop()

    def skip(self, cells: int) -> None:
        """Take cells out that need no response."""
        task = self._bar.tasks[0]
        self._bar.update(self._task, total=(task.total or 0) - cells)

    def add(self, planned: PlannedJob, response: Response) -> None:
        """Count a response; read those that came since the last time, about twice a second."""
        if self._read == 0 and not self._waiting:
            self._began = self._looked = self._told = time.monotonic()
        self._waiting.append((planned, response))
        now = time.monotonic()
        if now - self._looked < 0.5:
            return
        self._looked = now
        self._refused += self._refusals(self._waiting)
        self._read += len(self._waiting)
        self._waiting = []
        rate = f"{self._read / max(now - self._began, 1e-9):,.1f}/s"
        refused = f"{self._refused:,} refused ({self._refused / self._read:.1%})"
        self._bar.update(self._task, completed=self._read, rate=rate, refused=refused)
        if not self._console.is_terminal and now - self._told >= 30:
            self._told = now
            task = self._bar.tasks[0]
            self._console.print(f"{task.completed:,.0f} of {task.total:,.0f}, {rate}, {refused}")


def _refusals(detector: Detector, refused: str) -> _CountRefusals:
    """Make what counts the refusals among answers."""

    def count(answers: list[tuple[PlannedJob, Response]]) -> int:
        words = {labels: json.loads(labels) for labels in {planned.task_labels for planned, _ in answers}}
        read = detector.label(
            Texts(
                [response.text for _, response in answers],
                [planned.job.rendered.text for planned, _ in answers],
                [words[planned.task_labels] for planned, _ in answers],
                [response.finish_reason for _, response in answers],
            )
        )
        return outcomes(read, refused).count("refused")

    return count


@contextmanager
def _interruptible(console: Any, paths: StudyPaths) -> Iterator[None]:
    """Treat a request to terminate like Ctrl-C, and say how to go on after either."""

    def stop(signal_number: int, frame: object) -> None:
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt:
        console.print(
            f"stopped: every response that came is kept in {paths.responses}/; "
            "the same command goes on from here"
        )
        raise SystemExit(130) from None
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _write_truth(engine: Engine, paths: StudyPaths, factors: Factors) -> None:
    """Keep the known effects of an engine that has some."""
    write = getattr(engine, "write_truth", None)
    if write is not None:
        write(
            paths.truth,
            {
                "persona": [persona.name for persona in factors.personas],
                "persona_template": [template.name for template in factors.templates],
                "task": [task.name for task in factors.tasks],
                "paraphrase": sorted({wording for task in factors.tasks for wording in task.wordings}),
                "item": [item.name for task in factors.tasks for item in task.items],
            },
        )
