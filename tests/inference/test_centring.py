"""Information of each coordinate against the components' bases written out."""

import numpy as np

from src.inference.centring import by_coordinate, observed_information
from src.inference.density import effect_positions
from src.inference.terms import build_structure
from src.inference.zero_sum import expand
from tests.inference.simulate import INTERACTIONS, NESTED, simulate


def test_information_is_the_diagonal_of_the_components_information_matrices():
    cells = simulate(300, (4, 3, 3, 2)).cells
    structure = build_structure(cells, INTERACTIONS, NESTED)
    weights = np.random.default_rng(1).uniform(0, 3, len(cells.trials))
    positions, offsets = effect_positions(structure, cells.codes)
    expected = []
    for column, component in enumerate(structure.components):
        basis = np.eye(component.size).reshape(component.size, *component.free_shape)
        for axis, zero_sum in enumerate(component.zero_sum):
            if zero_sum:
                basis = expand(basis, axis + 1)
        by_cell = basis.reshape(component.size, -1)[:, positions[:, column] - offsets[column]]
        expected.append((by_cell**2 * weights).sum(axis=1))
    found = observed_information(structure, cells.codes, weights)
    np.testing.assert_allclose(found, np.concatenate(expected))


def test_one_number_a_component_stands_for_all_its_coordinates():
    structure = build_structure(simulate(300, (4, 3, 3, 2)).cells, INTERACTIONS, NESTED)
    information = np.arange(float(len(structure.components)))
    precision, score = by_coordinate(structure, information)
    np.testing.assert_array_equal(precision, np.repeat(information, [c.size for c in structure.components]))
    assert not score.any()
