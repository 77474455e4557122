"""Zero-sum components carry exactly the covariance of the plain crossed random effects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import InputError
from src.inference.cells import Cells
from src.inference.priors import read_prior
from src.inference.recover import component_variances
from src.inference.terms import build_structure
from src.inference.zero_sum import expand, project
from tests.inference.simulate import counts


def full_grid(shape: tuple[int, ...], factors: tuple[str, ...]) -> Cells:
    return counts(np.ones(shape), np.zeros(shape), factors)


def ragged() -> Cells:
    """Two tasks, the first with two wordings of its own, the second with three others."""
    pairs = [(0, 0), (0, 1), (1, 2), (1, 3), (1, 4)]
    codes = np.array([(m, t, w) for m in range(3) for t, w in pairs], dtype=np.int32)
    levels = {"model": list("abc"), "task": ["x", "y"], "paraphrase": list("pqrst")}
    return Cells(levels, codes, np.zeros(len(codes)), np.ones(len(codes)))


CASES = [
    (full_grid((3, 4), ("a", "b")), [["a", "b"]], {}),
    (full_grid((2, 3, 2), ("a", "b", "c")), [["a", "b"], ["b", "c"], ["a", "b", "c"]], {}),
    (full_grid((1, 3), ("a", "b")), [["a", "b"]], {}),
    (full_grid((2, 2, 3), ("model", "task", "paraphrase")), [["model", "task"]], {"paraphrase": "task"}),
    (ragged(), [["model", "task"], ["model", "paraphrase"]], {"paraphrase": "task"}),
]


@pytest.mark.parametrize("case", CASES)
def test_covariance_of_log_odds_is_that_of_the_plain_model(case):
    cells, interactions, nested = case
    structure = build_structure(cells, interactions, nested)
    prior = read_prior({"family": "half_normal"}, structure.names)
    sds = np.random.default_rng(0).uniform(0.2, 2.0, len(structure.terms))
    columns = {f: cells.codes[:, i] for i, f in enumerate(cells.factors)}
    rows = len(cells.codes)
    plain = np.full((rows, rows), prior.intercept_sd**2)
    for sd, term in zip(sds, structure.terms, strict=True):
        for i in range(rows):
            for j in range(rows):
                plain[i, j] += sd**2 * all(columns[f][i] == columns[f][j] for f in term)
    axis = structure.axis_codes(cells.codes)
    zero_sum = np.zeros((rows, rows))
    variances = component_variances(sds[None], structure, prior)[0]
    for variance, component in zip(variances, structure.components, strict=True):
        projector = np.ones((1, 1))
        for size, constrained in zip(component.shape, component.zero_sum, strict=True):
            projector = np.kron(projector, np.eye(size) - constrained / size)
        flat = np.zeros(rows, dtype=int)
        for factor, size in zip(component.factors, component.shape, strict=True):
            flat = flat * size + axis[factor]
        zero_sum += variance * projector[np.ix_(flat, flat)]
    np.testing.assert_allclose(zero_sum, plain, atol=1e-12)


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 1))
def test_zero_sum_basis_is_orthonormal_and_project_is_its_transpose(size, other, axis):
    shape = (size, other) if axis == 0 else (other, size)
    free = np.random.default_rng(size).normal(size=shape)
    full = expand(free, axis)
    assert full.shape[axis] == size + 1
    np.testing.assert_allclose(full.sum(axis=axis), 0, atol=1e-12)
    np.testing.assert_allclose((full**2).sum(), (free**2).sum())
    np.testing.assert_allclose(project(full, axis), free, atol=1e-12)
    np.testing.assert_allclose(project(full + 3.7, axis), free, atol=1e-12)


def test_nested_interactions_take_their_parent_along():
    structure = build_structure(ragged(), [["model", "paraphrase"]], {"paraphrase": "task"})
    assert structure.names == ["model", "task", "task:paraphrase", "model:task:paraphrase"]
    assert structure.sizes == {"model": 3, "task": 2, "paraphrase": 3}


@pytest.mark.parametrize(
    ("interactions", "nested", "message"),
    [
        ([["a"]], {}, "two or more factors"),
        ([["a", "x"]], {}, "unknown factor of an interaction 'x'"),
        ([], {"a": "b", "b": "c"}, "nested twice"),
    ],
)
def test_impossible_terms_are_refused(interactions, nested, message):
    with pytest.raises(InputError, match=message):
        build_structure(full_grid((2, 2, 2), ("a", "b", "c")), interactions, nested)
