"""The density of flags that err: against enumeration, its gradient against differences, and its limit."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import optimize, special, stats

from src.inference.blocks import Block, informative_counts
from src.inference.cells import Cells
from src.inference.density import arguments, build_problem, log_density
from src.inference.detector_error import RATES, DetectorError, build_error, read_error
from src.inference.fitting import FitSettings, fit_cells
from src.inference.flag_density import build_flag_problem, flag_arguments, log_density_of_flags
from src.inference.priors import read_prior
from src.inference.recover import component_variances, components_of
from src.inference.scales import coordinate, standard_deviations
from src.inference.terms import Structure, build_structure
from tests.inference.simulate import INTERACTIONS, NESTED, flagged, simulate
from tests.inference.test_density import centring_of

SIMULATED = flagged(simulate(900, (4, 3, 3, 2)).cells, {"model": [0.9, 0.6, 0.3]}, 0.95, labels=250)
CELLS = SIMULATED.cells


def setting(by: list[str], **priors: object) -> tuple[Cells, Structure, list[Block]]:
    error = replace(
        SIMULATED.error(by, **priors), elsewhere=np.array([[3.0, 1, 2, 5]] * SIMULATED.groups(by))
    )
    cells = replace(CELLS, error=error)
    structure = build_structure(cells, INTERACTIONS, NESTED)
    rng = np.random.default_rng(1)
    of = [(structure, read_prior({"family": "half_normal"}, structure.names))]
    of += [(error.structure, error.priors[rate]) for rate in RATES]
    blocks = [Block(s, p, centring_of(s, rng), np.zeros(0)) for s, p in of]
    return cells, structure, blocks


def evaluate(x: np.ndarray, cells: Cells, blocks: list[Block]) -> tuple[float, np.ndarray]:
    gradient = np.zeros_like(x)
    problem = build_flag_problem(cells, cells.error, blocks)
    return log_density_of_flags(x, gradient, *flag_arguments(problem)), gradient


def log_odds(x: np.ndarray, codes: np.ndarray, block: Block) -> np.ndarray:
    """Add up a block's effects by row of codes."""
    effects = components_of(x[None], block.structure, block.information, block.prior)[1]
    axis = block.structure.axis_codes(codes)
    total = np.full(len(codes), block.prior.intercept_mean)
    for component, effect in zip(block.structure.components, effects, strict=True):
        total += effect[(0, *(axis[f] for f in component.factors))]
    return total


@pytest.mark.parametrize("by", [[], ["model"], ["persona", "model"]], ids=str)
def test_gradient_is_that_of_the_density(by):
    cells, _, blocks = setting(by)
    dimension = build_flag_problem(cells, cells.error, blocks).dimension
    x = np.random.default_rng(2).normal(size=dimension)
    numeric = optimize.approx_fprime(x, lambda point: evaluate(point, cells, blocks)[0], 1e-6)
    np.testing.assert_allclose(evaluate(x, cells, blocks)[1], numeric, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("by", [[], ["model"], ["persona", "model"]], ids=str)
def test_density_is_the_enumerated_one_up_to_a_constant(by):
    """Response by response: a sum over the unseen truth, or truth and flag together where both are known."""
    cells, _, blocks = setting(by)
    error = cells.error
    problem = build_flag_problem(cells, error, blocks)
    ends = np.cumsum([block.problem(cells if i == 0 else error.trials_of(RATES[i - 1])).dimension
                      for i, block in enumerate(blocks)])[:-1]  # fmt: skip

    def by_definition(x: np.ndarray) -> float:
        parts = np.split(x, ends)
        p = special.expit(log_odds(parts[0], cells.codes, blocks[0]))
        codes = error.trials_of("sensitivity").codes
        se, sp = (
            special.expit(log_odds(part, codes, block))
            for part, block in zip(parts[1:], blocks[1:], strict=True)
        )
        total = sum(prior_of(part, block) for part, block in zip(parts, blocks, strict=True))
        for i, group in enumerate(error.group):
            joint = {
                (truth, flag): (p[i] if truth else 1 - p[i])
                * (
                    (se[group] if flag else 1 - se[group])
                    if truth
                    else (1 - sp[group] if flag else sp[group])
                )
                for truth, flag in product((1, 0), (1, 0))
            }
            hit, miss, alarm, passed = error.labelled[i]
            unseen_flagged = cells.refusals[i] - hit - alarm
            unseen_other = cells.trials[i] - cells.refusals[i] - miss - passed
            total += unseen_flagged * np.log(joint[1, 1] + joint[0, 1])
            total += unseen_other * np.log(joint[1, 0] + joint[0, 0])
            total += hit * np.log(joint[1, 1]) + miss * np.log(joint[1, 0])
            total += alarm * np.log(joint[0, 1]) + passed * np.log(joint[0, 0])
        hit, miss, alarm, passed = error.elsewhere.T
        total += (
            hit * np.log(se) + miss * np.log(1 - se) + alarm * np.log(1 - sp) + passed * np.log(sp)
        ).sum()
        return total

    points = np.random.default_rng(3).normal(size=(5, problem.dimension))
    ours = np.array([evaluate(x, cells, blocks)[0] for x in points])
    theirs = np.array([by_definition(x) for x in points])
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-6, atol=1e-4)


def prior_of(x: np.ndarray, block: Block) -> float:
    """Log density of a block's coordinates under its prior, by scipy."""
    structure, terms = block.structure, len(block.structure.terms)
    sds, effects = components_of(x[None], structure, block.information, block.prior)
    v = component_variances(sds, structure, block.prior)[0]
    y = x[:terms]
    slope = (standard_deviations(y + 1e-6) - standard_deviations(y - 1e-6)) / 2e-6
    total = stats.halfnorm.logpdf(sds[0], scale=1.0).sum() + np.log(slope).sum()
    done = 0
    for c, component in enumerate(structure.components):
        widening = 1 + block.information[0, done : done + component.size] * v[c]
        done += component.size
        total -= 0.5 * (effects[c] ** 2).sum() / v[c] + 0.5 * np.log(widening).sum()
    return total


def test_a_detector_without_error_gives_the_plain_density():
    """At Se = Sp = 1 - 1e-12 density and gradient of the plain block are those of the plain likelihood."""
    sure = {rate: {"median": 1 - 1e-12, "sd": 1e-6, "scale": 1e-6} for rate in RATES}
    settings = read_error({"labels": "auto", "by": ["model"], **sure})
    cells = replace(CELLS, error=build_error(CELLS, settings, np.zeros((len(CELLS.trials), 4))))
    structure = build_structure(cells, INTERACTIONS, NESTED)
    prior, information = (
        read_prior({"family": "half_normal"}, structure.names),
        np.ones(len(structure.components)),
    )
    blocks = [Block(structure, prior, information, np.zeros(0))]
    blocks += [
        Block(cells.error.structure, cells.error.priors[rate], np.zeros(2), np.zeros(0)) for rate in RATES
    ]
    plain = build_problem(cells, structure, prior, information)
    rng, gradient = np.random.default_rng(4), np.zeros(plain.dimension)
    values = []
    for _ in range(4):
        x = rng.normal(size=plain.dimension)
        rest = np.tile(np.concatenate([coordinate(np.array([1e-6])), np.zeros(3)]), 2)
        found, slope = evaluate(np.concatenate([x, rest]), cells, blocks)
        values.append(found - log_density(x, gradient, *arguments(plain)))
        np.testing.assert_allclose(slope[: len(x)], gradient, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(values, values[0], atol=1e-6)


def test_informative_counts_are_the_flags_where_the_detector_does_not_err():
    sure = {rate: {"median": 1 - 1e-12, "sd": 1e-6, "scale": 1e-6} for rate in RATES}
    error = build_error(CELLS, read_error({"by": ["model"], **sure}), np.zeros((len(CELLS.trials), 4)))
    found = informative_counts(CELLS, error)
    np.testing.assert_allclose(found.trials, CELLS.trials)
    np.testing.assert_allclose(found.refusals, CELLS.refusals, atol=1e-9)
    worse = informative_counts(CELLS, SIMULATED.error(["model"]))
    assert (worse.trials <= CELLS.trials + 1e-9).all()
    assert worse.trials.sum() < 0.8 * CELLS.trials.sum()


def test_a_point_that_is_no_number_has_no_density():
    cells, _, blocks = setting(["model"])
    problem = build_flag_problem(cells, cells.error, blocks)
    x = np.full(problem.dimension, np.nan)
    assert not np.isfinite(evaluate(x, cells, blocks)[1]).all()


def test_it_is_sampled():
    error: DetectorError = SIMULATED.error(["model"])
    structure = build_structure(CELLS, [], NESTED)
    prior = read_prior({"family": "half_normal"}, structure.names)
    settings = FitSettings(draws=50, tune=60, chains=1, progress=False)
    fitted = fit_cells(replace(CELLS, error=error), structure, prior, settings)
    assert set(fitted.rates) == set(RATES)
    assert np.isfinite(fitted.plain.intercept).all()
