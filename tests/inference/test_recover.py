"""Plain effects recovered from zero-sum components: same sums, and the plain prior's distribution."""

import numpy as np
import pytest
from scipy import stats

from src.inference.priors import read_prior
from src.inference.recover import component_variances, recover_effects
from src.inference.terms import build_structure
from tests.inference.test_terms import CASES


@pytest.mark.parametrize("case", CASES)
def test_recovered_effects_keep_log_odds_and_are_plain_normals(case):
    cells, interactions, nested = case
    structure = build_structure(cells, interactions, nested)
    prior = read_prior({"family": "half_normal", "intercept": {"mean": 0.3, "sd": 1.5}}, structure.names)
    rng, draws = np.random.default_rng(5), 20_000
    sds = np.tile(rng.uniform(0.3, 1.5, len(structure.terms)), (draws, 1))
    variances = component_variances(sds, structure, prior)
    components = []
    for c, component in enumerate(structure.components):
        noise = rng.normal(size=(draws, *component.shape))
        for axis, constrained in enumerate(component.zero_sum, start=1):
            if constrained:
                noise = noise - noise.mean(axis=axis, keepdims=True)
        components.append(noise * np.sqrt(variances[0, c]))
    plain = recover_effects(sds, components, structure, prior, rng)

    axis = structure.axis_codes(cells.codes)
    by_components = prior.intercept_mean + sum(
        effect[(slice(None), *(axis[f] for f in component.factors))].reshape(draws, -1)
        for effect, component in zip(components, structure.components, strict=True)
    )
    by_terms = plain.intercept[:, None] + sum(
        effect[(slice(None), *(axis[f] for f in term))]
        for effect, term in zip(plain.effects, structure.terms, strict=True)
    )
    np.testing.assert_allclose(by_terms, np.broadcast_to(by_components, by_terms.shape), atol=1e-10)

    parameters = np.column_stack(
        [
            (plain.intercept - prior.intercept_mean) / prior.intercept_sd,
            *(u.reshape(draws, -1) / sds[0, t] for t, u in enumerate(plain.effects)),
        ]
    )
    assert stats.kstest(parameters.ravel()[:: parameters.shape[1] + 1], "norm").pvalue > 1e-4
    np.testing.assert_allclose(np.cov(parameters.T), np.eye(parameters.shape[1]), atol=6 / np.sqrt(draws))
