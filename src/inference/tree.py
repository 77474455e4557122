"""The ArviZ DataTree of a fit: every group with named coordinates, and what is needed to read it back."""

import json
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import expit, gammaln

from src.inference.cells import Cells
from src.inference.detector_error import VERDICTS, DetectorError
from src.inference.fitting import Fitted
from src.inference.priors import PriorArrays, log_prior_of_sds
from src.inference.recover import PlainDraws, draw_prior
from src.inference.terms import Structure

POINTWISE_VALUES = 40_000_000
"""Most values of the log likelihood by draw and cell; beyond it draws are thinned evenly."""
PREDICTIVE_DRAWS = 1000
"""Most draws of the posterior predictive counts."""


def build_tree(
    cells: Cells,
    structure: Structure,
    fitted: Fitted,
    prior: PlainDraws,
    prior_arrays: PriorArrays,
    seed: int,
) -> xr.DataTree:
    """Arrange draws, statistics and data as ArviZ knows them.

    Parameters
    ----------
    cells : Cells
        The counts.
    structure : Structure
        Terms.
    fitted : Fitted
        Posterior draws.
    prior : PlainDraws
        Prior draws.
    prior_arrays : PriorArrays
        The prior itself.
    seed : int
        Of the posterior predictive counts.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (``intercept``; ``sd`` by term; ``u_<term>`` by level, plain random effects in
        log-odds; ``capability_slope`` if asked for), ``prior``, ``sample_stats`` (of samplers),
        ``observed_data``, ``log_likelihood`` and ``posterior_predictive`` (refusals by cell), ``log_prior``.
        Levels of nested factors are named ``parent:level``. With a detector's error, refusals of data and
        predictions are flags; ``posterior`` and ``prior`` also have ``sensitivity`` and ``specificity`` by
        group, with ``<rate>_intercept`` and ``<rate>_sd`` (by ``rate_term``) of their log-odds;
        ``log_prior`` has ``detector_error``; ``labels`` counts what a person has read.
    """
    chains, error = fitted.chains, cells.error
    draws = len(fitted.plain.intercept) // chains
    kept = _thin(draws, POINTWISE_VALUES // (chains * len(cells.trials)))
    eta = _log_odds(fitted.plain, structure, cells, chains, kept)
    by_cell = _cell_coordinates(cells)
    dims = ("chain", "draw", "cell")
    few = _thin(len(kept), PREDICTIVE_DRAWS // chains)
    rates = _rates_by_group(fitted, cells.error, chains, kept)
    probability = _flag_probability(expit(eta[:, few]), cells.error, rates[:, :, few])
    refused = np.random.default_rng([seed, 3]).binomial(cells.trials.astype(np.int64), probability)
    groups = {
        "posterior": _parameters(fitted.plain, structure, chains),
        "prior": _parameters(prior, structure, 1),
        "observed_data": xr.Dataset({"refusals": ("cell", cells.refusals.astype(np.int64))}, by_cell),
        "constant_data": xr.Dataset({"trials": ("cell", cells.trials.astype(np.int64))}, by_cell),
        "log_likelihood": xr.Dataset(
            {"refusals": (dims, _log_likelihood(eta, cells, rates).astype(np.float32))},
            {"chain": np.arange(chains), "draw": kept, **by_cell},
        ),
        "posterior_predictive": xr.Dataset(
            {"refusals": (dims, refused.astype(np.int32))},
            {"chain": np.arange(chains), "draw": kept[few], **by_cell},
        ),
        "log_prior": _log_prior(fitted.plain, structure, prior_arrays, chains),
    }
    if fitted.statistics:
        groups["sample_stats"] = xr.Dataset(
            {name: (("chain", "draw"), values) for name, values in fitted.statistics.items()},
            {"chain": np.arange(chains), "draw": np.arange(draws)},
        )
    if error is not None:
        rng = np.random.default_rng([seed, 6])
        drawn = {
            rate: draw_prior(error.structure, of, len(prior.intercept), rng)
            for rate, of in error.priors.items()
        }
        groups["posterior"] = groups["posterior"].merge(_rates(fitted.rates, error, chains))
        groups["prior"] = groups["prior"].merge(_rates(drawn, error, 1))
        groups["log_prior"]["detector_error"] = _log_prior_of_rates(fitted.rates, error, chains)
        groups["labels"] = _labels(error)
    tree = xr.DataTree.from_dict(groups)
    if structure.slope is not None:
        slope = structure.slope
        levels = structure.levels[slope.factor]
        tree.attrs["capability"] = json.dumps(
            {"term": ":".join(slope.term), "factor": slope.factor}
            | {"values": dict(zip(levels, slope.values.tolist(), strict=True))}
            | {"z": slope.covariate.tolist()}
        )
    tree.attrs["structure"] = json.dumps(
        {
            "levels": structure.levels,
            "nested": structure.nested,
            "terms": [list(term) for term in structure.terms],
            "positions": {child: table.tolist() for child, table in structure.positions.items()},
        }
    )
    return tree


def log_likelihood_tree(cells: Cells, structure: Structure, fitted: Fitted) -> xr.DataTree:
    """Arrange what leave-one-out comparison needs and no more: at most `PREDICTIVE_DRAWS` draws.

    Parameters
    ----------
    cells, structure, fitted
        As for `build_tree`.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (intercept and standard deviations) and ``log_likelihood`` (by cell).
    """
    chains = fitted.chains
    kept = _thin(len(fitted.plain.intercept) // chains, PREDICTIVE_DRAWS // chains)
    eta = _log_odds(fitted.plain, structure, cells, chains, kept)
    coords = {"chain": np.arange(chains), "draw": np.arange(len(kept))}
    shape = (chains, -1)
    posterior = {
        "intercept": (("chain", "draw"), fitted.plain.intercept.reshape(shape)[:, kept]),
        "sd": (("chain", "draw", "term"), fitted.plain.sds.reshape(*shape, len(structure.terms))[:, kept]),
    }
    rates = _rates_by_group(fitted, cells.error, chains, kept)
    pointwise = {"refusals": (("chain", "draw", "cell"), _log_likelihood(eta, cells, rates))}
    return xr.DataTree.from_dict(
        {"posterior": xr.Dataset(posterior, coords), "log_likelihood": xr.Dataset(pointwise, coords)}
    )


def level_names(
    structure: Structure, term: tuple[str, ...]
) -> list[tuple[tuple[str, ...], list[str], np.ndarray]]:
    """Group the factors of a term into axes: a parent with its nested factors makes one.

    Parameters
    ----------
    structure : Structure
        Levels and nesting.
    term : tuple of str
        Factors.

    Returns
    -------
    list of tuple
        Of each axis: its factors; the names of its levels, joined by colons; the axis codes of each level in
        the padded arrays, shape (levels, factors).
    """
    axes = []
    for factor in term:
        if factor in structure.nested:
            continue
        group = (factor, *(f for f in term if structure.nested.get(f) == factor))
        names, codes = [], []
        for code, level in enumerate(structure.levels[factor]):
            inside = [_children(structure, child, code) for child in group[1:]]
            for chosen in product(*inside):
                names.append(":".join([level, *(name for name, _ in chosen)]))
                codes.append([code, *(position for _, position in chosen)])
        axes.append((group, names, np.array(codes)))
    return axes


def _children(structure: Structure, child: str, parent_code: int) -> list[tuple[str, int]]:
    row = structure.positions[child][parent_code]
    return [(structure.levels[child][level], int(row[level])) for level in np.flatnonzero(row >= 0)]


def _parameters(plain: PlainDraws, structure: Structure, chains: int) -> xr.Dataset:
    draws = len(plain.intercept) // chains
    coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws), "term": structure.names}
    data: dict[str, Any] = {
        "intercept": (("chain", "draw"), plain.intercept.reshape(chains, draws)),
        "sd": (("chain", "draw", "term"), plain.sds.reshape(chains, draws, -1)),
    }
    if plain.slope is not None:
        data["capability_slope"] = (("chain", "draw"), plain.slope.reshape(chains, draws))
    for name, term, effect in zip(structure.names, structure.terms, plain.effects, strict=True):
        axes = level_names(structure, term)
        index: list[Any] = [slice(None)] * len(term)
        for place, (group, _, codes) in enumerate(axes):
            for column, factor in enumerate(group):
                shape = [1] * len(axes)
                shape[place] = -1
                index[term.index(factor)] = codes[:, column].reshape(shape)
        values = effect[(slice(None), *index)]
        dims = [":".join(group) for group, _, _ in axes]
        coords |= {dim: names for dim, (_, names, _) in zip(dims, axes, strict=True)}
        data[f"u_{name}"] = (("chain", "draw", *dims), values.reshape(chains, draws, *values.shape[1:]))
    return xr.Dataset(data, coords)


def _log_prior(plain: PlainDraws, structure: Structure, prior: PriorArrays, chains: int) -> xr.Dataset:
    """Evaluate the priors of intercept and standard deviations, which power-scaling varies."""
    shape = (chains, -1)
    intercept = -0.5 * ((plain.intercept - prior.intercept_mean) / prior.intercept_sd) ** 2
    log_sds, unused = np.log(plain.sds), np.zeros(plain.sds.shape[1])
    # The density of log sigma becomes that of sigma.
    joint = [log_prior_of_sds(row, prior.kind, prior.parameters, unused) - row.sum() for row in log_sds]
    dims = ("chain", "draw")
    return xr.Dataset(
        {"intercept": (dims, intercept.reshape(shape)), "sd": (dims, np.array(joint).reshape(shape))},
        {"chain": np.arange(chains), "draw": np.arange(len(intercept) // chains)},
    )


def _rates(drawn: dict[str, PlainDraws], error: DetectorError, chains: int) -> xr.Dataset:
    """Arrange sensitivity and specificity by group, with the parameters of their log-odds."""
    levels, names = error.structure.levels, error.structure.names
    draws = len(next(iter(drawn.values())).intercept) // chains
    shape = (chains, draws)
    data: dict[str, Any] = {}
    for rate, plain in drawn.items():
        by_group = expit(sum_of_effects(plain, error.structure, error.trials_of(rate).codes))
        data[rate] = (
            ("chain", "draw", *levels), by_group.reshape(*shape, *(len(of) for of in levels.values()))
        )  # fmt: skip
        data[f"{rate}_intercept"] = (("chain", "draw"), plain.intercept.reshape(shape))
        if names:
            data[f"{rate}_sd"] = (("chain", "draw", "rate_term"), plain.sds.reshape(*shape, -1))
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), **levels}
    return xr.Dataset(data, coords | ({"rate_term": names} if names else {}))


def _labels(error: DetectorError) -> xr.Dataset:
    """Count what a person has read, by group and verdict, here and elsewhere."""
    shape = [len(names) for names in error.structure.levels.values()]
    here = error.known - error.elsewhere
    dims = (*error.structure.levels, "verdict")
    counts = {"of_the_table": here, "elsewhere": error.elsewhere}
    return xr.Dataset(
        {name: (dims, array.reshape(*shape, -1).astype(np.int64)) for name, array in counts.items()},
        {**error.structure.levels, "verdict": list(VERDICTS)},
    )


def _log_prior_of_rates(rates: dict[str, PlainDraws], error: DetectorError, chains: int) -> xr.DataArray:
    """Evaluate the priors of averages and spreads of the detector's rates, up to a constant."""
    total: np.ndarray = np.zeros(1)
    for rate, plain in rates.items():
        prior = error.priors[rate]
        total = total - 0.5 * ((plain.intercept - prior.intercept_mean) / prior.intercept_sd) ** 2
        total = total - 0.5 * ((plain.sds / prior.parameters[:-1]) ** 2).sum(axis=1)
    values = total.reshape(chains, -1)
    return xr.DataArray(values, dims=("chain", "draw"))


def _rates_by_group(fitted: Fitted, error: DetectorError | None, chains: int, kept: np.ndarray) -> np.ndarray:
    """Compute sensitivity and specificity of kept draws, shape (2, chains, kept draws, groups)."""
    if error is None:
        return np.empty((2, chains, len(kept), 0))
    codes = error.trials_of("sensitivity").codes
    each = [sum_of_effects(plain, error.structure, codes) for plain in fitted.rates.values()]
    return expit(np.stack(each)).reshape(2, chains, -1, len(codes))[:, :, kept]


def _flag_probability(p: np.ndarray, error: DetectorError | None, rates: np.ndarray) -> np.ndarray:
    """Turn probabilities of refusal into those of a flag, shape (chains, draws, cells)."""
    if error is None:
        return p
    se, sp = rates[..., error.group]
    return se * p + (1 - sp) * (1 - p)


def _thin(draws: int, most: int) -> np.ndarray:
    """Choose at most so many evenly spaced draws."""
    return np.arange(draws) if draws <= most else np.linspace(0, draws - 1, max(1, most)).astype(int)


def _log_odds(
    plain: PlainDraws, structure: Structure, cells: Cells, chains: int, kept: np.ndarray
) -> np.ndarray:
    """Add up the effects of each cell, shape (chains, kept draws, cells)."""
    draws = len(plain.intercept) // chains
    rows = (np.arange(chains)[:, None] * draws + kept).ravel()
    return sum_of_effects(plain, structure, cells.codes, rows).reshape(chains, len(kept), -1)


def sum_of_effects(
    plain: PlainDraws, structure: Structure, codes: np.ndarray, rows: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """Add up intercept and effects of some draws by row of codes, shape (draws, rows of codes)."""
    axis = structure.axis_codes(codes)
    eta = np.repeat(plain.intercept[rows, None], len(codes), axis=1)
    for term, effect in zip(structure.terms, plain.effects, strict=True):
        flat = np.ravel_multi_index([axis[f] for f in term], effect.shape[1:])
        eta += effect[rows].reshape(len(eta), -1)[:, flat]
    return eta


def _log_likelihood(eta: np.ndarray, cells: Cells, rates: np.ndarray) -> np.ndarray:
    """Evaluate each cell's log likelihood: of its flags, or of flags and what a person has read."""
    if cells.error is None:
        n, k = cells.trials, cells.refusals
        return _ways(k, n - k) + k * eta - n * np.logaddexp(0.0, eta)
    result = np.empty_like(eta)
    flagged, other = cells.error.unlabelled(cells).T
    read = cells.error.labelled > 0
    # A chain at a time: what stands beside the result stays small.
    for chain, of_chain in enumerate(eta):
        own = rates[:, [chain]]
        flag = _flag_probability(expit(of_chain)[None], cells.error, own)[0]
        result[chain] = _ways(flagged, other) + flagged * np.log(flag) + other * np.log1p(-flag)
        se, sp = own[:, 0][..., cells.error.group]
        joint = (
            (se, of_chain), (1 - se, of_chain), (1 - sp, -of_chain), (sp, -of_chain)
        )  # fmt: skip
        for verdict, (rate, log_odds) in enumerate(joint):
            at = np.flatnonzero(read[:, verdict])
            each = np.log(rate[:, at]) - np.logaddexp(0.0, -log_odds[:, at])
            result[chain][:, at] += cells.error.labelled[at, verdict] * each
    return result


def _ways(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Take the logarithm of the binomial coefficient."""
    return gammaln(one + other + 1) - gammaln(one + 1) - gammaln(other + 1)


def _cell_coordinates(cells: Cells) -> dict[str, Any]:
    names = {
        factor: ("cell", np.array(cells.levels[factor], dtype=object)[cells.codes[:, column]].astype(str))
        for column, factor in enumerate(cells.factors)
    }
    return {"cell": np.arange(len(cells.trials)), **names}
