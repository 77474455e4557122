"""Prior families: independent priors of standard deviations, or one of total variance with shares.

Intercept: normal. ``half_normal``, ``exponential`` and ``half_student_t`` are independent over terms.
``r2d2`` (in the manner of Zhang et al. 2022) puts a half-normal on the square root of the summed variances
and a Dirichlet on the terms' shares of that sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np

from src.errors import InputError, unknown

KINDS = ("half_normal", "exponential", "half_student_t", "r2d2")
"""Names of the families; the position is the code that the compiled density reads."""


@dataclass(frozen=True, slots=True)
class PriorArrays:
    """A prior as numbers."""

    kind: int
    """Position in `KINDS`."""
    parameters: np.ndarray
    """Independent families: scale of each term, then degrees of freedom (Student's t only, else 0).
    r2d2: scale of the total, then the Dirichlet's concentration of each term."""
    intercept_mean: float
    """Mean of the intercept, log-odds."""
    intercept_sd: float
    """Standard deviation of the intercept, log-odds."""

    @property
    def name(self) -> str:
        """Name of the family."""
        return KINDS[self.kind]


def read_prior(node: Mapping[str, Any], terms: Sequence[str]) -> PriorArrays:
    """Read the ``priors`` node.

    Parameters
    ----------
    node : mapping
        ``family``; ``intercept`` with ``mean`` and ``sd``; ``scale`` (one number, or a mapping by term with
        ``default``); ``nu`` for ``half_student_t``; ``concentration`` (as ``scale``) for ``r2d2``.
    terms : sequence of str
        Names of the terms, in order.

    Returns
    -------
    PriorArrays
        Checked.

    Raises
    ------
    InputError
        If the family, a key or a term is unknown, or a number is not above zero.
    """
    family = node.get("family")
    if family not in KINDS:
        raise unknown("prior family", family, KINDS)
    known = {"family", "intercept", "scale"} | {"half_student_t": {"nu"}, "r2d2": {"concentration"}}.get(
        family, set()
    )
    for key in node:
        if key not in known:
            raise unknown(f"key of priors ({family})", key, known)
    intercept = node.get("intercept") or {}
    mean = float(intercept.get("mean", 0.0))
    sd = _positive("priors.intercept.sd", intercept.get("sd", 1.5))
    if family == "r2d2":
        total = _positive("priors.scale", node.get("scale", 1.0))
        parameters = [total, *_by_term("priors.concentration", node.get("concentration", 1.0), terms)]
    else:
        nu = _positive("priors.nu", node.get("nu", 3.0)) if family == "half_student_t" else 0.0
        parameters = [*_by_term("priors.scale", node.get("scale", 1.0), terms), nu]
    return PriorArrays(KINDS.index(family), np.array(parameters), mean, sd)


def draw_sds(prior: PriorArrays, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw standard deviations from the prior.

    Parameters
    ----------
    prior : PriorArrays
        The prior.
    draws : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        Shape (draws, terms), log-odds.
    """
    if prior.name == "r2d2":
        total = np.abs(rng.normal(size=draws)) * prior.parameters[0]
        shares = rng.dirichlet(prior.parameters[1:], size=draws)
        return total[:, None] * np.sqrt(shares)
    scale, nu = prior.parameters[:-1], prior.parameters[-1]
    shape = (draws, len(scale))
    if prior.name == "half_normal":
        return scale * np.abs(rng.normal(size=shape))
    if prior.name == "exponential":
        return scale * rng.exponential(size=shape)
    return scale * np.abs(rng.standard_t(nu, size=shape))


@nb.njit(cache=True, error_model="numpy")
def log_prior_of_sds(log_sds, kind, parameters, gradient):
    """Return the log density of log standard deviations, and write its gradient.

    Constants that do not depend on the standard deviations are left out.
    """
    terms = len(log_sds)
    value = 0.0
    if kind == 3:
        total = 0.0
        for t in range(terms):
            total += np.exp(2.0 * log_sds[t])
        # With V the summed variance and shares s: p(tau = sqrt V) / tau * prod s_t^(a_t - 1) * V^(1 - terms)
        # is the density of the variances up to a constant; times prod sigma_t^2 that of their logarithms.
        concentration = 0.0
        for t in range(terms):
            concentration += parameters[1 + t]
        value -= 0.5 * total / parameters[0] ** 2 + (concentration - 0.5) * np.log(total)
        for t in range(terms):
            variance = np.exp(2.0 * log_sds[t])
            value += 2.0 * parameters[1 + t] * log_sds[t]
            gradient[t] = (
                2.0 * parameters[1 + t]
                - variance / parameters[0] ** 2
                - (2.0 * concentration - 1.0) * variance / total
            )
        return value
    nu = parameters[terms]
    for t in range(terms):
        ratio = np.exp(log_sds[t]) / parameters[t]
        if kind == 0:
            value += log_sds[t] - 0.5 * ratio * ratio
            gradient[t] = 1.0 - ratio * ratio
        elif kind == 1:
            value += log_sds[t] - ratio
            gradient[t] = 1.0 - ratio
        else:
            value += log_sds[t] - 0.5 * (nu + 1.0) * np.log1p(ratio * ratio / nu)
            gradient[t] = 1.0 - (nu + 1.0) * ratio * ratio / (nu + ratio * ratio)
    return value


def _by_term(name: str, value: object, terms: Sequence[str]) -> list[float]:
    if not isinstance(value, Mapping):
        return [_positive(name, value)] * len(terms)
    for key in value:
        if key not in [*terms, "default"]:
            raise unknown(f"term of {name}", key, [*terms, "default"])
    return [_positive(f"{name}.{term}", value.get(term, value.get("default", 1.0))) for term in terms]


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(f"{name} must be a number above zero, received {value!r}")
    return float(value)
