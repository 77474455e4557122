"""The crossed random-effects logistic model as PyMC writes it: what every other method must match."""

import time
from typing import Any

import numpy as np

from src.inference.cells import Cells
from src.inference.fitting import FitSettings, Fitted
from src.inference.priors import PriorArrays
from src.inference.recover import PlainDraws
from src.inference.terms import Structure


def crossed_logistic(cells: Cells, structure: Structure, prior: PriorArrays) -> Any:
    """Build the textbook model: refusals ~ Binomial(trials, p), logit p = intercept + one effect per term.

    Parameters
    ----------
    cells : Cells
        The counts.
    structure : Structure
        Terms; each has independent normal effects with a standard deviation of its own.
    prior : PriorArrays
        The prior.

    Returns
    -------
    pymc.Model
        With ``intercept``, ``sd`` (terms,) and ``u_<term>`` (lengths of the term's axes), non-centred.
    """
    import pymc as pm

    axis = structure.axis_codes(cells.codes)
    with pm.Model(coords={"term": structure.names}) as model:
        intercept = pm.Normal("intercept", prior.intercept_mean, prior.intercept_sd)
        sd = _standard_deviations(prior)
        log_odds = intercept
        for t, (name, term) in enumerate(zip(structure.names, structure.terms, strict=True)):
            shape = tuple(structure.sizes[f] for f in term)
            u = pm.Deterministic(f"u_{name}", sd[t] * pm.Normal(f"z_{name}", shape=shape))
            log_odds = log_odds + u[tuple(axis[f] for f in term)]
        pm.Binomial(
            "refusals", n=cells.trials.astype(int), logit_p=log_odds, observed=cells.refusals.astype(int)
        )
    return model


def sample_model(cells: Cells, structure: Structure, prior: PriorArrays, settings: FitSettings) -> Fitted:
    """Sample the textbook model with PyMC's own sampler.

    Parameters
    ----------
    cells, structure, prior
        As for `crossed_logistic`.
    settings : FitSettings
        How to draw.

    Returns
    -------
    Fitted
        Draws of the same quantities as by any other method.
    """
    import pymc as pm

    began = time.perf_counter()
    model = crossed_logistic(cells, structure, prior)
    built = time.perf_counter()
    with model:
        tree = pm.sample(
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores,
            random_seed=settings.seed,
            progressbar=settings.progress,
            target_accept=0.9,
        )
    posterior, stats = tree["posterior"], tree["sample_stats"]

    def flat(name: str) -> np.ndarray:
        values = posterior[name].values
        return values.reshape(-1, *values.shape[2:])

    plain = PlainDraws(flat("intercept"), flat("sd"), [flat(f"u_{name}") for name in structure.names])
    statistics = {name: stats[name].values for name in ("diverging", "energy", "n_steps") if name in stats}
    return Fitted(plain, settings.chains, statistics, built - began, time.perf_counter() - built)


def _standard_deviations(prior: PriorArrays) -> Any:
    import pymc as pm

    if prior.name == "r2d2":
        total = pm.HalfNormal("total", prior.parameters[0])
        shares = pm.Dirichlet("shares", prior.parameters[1:])
        return pm.Deterministic("sd", total * shares**0.5, dims="term")
    scale, nu = prior.parameters[:-1], prior.parameters[-1]
    if prior.name == "half_normal":
        return pm.HalfNormal("sd", scale, dims="term")
    if prior.name == "exponential":
        return pm.Exponential("sd", scale=scale, dims="term")
    return pm.HalfStudentT("sd", nu, scale, dims="term")
