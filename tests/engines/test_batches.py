"""How many sequences go together: by length, by free memory, and fewer when memory runs out."""

import resource
import sys
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from src.engines.base import GenerationSettings
from src.engines.local.batches import by_length, slots_that_fit
from src.engines.local.hardware import free_memory
from src.engines.local.padded import decode_padded
from src.engines.local.requests import Request
from src.engines.local.slots import decode_slots
from tests.tiny_models import make_tiny_model

GREEDY = GenerationSettings(max_new_tokens=4, temperature=0.0, top_p=1.0, seed=0)
# 4 layers, keys and values, 8 heads of width 128, four bytes each.
BYTES_PER_POSITION = 4 * 2 * 8 * 128 * 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Few weights, but 32 KiB of keys and values for each token."""
    folder = make_tiny_model(
        tmp_path_factory.mktemp("model"),
        context=4096,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        head_dim=128,
        initializer_range=0.1,
    )
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 600)), max_size=30))
def test_lengths_of_a_class_differ_by_a_factor_of_two_at_most(sizes):
    requests = [Request(i, (5,) * prompt, limit, 0) for i, (prompt, limit) in enumerate(sizes)]
    classes = by_length(requests)
    assert sorted(r.index for group in classes for r in group) == list(range(len(requests)))
    lengths = [[len(r.prompt) + r.limit for r in group] for group in classes]
    for longer, shorter in pairwise(lengths):
        assert min(longer) > max(shorter)
    assert all(max(group) <= max(256, 2 * min(group)) for group in lengths)


def test_slots_follow_free_memory(model):
    short = [Request(0, (5,) * 100, 100, 0)]
    assert slots_that_fit(model, short) == 64
    # Lengths that no machine has room for 64 times.
    positions = free_memory(model.device) // BYTES_PER_POSITION // 20
    long = [Request(0, (5,), positions, 0)]
    assert 5 <= slots_that_fit(model, long) <= 10
    assert slots_that_fit(model, [Request(0, (5,), 100 * positions, 0)]) == 1


@contextmanager
def little_memory(room: int):
    """Let this process take so many bytes more and no others; Linux holds to it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def by_index(completions):
    return {completion.index: completion for completion in completions}


def test_slots_are_halved_when_memory_runs_out(model):
    requests = [Request(i, tuple(range(35, 55 + i)), 4, 0) for i in range(16)]
    expected = by_index(decode_padded(model, requests, GREEDY, frozenset(), 4))
    # It makes each slot take 125 MiB.
    long = Request(16, tuple(range(35, 235)) * 20, 4, 0)
    with little_memory(450 * 2**20):
        found = by_index(decode_slots(model, [*requests, long], GREEDY, frozenset(), 16))
    assert len(found.pop(16).tokens) == 4
    assert {i: c.tokens for i, c in found.items()} == {i: c.tokens for i, c in expected.items()}
    if sys.platform == "linux":
        assert max(completion.batch_size for completion in found.values()) < 16


def test_what_fits_nowhere_ends_as_error_and_the_rest_goes_on(model):
    requests = [Request(i, tuple(range(35, 55 + i)), 4, 0) for i in range(3)]
    expected = by_index(decode_padded(model, requests, GREEDY, frozenset(), 4))
    endless = Request(3, (36,) * 10, 40_000 if sys.platform == "linux" else 100, 0)
    with little_memory(450 * 2**20):
        found = by_index(decode_slots(model, [*requests, endless], GREEDY, frozenset(), 4))
    if sys.platform == "linux":
        assert (found[3].tokens, found[3].reason) == ((), "error")
    assert {i: found[i].tokens for i in range(3)} == {i: c.tokens for i, c in expected.items()}
