"""NUTS on the compiled density, by nutpie: several chains in threads, no model compilation."""

import os
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from src.inference.density import copy_callback

TARGET_ACCEPT = 0.9
"""Mean acceptance probability that the step size is tuned for."""


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
    began = time.perf_counter()
    import nutpie

    model = _compiled_model(problem, start)
    compiled = time.perf_counter()
    trace = nutpie.sample(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=min(chains, cores or os.cpu_count() or 1),
        seed=seed,
        save_warmup=False,
        progress_bar=progress,
        target_accept=TARGET_ACCEPT,
    )
    stats = trace["sample_stats"]
    names = {"tree_depth": "depth", "lp": "logp"}
    kept = ("diverging", "energy", "n_steps", "step_size", "tree_depth", "lp")
    return Draws(
        trace["posterior"]["x"].values,
        {name: stats[names.get(name, name)].values for name in kept},
        compiled - began,
        time.perf_counter() - compiled,
    )


def _compiled_model(problem: Density, start: np.ndarray) -> Any:
    """Wrap the density in nutpie's interface for compiled models.

    The classes of its private module are used because its public ways in, PyMC and Stan models, compile for
    every new data set; `pyproject.toml` therefore bounds nutpie's version.
    """
    import pandas as pd
    from nutpie import _lib
    from nutpie.sample import CompiledModel

    dimension = problem.dimension
    callback, table = problem.callback()

    class DensityModel(CompiledModel):
        @property
        def n_dim(self) -> int:
            return dimension

        @property
        def shapes(self) -> dict[str, tuple[int, ...]]:
            return {"x": (dimension,)}

        @property
        def coords(self) -> dict[str, Any]:
            return {}

        def _make_model(self, init_mean: object) -> Any:
            # The tuples' first members only keep the memory alive that the addresses point to.
            density = _lib.LogpFunc(callback, table.ctypes.data, (self, problem, table))
            expand = _lib.ExpandFunc(
                dimension, dimension, copy_callback.address, table.ctypes.data, (self, table)
            )
            sizes = {"unconstrained_parameter": dimension}
            return _lib.PyMcModel(
                density,
                expand,
                _lib.PyVariable.new_variables(["x"], ["float64"], [(dimension,)], sizes, {}),
                dimension,
                sizes,
                {"unconstrained_parameter": pd.RangeIndex(dimension)},
                lambda seed: start + 0.1 * np.random.default_rng(seed).normal(size=dimension),
                None,
            )

        def _make_sampler(self, settings: Any, init_mean: Any, *rest: Any) -> Any:
            return _lib.PySampler.from_pymc(settings, rest[0], self._make_model(init_mean), *rest[1:])

    return DensityModel(dims={})
