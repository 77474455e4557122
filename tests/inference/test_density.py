"""The compiled density against scipy's distributions, its gradient against differences."""

import numpy as np
import pytest
from scipy import optimize, stats

from src.inference.density import arguments, build_problem, log_density
from src.inference.priors import KINDS, PriorArrays, draw_sds, log_prior_of_sds, read_prior
from src.inference.recover import component_variances, components_of
from src.inference.scales import coordinate, standard_deviations
from src.inference.terms import Slope, Structure, build_structure
from tests.inference.simulate import INTERACTIONS, NESTED, simulate

CELLS = simulate(400, (4, 3, 3, 2)).cells
STRUCTURE = build_structure(CELLS, INTERACTIONS, NESTED)
SLOPED = build_structure(
    CELLS,
    INTERACTIONS,
    NESTED,
    Slope(("persona", "model"), "model", np.array([-1.2, 0.1, 1.1]), np.arange(3.0)),
)


def prior_of(family: str) -> PriorArrays:
    scale = 2.0 if family == "r2d2" else {"default": 0.7, "model": 1.3}
    return read_prior(
        {"family": family, "intercept": {"mean": -0.5, "sd": 1.2}, "scale": scale}, STRUCTURE.names
    )


def centring_of(structure: Structure, rng: np.random.Generator) -> np.ndarray:
    coordinates = sum(component.size for component in structure.components)
    return np.stack([rng.uniform(0, 5, coordinates), rng.normal(size=coordinates)])


def evaluate(
    x: np.ndarray, prior: PriorArrays, information: np.ndarray, structure: Structure = STRUCTURE
) -> tuple[float, np.ndarray]:
    gradient = np.zeros_like(x)
    return log_density(x, gradient, *arguments(build_problem(CELLS, structure, prior, information))), gradient


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("structure", [STRUCTURE, SLOPED], ids=["plain", "sloped"])
def test_gradient_is_that_of_the_density(family, structure):
    rng = np.random.default_rng(1)
    prior, information = prior_of(family), centring_of(structure, rng)
    x = rng.normal(size=build_problem(CELLS, structure, prior, information).dimension)
    numeric = optimize.approx_fprime(x, lambda point: evaluate(point, prior, information, structure)[0], 1e-6)
    found = evaluate(x, prior, information, structure)[1]
    np.testing.assert_allclose(found, numeric, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("sloped", [False, True])
def test_density_is_that_of_scipy_up_to_a_constant(sloped):
    """Written again from the definition: sds, effects given sds, counts, and the change of variables."""
    prior, rng = prior_of("half_normal"), np.random.default_rng(2)
    structure = SLOPED if sloped else STRUCTURE
    information = centring_of(structure, rng)
    scale = [1.3 if name == "model" else 0.7 for name in STRUCTURE.names]

    def by_definition(x: np.ndarray) -> float:
        terms = len(structure.terms)
        sds, effects = components_of(x[None], structure, information, prior)
        variances = component_variances(sds, structure, prior)[0]
        slope = (standard_deviations(x[:terms] + 1e-6) - standard_deviations(x[:terms] - 1e-6)) / 2e-6
        total = stats.halfnorm.logpdf(sds[0], scale=scale).sum() + np.log(slope).sum()
        done = 0
        axis, log_odds = structure.axis_codes(CELLS.codes), np.full(len(CELLS.codes), prior.intercept_mean)
        for c, component in enumerate(structure.components):
            log_odds += effects[c][(0, *(axis[f] for f in component.factors))]
            v = np.full(component.size, variances[c])
            if sloped and c == len(structure.components) - 1:
                v = v * np.exp(2 * x[terms] * structure.slope.by_effect(structure))
                total += (
                    stats.norm.logpdf(x[terms])
                    + stats.norm.logpdf(effects[c][0].ravel(), 0, np.sqrt(v)).sum()
                )
            else:
                # An isotropic normal on a subspace: its log density by its length and dimension alone.
                total -= 0.5 * (effects[c] ** 2).sum() / variances[c] + 0.5 * np.log(v).sum()
            precision = information[0, done : done + component.size]
            done += component.size
            total += 0.5 * np.log(v / (1 + precision * v)).sum()
        return total + stats.binom.logpmf(CELLS.refusals, CELLS.trials, 1 / (1 + np.exp(-log_odds))).sum()

    points = rng.normal(size=(5, build_problem(CELLS, structure, prior, information).dimension))
    ours = np.array([evaluate(x, prior, information, structure)[0] for x in points])
    theirs = np.array([by_definition(x) for x in points])
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "log_density_of_sds"),
    [
        ("half_normal", lambda s: stats.halfnorm.logpdf(s, scale=0.7).sum()),
        ("exponential", lambda s: stats.expon.logpdf(s, scale=0.7).sum()),
        ("half_student_t", lambda s: (stats.t.logpdf(s / 0.7, 3.0)).sum()),
    ],
)
def test_priors_of_standard_deviations_are_scipys(family, log_density_of_sds):
    prior = read_prior({"family": family, "scale": 0.7}, ["a", "b"])
    points = np.random.default_rng(3).uniform(-2, 1, size=(6, 2))
    ours = [log_prior_of_sds(x, prior.kind, prior.parameters, np.zeros(2)) for x in points]
    theirs = [log_density_of_sds(np.exp(x)) + x.sum() for x in points]
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs))


def test_r2d2_density_agrees_with_its_construction():
    """Ratios of the density against a histogram of draws made by the construction itself."""
    prior = read_prior({"family": "r2d2", "scale": 1.5, "concentration": 2.0}, ["a", "b"])
    draws = np.log(draw_sds(prior, 2_000_000, np.random.default_rng(4)))
    edges = np.linspace(-1.2, 0.4, 5)
    found, _, _ = np.histogram2d(draws[:, 0], draws[:, 1], bins=[edges, edges])
    fine = np.linspace(-1.2, 0.4, 4 * 40 + 1)
    middle = (fine[1:] + fine[:-1]) / 2
    density = np.array(
        [
            [
                np.exp(log_prior_of_sds(np.array([x, y]), prior.kind, prior.parameters, np.zeros(2)))
                for y in middle
            ]
            for x in middle
        ]
    )
    expected = density.reshape(4, 40, 4, 40).sum(axis=(1, 3))
    np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), rtol=0.03)


def test_coordinates_of_standard_deviations_invert_each_other():
    sds = np.geomspace(1e-8, 30, 200)
    np.testing.assert_allclose(standard_deviations(coordinate(sds)), sds, rtol=1e-9)
