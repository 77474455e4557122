"""Designs choose which cells one model is asked: all of them, a Monte Carlo sample, or a balanced one.

A cell is a combination of persona, persona template, task, paraphrase, item and replicate. Paraphrases and
items are nested in task. Cells are columns of level codes, so that ten million of them fit in memory.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.errors import InputError, unknown
from src.study.factors import Factors

_SETTINGS = {
    "factorial": {"name", "replicates"},
    "monte_carlo": {"name", "size", "seed"},
    "balanced": {"name", "size", "seed"},
}

_DRAWN = 2**16
"""Points drawn at a time; a power of two, as Sobol' sequences ask for."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one model's plan, sorted so that prompts with equal beginnings are neighbours."""

    codes: np.ndarray
    """Level codes, shape (cells, 5), int32: persona, persona template, task, paraphrase, item."""
    replicate: np.ndarray
    """Number of the repetition of the same combination, from zero, shape (cells,), int32."""
    dropped_copies: int
    """Repetitions left out because greedy decoding would only copy the first response."""

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.replicate)


def check_design(design: Mapping[str, Any]) -> None:
    """Check a design's settings.

    Parameters
    ----------
    design : mapping
        The resolved ``design`` node.

    Raises
    ------
    InputError
        If its name or a key is unknown or a number is out of range.
    """
    name = design.get("name")
    if name not in _SETTINGS:
        raise unknown("design", name, _SETTINGS)
    for key, value in design.items():
        if key not in _SETTINGS[name]:
            raise unknown(f"key of design {name}", key, _SETTINGS[name])
        least = 0 if key == "seed" else 1
        if key != "name" and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InputError(f"design.{key} must be a whole number of at least {least}, received {value!r}")


def plan_cells(design: Mapping[str, Any], factors: Factors, model: str, greedy: bool) -> Cells:
    """Choose the cells of one model.

    Parameters
    ----------
    design : mapping
        The resolved ``design`` node.
    factors : Factors
        Levels to combine.
    model : str
        Name of the model; gives each model of a sweep its own independent sample.
    greedy : bool
        Whether decoding is deterministic; repetitions of a combination are then left out, since copies of
        one greedy response are no independent trials.

    Returns
    -------
    Cells
        The plan. A larger ``size`` with the same seed contains the smaller plan.
    """
    check_design(design)
    shape = _shape(factors)
    if design["name"] == "factorial":
        numbers = np.repeat(_all_numbers(factors, shape), design["replicates"])
    else:
        numbers = _drawn_numbers(design, factors, model, shape)
    numbers.sort()
    replicate = _count_replicates(numbers)
    if not greedy:
        return Cells(_codes(numbers, shape), replicate, 0)
    keep = replicate == 0
    return Cells(_codes(numbers[keep], shape), replicate[keep], int((~keep).sum()))


def combinations(factors: Factors) -> int:
    """Count the distinct cells of the full factorial of one model."""
    nested = sum(len(task.wordings) * len(task.items) for task in factors.tasks)
    return len(factors.personas) * len(factors.templates) * nested


def _shape(factors: Factors) -> tuple[int, int, int, int, int]:
    """Sizes of the box that holds every combination, so that one whole number names each."""
    return (
        len(factors.personas),
        len(factors.templates),
        len(factors.tasks),
        max(len(task.wordings) for task in factors.tasks),
        max(len(task.items) for task in factors.tasks),
    )


def _drawn_numbers(
    design: Mapping[str, Any], factors: Factors, model: str, shape: tuple[int, ...]
) -> np.ndarray:
    """Draw combinations, uniform over levels (items and wordings within task), shape (size,), int64."""
    numbers = np.empty(design["size"], np.int64)
    wordings = np.array([len(task.wordings) for task in factors.tasks])
    items = np.array([len(task.items) for task in factors.tasks])
    filled = 0
    for points in _uniforms(design, model):
        points = points[: len(numbers) - filled]
        task = (points[:, 2] * shape[2]).astype(np.int64)
        sizes = (shape[0], shape[1], shape[2], wordings[task], items[task])
        columns = [(points[:, i] * size).astype(np.int64) for i, size in enumerate(sizes)]
        numbers[filled : filled + len(points)] = np.ravel_multi_index(columns, shape)
        filled += len(points)
    return numbers


def _uniforms(design: Mapping[str, Any], model: str) -> Iterator[np.ndarray]:
    """Draw points of the unit cube, shape (_DRAWN, 5) each time; they depend on seed, model and place."""
    seed = np.random.SeedSequence([design["seed"], zlib.crc32(model.encode())])
    blocks = math.ceil(design["size"] / _DRAWN)
    if design["name"] == "monte_carlo":
        rng = np.random.default_rng(seed)
        return (rng.random((_DRAWN, 5)) for _ in range(blocks))
    from scipy.stats import qmc

    sampler = qmc.Sobol(d=5, scramble=True, rng=np.random.default_rng(seed))
    return (sampler.random(_DRAWN) for _ in range(blocks))


def _all_numbers(factors: Factors, shape: tuple[int, ...]) -> np.ndarray:
    blocks = []
    for code, task in enumerate(factors.tasks):
        sizes = (len(factors.personas), len(factors.templates), 1, len(task.wordings), len(task.items))
        persona, template, _, wording, item = np.indices(sizes).reshape(5, -1)
        blocks.append(
            np.ravel_multi_index((persona, template, np.full_like(item, code), wording, item), shape)
        )
    return np.concatenate(blocks)


def _codes(numbers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Turn numbers of combinations into level codes, shape (cells, 5), int32."""
    codes = np.empty((len(numbers), len(shape)), np.int32)
    for column in reversed(range(len(shape))):
        numbers, codes[:, column] = np.divmod(numbers, shape[column])
    return codes


def _count_replicates(numbers: np.ndarray) -> np.ndarray:
    """Count up the repetitions of each combination from zero; equal numbers must be neighbours."""
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    runs = np.diff(np.append(starts, len(numbers)))
    return (np.arange(len(numbers)) - np.repeat(starts, runs)).astype(np.int32)
