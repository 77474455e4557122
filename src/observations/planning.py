"""Turns a plan of cells into jobs for an engine, leaving out what the store already holds."""

import json
from collections.abc import Container, Iterator
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
    present: Container[str],
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
    present : container of str
        Keys that need no job.

    Yields
    ------
    jobs : list of PlannedJob
        At most `CHUNK` jobs that are missing.
    done : int
        Cells of the same chunk that need no job.
    """
    identity = engine.identity()
    labels = [json.dumps(task.labels) for task in factors.tasks]
    for start in range(0, len(cells), CHUNK):
        codes = cells.codes[start : start + CHUNK]
        replicates = cells.replicate[start : start + CHUNK]
        distinct, inverse = np.unique(codes, axis=0, return_inverse=True)
        prompts = [_prompt(factors, row) for row in distinct]
        levels = [_levels(factors, model, row) for row in distinct]
        rendered = engine.render(prompts)
        shared = _shared_keys(identity, settings, levels, rendered)
        jobs = []
        for which, replicate in zip(inverse.ravel().tolist(), replicates.tolist(), strict=True):
            key = cell_key(shared[which], replicate)
            if key in present:
                continue
            task = factors.tasks[distinct[which][2]]
            gold = task.items[distinct[which][4]].gold
            job = Job(
                key=key,
                rendered=rendered[which],
                prompt=prompts[which],
                seed=response_seed(settings, key),
                levels=(*levels[which].items(), ("gold", gold), ("labels", "|".join(task.labels))),
            )
            jobs.append(PlannedJob(job, levels[which], gold, labels[distinct[which][2]], replicate))
        yield jobs, len(codes) - len(jobs)


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


def _prompt(factors: Factors, codes: np.ndarray) -> Prompt:
    persona, template, task, paraphrase, item = codes
    of = factors.tasks[task]
    wording = list(of.wordings)[paraphrase]
    return build_prompt(factors.personas[persona], factors.templates[template], of, wording, of.items[item])


def _levels(factors: Factors, model: str, codes: np.ndarray) -> dict[str, str]:
    persona, template, task, paraphrase, item = codes
    of = factors.tasks[task]
    return {
        "model": model,
        "persona": factors.personas[persona].name,
        "persona_template": factors.templates[template].name,
        "task": of.name,
        "paraphrase": list(of.wordings)[paraphrase],
        "item": of.items[item].name,
    }
