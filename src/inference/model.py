"""The crossed random-effects logistic model as PyMC writes it: what every other method must match."""

import time
from typing import Any

import numpy as np

from src.inference.cells import Cells
from src.inference.detector_error import RATES
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
        With ``intercept``, ``sd`` (terms,) and ``u_<term>`` (lengths of the term's axes), non-centred. With a
        detector's error, flags ~ Binomial(unlabelled, Se p + (1 - Sp) (1 - p)), and what a person has read is
        binomial with p, Se and Sp; the same variables of logit Se and logit Sp have the rate's name in front.
    """
    import pymc as pm

    with pm.Model() as model:
        log_odds = _log_odds(cells.codes, structure, prior)
        if cells.error is None:
            pm.Binomial(
                "refusals", n=cells.trials.astype(int), logit_p=log_odds, observed=cells.refusals.astype(int)
            )
            return model
        error, refusal = cells.error, pm.math.invlogit(log_odds)
        rates = []
        for rate in RATES:
            counts = error.trials_of(rate)
            by_group = pm.math.invlogit(
                _log_odds(counts.codes, error.structure, error.priors[rate], f"{rate}_")
            )
            _binomial(f"labels_{rate}", counts.refusals, counts.trials, by_group)
            rates.append(by_group[error.group])
        flagged, other = error.unlabelled(cells).T
        flag = rates[0] * refusal + (1 - rates[1]) * (1 - refusal)
        _binomial("flags", flagged, flagged + other, flag)
        refused, answered = error.truths().T
        _binomial("truths", refused, refused + answered, refusal)
    return model


def _log_odds(codes: np.ndarray, structure: Structure, prior: PriorArrays, prefix: str = "") -> Any:
    """Write a crossed random-effects model: log-odds by row of codes."""
    import pymc as pm

    axis = structure.axis_codes(codes)
    log_odds = pm.Normal(f"{prefix}intercept", prior.intercept_mean, prior.intercept_sd) + np.zeros(
        len(codes)
    )
    if not structure.terms:
        return log_odds
    sd = _standard_deviations(prior, prefix)
    for t, (name, term) in enumerate(zip(structure.names, structure.terms, strict=True)):
        shape = tuple(structure.sizes[f] for f in term)
        u = pm.Deterministic(f"{prefix}u_{name}", sd[t] * pm.Normal(f"{prefix}z_{name}", shape=shape))
        log_odds = log_odds + u[tuple(axis[f] for f in term)]
    return log_odds


def _binomial(name: str, successes: np.ndarray, trials: np.ndarray, p: Any) -> None:
    import pymc as pm

    pm.Binomial(name, n=trials.astype(int), p=p, observed=successes.astype(int))


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

    def plain(of: Structure, prefix: str = "") -> PlainDraws:
        intercept = flat(f"{prefix}intercept")
        sds = flat(f"{prefix}sd") if of.terms else np.empty((len(intercept), 0))
        return PlainDraws(intercept, sds, [flat(f"{prefix}u_{name}") for name in of.names])

    error = cells.error
    rates = {} if error is None else {rate: plain(error.structure, f"{rate}_") for rate in RATES}
    statistics = {name: stats[name].values for name in ("diverging", "energy", "n_steps") if name in stats}
    seconds = time.perf_counter() - built
    return Fitted(plain(structure), settings.chains, statistics, built - began, seconds, rates=rates)


def _standard_deviations(prior: PriorArrays, prefix: str = "") -> Any:
    import pymc as pm

    if prior.name == "r2d2":
        total = pm.HalfNormal("total", prior.parameters[0])
        shares = pm.Dirichlet("shares", prior.parameters[1:])
        return pm.Deterministic("sd", total * shares**0.5)
    scale, nu = prior.parameters[:-1], prior.parameters[-1]
    shape = len(scale)
    if prior.name == "half_normal":
        return pm.HalfNormal(f"{prefix}sd", scale, shape=shape)
    if prior.name == "exponential":
        return pm.Exponential("sd", scale=scale, shape=shape)
    return pm.HalfStudentT("sd", nu, scale, shape=shape)
