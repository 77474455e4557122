"""Fits the crossed random-effects model: sets the sampler up from the counts, draws, recovers the effects."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from src.errors import InputError, unknown
from src.inference.cells import Cells
from src.inference.detector_error import RATES
from src.inference.priors import PriorArrays
from src.inference.recover import PlainDraws
from src.inference.terms import Structure

RECOVERY_STREAMS = ((1,), (7,), (8,))
"""Of the randomness that splits components into effects: of refusals, sensitivity, specificity."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How to draw."""

    method: str = "nuts"
    """``nuts``, ``fast`` or ``pymc``."""
    draws: int = 1000
    """Draws kept per chain."""
    tune: int = 300
    """Warm-up draws per chain."""
    chains: int = 4
    """Independent chains."""
    cores: int | None = None
    """Chains at a time; None takes every processor."""
    seed: int = 1
    """Same seed, same draws."""
    progress: bool = True
    """Show a progress bar."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Posterior draws of the plain parameters with how they were had."""

    plain: PlainDraws
    """Draws, chains one after another, shape (chains * draws, ...)."""
    chains: int
    """Number of chains."""
    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    """Of the sampler, shape (chains, draws)."""
    seconds_compile: float = 0.0
    """Wall time until sampling could start."""
    seconds_sample: float = 0.0
    """Wall time of warm-up and sampling."""
    approximate: bool = False
    """Whether the draws come from an approximation."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know about the method."""
    rates: dict[str, PlainDraws] = field(default_factory=dict)
    """Draws of the models of logit sensitivity and logit specificity, by name; empty without labels."""


def fit_cells(cells: Cells, structure: Structure, prior: PriorArrays, settings: FitSettings) -> Fitted:
    """Draw from the posterior of the crossed random-effects model.

    Parameters
    ----------
    cells : Cells
        The counts.
    structure : Structure
        Terms.
    prior : PriorArrays
        The prior.
    settings : FitSettings
        How to draw.

    Returns
    -------
    Fitted
        Draws of intercept, standard deviations and plain effects.
    """
    return METHODS[settings.method](cells, structure, prior, settings)


def check_settings(settings: FitSettings) -> None:
    """Make sure that the settings can be used.

    Raises
    ------
    InputError
        If the method is unknown or a number is out of range.
    """
    if settings.method not in METHODS:
        raise unknown("fit.method", settings.method, METHODS)
    for name, least in (("draws", 4), ("tune", 50), ("chains", 1), ("cores", 1), ("seed", 0)):
        value = getattr(settings, name)
        if name == "cores" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"fit.{name} must be a whole number of at least {least}, received {value!r}")


def _fit_nuts(cells: Cells, structure: Structure, prior: PriorArrays, settings: FitSettings) -> Fitted:
    """Sample the zero-sum components, started and scaled by the nested Laplace approximation."""
    import time

    from threadpoolctl import threadpool_limits

    from src.inference.blocks import informative_counts, rate_block, response_block
    from src.inference.sampling import Density, sample_nuts

    began = time.perf_counter()
    error = cells.error
    # Threads of small matrix products wait for each other where a machine has other work.
    with threadpool_limits(1):
        counts = cells if error is None else informative_counts(cells, error)
        blocks = [response_block(counts, structure, prior)]
    problem: Density = blocks[0].problem(cells)
    if error is not None:
        from src.inference.flag_density import build_flag_problem

        blocks += [rate_block(error, rate) for rate in RATES]
        problem = build_flag_problem(cells, error, blocks)
    set_up = time.perf_counter() - began
    drawn = sample_nuts(
        problem,
        np.concatenate([block.start for block in blocks]),
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=settings.cores,
        seed=settings.seed,
        progress=settings.progress,
    )
    flat = drawn.unconstrained.reshape(-1, drawn.unconstrained.shape[-1])
    pieces = np.split(flat, np.cumsum([len(block.start) for block in blocks])[:-1], axis=1)
    plain, *rates = (
        block.plain(piece, np.random.default_rng([settings.seed, *stream]))
        for block, piece, stream in zip(blocks, pieces, RECOVERY_STREAMS, strict=False)
    )
    return Fitted(
        plain,
        settings.chains,
        drawn.statistics,
        set_up + drawn.seconds_compile,
        drawn.seconds_sample,
        rates=dict(zip(RATES, rates, strict=True)) if rates else {},
    )


def _fit_fast(cells: Cells, structure: Structure, prior: PriorArrays, settings: FitSettings) -> Fitted:
    """Approximate: nested Laplace with importance-weighted standard deviations."""
    import time

    from threadpoolctl import threadpool_limits

    from src.inference.laplace import LaplaceModel, draw_nested

    if cells.error is not None:
        raise InputError(
            "fit.method=fast takes flags for refusals and cannot use labelled responses; use nuts, or "
            "detector_error.labels=null"
        )
    if structure.slope is not None:
        raise InputError("fit.method=fast knows no capability slope; use fit.method=nuts, or capability=null")
    began = time.perf_counter()
    model = LaplaceModel(cells, structure, prior)
    set_up = time.perf_counter()
    rng = np.random.default_rng([settings.seed, 2])
    with threadpool_limits(1):
        plain, pareto_k = draw_nested(model, prior, settings.draws * settings.chains, rng)
    notes = ["approximate posterior (nested Laplace, fit.method=fast): a first look, not a result"]
    if pareto_k > 0.7:
        notes.append(
            f"the approximation is poor here (Pareto k {pareto_k:.2f} above 0.7): use fit.method=nuts"
        )
    return Fitted(
        plain,
        settings.chains,
        {},
        set_up - began,
        time.perf_counter() - set_up,
        approximate=True,
        notes=notes,
    )


def _fit_pymc(cells: Cells, structure: Structure, prior: PriorArrays, settings: FitSettings) -> Fitted:
    """Sample the textbook model as PyMC compiles it: the written definition of what the others do."""
    from src.inference.model import sample_model

    return sample_model(cells, structure, prior, settings)


METHODS: dict[str, Callable[[Cells, Structure, PriorArrays, FitSettings], Fitted]] = {
    "nuts": _fit_nuts,
    "fast": _fit_fast,
    "pymc": _fit_pymc,
}
"""Ways to draw, by the name that ``fit.method`` gives them."""
