"""Drawing tokens against the distribution it must follow."""

import numpy as np
import pytest
import torch
from scipy import stats

from src.engines.local.sampling import next_tokens, seed_array, uniforms


def test_uniforms_are_uniform_over_seeds_and_over_steps():
    seeds = seed_array(list(range(20_000)))
    across = uniforms(seeds, 3)
    along = uniforms(np.full(20_000, 7, np.uint64), np.arange(20_000, dtype=np.uint64))
    assert stats.kstest(across, "uniform").pvalue > 1e-3
    assert stats.kstest(along, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(across, uniforms(seeds, 4))[0, 1]) < 0.03


def test_seeds_of_any_size_are_taken():
    assert np.unique(uniforms(seed_array([-1, 0, 2**63, 2**64 - 2, 10**30]), 0)).size == 5


def test_greedy_takes_the_highest():
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, -1.0, 1.0]])
    assert next_tokens(logits, torch.zeros(2, dtype=torch.float64), 0.0, 1.0).tolist() == [1, 0]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.8), (2.0, 0.35)])
@pytest.mark.parametrize("size", [6, 3000])
def test_frequencies_follow_temperature_and_nucleus(temperature, top_p, size):
    logits = torch.randn(size, generator=torch.Generator().manual_seed(1)) * 2
    p = np.exp(logits.double().numpy() / temperature)
    p /= p.sum()
    kept = np.zeros(size, bool)
    for token in np.argsort(-p):  # brute force: add tokens until the nucleus is reached
        kept[token] = True
        if p[kept].sum() >= top_p:
            break
    p = np.where(kept, p, 0) / p[kept].sum()
    n = 4000
    uniform = torch.from_numpy(uniforms(seed_array(list(range(n))), 0))
    drawn = next_tokens(logits.expand(n, size), uniform, temperature, top_p).numpy()
    assert kept[drawn].all()
    counts = np.bincount(drawn, minlength=size)
    frequent = p * n > 5
    observed = np.append(counts[frequent], counts[~frequent].sum())
    expected = np.append(p[frequent] * n, p[~frequent].sum() * n)
    full = expected > 0
    assert stats.chisquare(observed[full], expected[full]).pvalue > 1e-4


def test_extreme_uniforms_never_draw_an_impossible_token():
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]] * 2)
    ends = torch.tensor([0.0, 1 - 2.0**-52], dtype=torch.float64)
    assert next_tokens(logits, ends, 1.0, 1.0).tolist() == [1, 2]
