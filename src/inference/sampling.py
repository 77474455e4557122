"""NUTS on the compiled density, by nutpie: several chains in threads, no model compilation."""

import importlib.util
import os
import sys
import time
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from typing import Any, Protocol

import numpy as np

from src.inference.density import copy_callback

TARGET_ACCEPT = 0.8
"""Mean acceptance probability that the step size is tuned for."""
PROGRESS_MS = 100
"""Milliseconds between two states of the progress bar."""


class Density(Protocol):
    """What is sampled: `src.inference.density.Problem`, or another that a compiled density reads."""

    @property
    def dimension(self) -> int:
        """Length of the unconstrained vector."""

    def callback(self) -> tuple[int | None, np.ndarray]:
        """Return the address of the compiled density and the table that it reads."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of the unconstrained vector with the sampler's statistics."""

    unconstrained: np.ndarray
    """Shape (chains, draws, dimension)."""
    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    """Per draw, shape (chains, draws): diverging, energy, n_steps, step_size, tree_depth, lp."""
    seconds_compile: float = 0.0
    """Wall time until the density was ready."""
    seconds_sample: float = 0.0
    """Wall time of warm-up and sampling."""


def sample_nuts(
    problem: Density,
    start: np.ndarray,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    seed: int,
    progress: bool = True,
) -> Draws:
    """Draw from the posterior with the no-U-turn sampler.

    Parameters
    ----------
    problem : Density
        Counts and structure.
    start : ndarray
        Point of the unconstrained space around which the chains start, shape (dimension,).
    draws, tune, chains : int
        Draws kept and warm-up draws per chain, and chains.
    cores : int or None
        Chains at a time; None takes every processor.
    seed : int
        Same seed, same draws.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Draws
        Kept draws only.
    """
    import pyarrow as pa

    began = time.perf_counter()
    library = _nutpie()
    settings = library.PyNutsSettings.Diag(seed)
    settings.update(
        {"num_tune": tune, "num_draws": draws, "num_chains": chains, "target_accept": TARGET_ACCEPT}
    )
    model, keep = _model(library, problem, start)
    bar = library.ProgressType.indicatif(PROGRESS_MS) if progress else library.ProgressType.none()
    compiled = time.perf_counter()
    sampler = library.PySampler.from_pymc(
        settings,
        min(chains, cores or os.cpu_count() or 1),
        model,
        bar,
        None,
        PROGRESS_MS,
        library.PyStorage.arrow(),
    )
    try:
        sampler.wait(None)
    except BaseException:
        sampler.abort()
        raise
    positions, statistics = sampler.take_results().get_arrow_trace()
    del keep

    def columns(batches: list[Any], name: str) -> np.ndarray:
        """Stack the kept draws of one column over chains."""
        return np.stack([_values(pa.array(batch.column(name)))[-draws:] for batch in batches])

    names = {"tree_depth": "depth", "lp": "logp"}
    kept = ("diverging", "energy", "n_steps", "step_size", "tree_depth", "lp")
    return Draws(
        columns(positions, "x"),
        {name: columns(statistics, names.get(name, name)) for name in kept},
        compiled - began,
        time.perf_counter() - compiled,
    )


def _values(column: Any) -> np.ndarray:
    """Read a column of numbers, or of vectors of one length."""
    if not hasattr(column, "flatten"):
        return column.to_numpy(zero_copy_only=False)
    return column.flatten().to_numpy().reshape(len(column), -1)


def _nutpie() -> Any:
    """Load nutpie's compiled module alone.

    Its Python package imports compilers of PyMC and Stan models, ArviZ and its plots: seconds, and nothing of
    it is needed here. The compiled classes are private because the package's public ways in compile for every
    new data set; `pyproject.toml` therefore bounds nutpie's version.
    """
    name = "nutpie._lib"
    if name not in sys.modules:
        package = importlib.util.find_spec("nutpie")
        folders = package.submodule_search_locations if package else None
        spec = PathFinder.find_spec(name, folders)
        if spec is None or spec.loader is None:
            raise ImportError("nutpie is not installed", name="nutpie")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def _model(library: Any, problem: Density, start: np.ndarray) -> tuple[Any, object]:
    """Wrap the density as nutpie's compiled PyMC models are; return also what must live while it samples."""
    dimension = problem.dimension
    callback, table = problem.callback()
    sizes = {"unconstrained_parameter": dimension}
    keep = (problem, table)
    model = library.PyMcModel(
        library.LogpFunc(callback, table.ctypes.data, keep),
        library.ExpandFunc(dimension, dimension, copy_callback.address, table.ctypes.data, keep),
        library.PyVariable.new_variables(["x"], ["float64"], [(dimension,)], sizes, {}),
        dimension,
        sizes,
        {},
        lambda seed: start + 0.1 * np.random.default_rng(seed).normal(size=dimension),
        None,
    )
    return model, keep
