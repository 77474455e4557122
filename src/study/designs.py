"""Designs choose which cells one model is asked: all of them, a Monte Carlo sample, or a balanced one.

A cell is a combination of persona, persona template, task, paraphrase, item and replicate. Paraphrases and
items are nested in task. Cells are columns of level codes, so that ten million of them fit in memory.
"""

import zlib
from collections.abc import Mapping
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
    if design["name"] == "factorial":
        combinations = _all_combinations(factors)
        codes = np.repeat(combinations, design["replicates"], axis=0)
    else:
        codes = _scale(_uniforms(design, model), factors)
    order, replicate = _count_replicates(codes)
    codes = codes[order]
    if greedy:
        keep = replicate == 0
        return Cells(codes[keep], replicate[keep], int((~keep).sum()))
    return Cells(codes, replicate, 0)


def combinations(factors: Factors) -> int:
    """Count the distinct cells of the full factorial of one model."""
    nested = sum(len(task.wordings) * len(task.items) for task in factors.tasks)
    return len(factors.personas) * len(factors.templates) * nested


def _uniforms(design: Mapping[str, Any], model: str) -> np.ndarray:
    """Draw points of the unit cube, shape (size, 5); each row depends only on seed, model and its number."""
    seed = np.random.SeedSequence([design["seed"], zlib.crc32(model.encode())])
    if design["name"] == "monte_carlo":
        return np.random.default_rng(seed).random((design["size"], 5))
    from scipy.stats import qmc

    sampler = qmc.Sobol(d=5, scramble=True, rng=np.random.default_rng(seed))
    # Sobol' sequences are drawn in powers of two, so that no balance warning and no lost point arises.
    return sampler.random_base2(int(np.ceil(np.log2(max(design["size"], 2)))))[: design["size"]]


def _scale(points: np.ndarray, factors: Factors) -> np.ndarray:
    """Turn points of the unit cube into level codes, uniform over levels (items and wordings within task)."""
    wordings = np.array([len(task.wordings) for task in factors.tasks])
    items = np.array([len(task.items) for task in factors.tasks])
    task = (points[:, 2] * len(factors.tasks)).astype(np.int32)
    columns = [
        points[:, 0] * len(factors.personas),
        points[:, 1] * len(factors.templates),
        task,
        points[:, 3] * wordings[task],
        points[:, 4] * items[task],
    ]
    return np.stack([column.astype(np.int32) for column in columns], axis=1)


def _all_combinations(factors: Factors) -> np.ndarray:
    blocks = []
    for code, task in enumerate(factors.tasks):
        shape = (len(factors.personas), len(factors.templates), 1, len(task.wordings), len(task.items))
        block = np.indices(shape, dtype=np.int32).reshape(5, -1).T
        block[:, 2] = code
        blocks.append(block)
    return np.concatenate(blocks)


def _count_replicates(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort rows (stably) and number the repetitions of each from zero."""
    order = np.lexsort(codes.T[::-1])
    ordered = codes[order]
    new = np.ones(len(codes), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    replicate = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    return order, replicate.astype(np.int32)
