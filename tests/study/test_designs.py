"""Designs against counting by hand: sizes, uniqueness, balance, growth."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.errors import InputError
from src.study.designs import Cells, check_design, combinations, plan_cells
from src.study.factors import Factors, Item, Persona, PersonaTemplate, Task


def make_factors(personas: int, templates: int, tasks: list[tuple[int, int]]) -> Factors:
    """Factors with the given numbers of levels; tasks as (wordings, items)."""
    return Factors(
        tuple(Persona(f"p{i}", "axis", "a person") for i in range(personas)),
        tuple(PersonaTemplate(f"t{i}", "You are {persona}.") for i in range(templates)),
        tuple(
            Task(
                f"k{k}",
                {"yes": ("yes",)},
                {f"w{i}": "{text}" for i in range(wordings)},
                tuple(Item(f"i{i}", "yes", {"text": "x"}) for i in range(items)),
            )
            for k, (wordings, items) in enumerate(tasks)
        ),
    )


def rows(cells: Cells) -> list[tuple[int, ...]]:
    return [(*map(int, code), int(r)) for code, r in zip(cells.codes, cells.replicate, strict=True)]


sizes = st.tuples(
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3),
)


@given(sizes, st.integers(1, 3))
def test_factorial_is_every_combination_once_per_replicate(size, replicates):
    factors = make_factors(*size)
    cells = plan_cells({"name": "factorial", "replicates": replicates}, factors, "m", greedy=False)
    expected = {
        (p, t, k, w, i, r)
        for p, t in product(range(size[0]), range(size[1]))
        for k, (wordings, items) in enumerate(size[2])
        for w, i, r in product(range(wordings), range(items), range(replicates))
    }
    assert sorted(rows(cells)) == sorted(expected)
    assert combinations(factors) * replicates == len(cells)


@pytest.mark.parametrize("design", ["monte_carlo", "balanced"])
@given(size=sizes, n=st.integers(1, 200), more=st.integers(0, 200), seed=st.integers(0, 5))
@settings(deadline=None)
def test_samples_are_valid_distinct_and_grow(design, size, n, more, seed):
    factors = make_factors(*size)
    small, large = (
        plan_cells({"name": design, "size": k, "seed": seed}, factors, "m", greedy=False)
        for k in (n, n + more)
    )
    assert len(small) == n
    assert len(set(rows(small))) == n
    assert set(rows(small)) <= set(rows(large))
    for p, t, k, w, i, _ in rows(small):
        assert p < size[0]
        assert t < size[1]
        assert w < size[2][k][0]
        assert i < size[2][k][1]


@given(sizes, st.integers(1, 200))
@settings(deadline=None)
def test_greedy_keeps_one_response_a_combination(size, n):
    factors = make_factors(*size)
    design = {"name": "monte_carlo", "size": n, "seed": 3}
    cells = plan_cells(design, factors, "m", greedy=True)
    assert (cells.replicate == 0).all()
    assert len(cells) + cells.dropped_copies == n
    assert {r[:5] for r in rows(cells)} == {
        r[:5] for r in rows(plan_cells(design, factors, "m", greedy=False))
    }


def test_plan_is_sorted_so_that_equal_beginnings_are_neighbours():
    cells = plan_cells(
        {"name": "monte_carlo", "size": 500, "seed": 1}, make_factors(4, 2, [(3, 9)]), "m", False
    )
    assert rows(cells) == sorted(rows(cells))


def test_models_get_different_samples_and_the_same_model_the_same():
    factors = make_factors(4, 2, [(3, 9)])
    design = {"name": "monte_carlo", "size": 50, "seed": 1}
    first, again, other = (plan_cells(design, factors, m, False) for m in ("a", "a", "b"))
    assert rows(first) == rows(again)
    assert rows(first) != rows(other)


def test_monte_carlo_is_uniform_over_levels():
    # Chi-squared over 12 equally likely (persona, task) pairs; its 99.99 % quantile (11 df) is 37.4.
    cells = plan_cells(
        {"name": "monte_carlo", "size": 12_000, "seed": 2}, make_factors(4, 1, [(2, 3)] * 3), "m", False
    )
    counts = np.zeros((4, 3))
    np.add.at(counts, (cells.codes[:, 0], cells.codes[:, 2]), 1)
    assert ((counts - 1000) ** 2 / 1000).sum() < 37.4


def test_balanced_spreads_pairs_more_evenly_than_monte_carlo():
    def imbalance(name: str) -> float:
        cells = plan_cells(
            {"name": name, "size": 1024, "seed": 5}, make_factors(16, 1, [(8, 4)] * 2), "m", False
        )
        pairs = np.zeros((16, 8))
        np.add.at(pairs, (cells.codes[:, 0], cells.codes[:, 3]), 1)
        return float(pairs.var())

    assert imbalance("balanced") < imbalance("monte_carlo") / 4


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ({"name": "monte_carlo", "size": -5, "seed": 1}, ["design.size", "-5"]),
        ({"name": "monte_carlo", "size": 0, "seed": 1}, ["design.size", "0"]),
        ({"name": "monte_carlo", "size": 2.5, "seed": 1}, ["2.5"]),
        ({"name": "factorial", "replicates": True}, ["True"]),
        ({"name": "factorail"}, ["factorail", "did you mean factorial"]),
        ({"name": "factorial", "replicate": 1}, ["replicate", "replicates"]),
    ],
)
def test_bad_designs_are_named(design, words):
    with pytest.raises(InputError) as error:
        check_design(design)
    assert all(word in str(error.value) for word in words)
