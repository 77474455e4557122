"""Turns a plan of cells into jobs for an engine, leaving out what the store already holds."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from src.engines.base import Engine, GenerationSettings, Identity, Job, Rendered
from src.engines.keys import cell_key, generation_hash, prompt_key, response_seed
from src.study.designs import Cells
from src.study.factors import Factors
from src.study.prompts import Prompt, build_prompt

CHUNK = 16_384
"""Cells turned into jobs at a time: wide enough for an engine to order by length and prefix."""


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job with what the store keeps of its cell."""

    job: Job
    """For the engine."""
    levels: dict[str, str]
    """Factor columns: model, persona, persona_template, task, paraphrase, item."""
    gold: str
    """The item's right label."""
    task_labels: str
    """The task's labels with the words that stand for them, as JSON."""
    replicate: int
    """Number of the repetition."""


def plan_jobs(
    cells: Cells,
    factors: Factors,
    model: str,
    engine: Engine,
    settings: GenerationSettings,
    stored: Callable[[Sequence[str]], np.ndarray],
) -> Iterator[tuple[list[PlannedJob], int]]:
    """Render the cells' prompts and yield the jobs that are missing, chunk by chunk.

    Parameters
    ----------
    cells : Cells
        The plan of one model.
    factors : Factors
        The levels behind the codes.
    model : str
        Name of the model, as it stands in the data.
    engine : Engine
        Renders prompts; its weights stay unloaded.
    settings : GenerationSettings
        Part of every key.
    stored : callable
        Keys to booleans, shape (keys,): which need no job.

    Yields
    ------
    jobs : list of PlannedJob
        At most `CHUNK` jobs that are missing.
    done : int
        Cells of the same chunk that need no job.
    """
    identity = engine.identity()
    for start in range(0, len(cells), CHUNK):
        codes = cells.codes[start : start + CHUNK]
        replicates = cells.replicate[start : start + CHUNK].tolist()
        distinct, inverse = np.unique(codes, axis=0, return_inverse=True)
        # What all replicates of a cell share is made once and stands once in memory.
        asked = [_Asked.of(factors, model, row) for row in distinct]
        rendered = engine.render([one.prompt for one in asked])
        shared = _shared_keys(identity, settings, [one.levels for one in asked], rendered)
        which = inverse.ravel().tolist()
        keys = [cell_key(shared[w], replicate) for w, replicate in zip(which, replicates, strict=True)]
        jobs = []
        for at in np.flatnonzero(~stored(keys)).tolist():
            key, one = keys[at], asked[which[at]]
            seed = response_seed(settings, key)
            job = Job(key, rendered[which[at]], one.prompt, seed, one.job_levels)
            jobs.append(PlannedJob(job, one.levels, one.gold, one.task_labels, replicates[at]))
        yield jobs, len(codes) - len(jobs)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One combination of levels, worded."""

    levels: dict[str, str]
    job_levels: tuple[tuple[str, str], ...]
    prompt: Prompt
    gold: str
    task_labels: str

    @classmethod
    def of(cls, factors: Factors, model: str, codes: np.ndarray) -> "_Asked":
        persona, template, task, paraphrase, item = codes
        of = factors.tasks[task]
        wording, gold = list(of.wordings)[paraphrase], of.items[item].gold
        levels = {
            "model": model,
            "persona": factors.personas[persona].name,
            "persona_template": factors.templates[template].name,
            "task": of.name,
            "paraphrase": wording,
            "item": of.items[item].name,
        }
        prompt = build_prompt(
            factors.personas[persona], factors.templates[template], of, wording, of.items[item]
        )
        job_levels = (*levels.items(), ("gold", gold), ("labels", "|".join(of.labels)))
        return cls(levels, job_levels, prompt, gold, json.dumps(of.labels))


def _shared_keys(
    identity: Identity,
    settings: GenerationSettings,
    levels: list[dict[str, str]],
    rendered: list[Rendered],
) -> list[bytes]:
    settings_hash = generation_hash(settings)
    return [
        prompt_key(identity, settings_hash, tuple(row.items()), prompt)
        for row, prompt in zip(levels, rendered, strict=True)
    ]
