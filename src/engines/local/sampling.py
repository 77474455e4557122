"""Drawing the next token: one uniform number per response and step, from the response's own seed."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_NUCLEUS_FIRST_LOOK = 1024


def uniforms(seeds: NDArray[np.uint64], steps: NDArray[np.uint64] | int) -> NDArray[np.float64]:
    """Uniform numbers that depend on a seed and a step alone.

    SplitMix64 (Steele, Lea & Flood 2014, Fast splittable pseudorandom number generators) started from a
    scrambled seed, read at position `steps`.

    Parameters
    ----------
    seeds : ndarray of uint64, shape (n,)
        One seed per response.
    steps : ndarray of uint64, shape (n,), or int
        Position in the stream of each seed.

    Returns
    -------
    ndarray of float64, shape (n,)
        Numbers in [0, 1) on a grid of 2**-52.
    """
    gamma = np.uint64(0x9E3779B97F4A7C15)
    # At least one dimension: arithmetic modulo 2**64 is meant, and only scalars warn of it.
    state = _mix(seeds + gamma) + gamma * (np.atleast_1d(np.uint64(steps)) + np.uint64(1))
    return (_mix(state) >> np.uint64(12)).astype(np.float64) * 2.0**-52


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the finalizer of SplitMix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def seed_array(seeds: list[int]) -> NDArray[np.uint64]:
    """Seeds of any size as 64-bit numbers."""
    return np.array([seed & 0xFFFFFFFFFFFFFFFF for seed in seeds], dtype=np.uint64)


def next_tokens(
    logits: "torch.Tensor", uniform: "torch.Tensor", temperature: float, top_p: float
) -> "torch.Tensor":
    """Choose the next token of every sequence.

    Sampling inverts the distribution function over the vocabulary at the given uniform number, so a draw
    depends on the sequence's own logits and number and on nothing else in the batch.

    Parameters
    ----------
    logits : Tensor, shape (n, vocabulary)
        Scores of the next token.
    uniform : Tensor of float64, shape (n,)
        One number in [0, 1) per sequence; not used at temperature zero.
    temperature : float
        Divides the logits; zero takes the highest one.
    top_p : float
        Keep only the most probable tokens that together reach this probability; 1 keeps all.

    Returns
    -------
    Tensor of int64, shape (n,)
        Token ids.
    """
    if temperature == 0:
        return logits.argmax(-1)
    scaled = logits.float() / temperature
    if top_p >= 1:
        return _invert(scaled.softmax(-1), uniform)
    return _nucleus(scaled.softmax(-1), uniform, top_p)


def _nucleus(probabilities: "torch.Tensor", uniform: "torch.Tensor", top_p: float) -> "torch.Tensor":
    """Draw among the fewest tokens whose probabilities together reach `top_p`."""
    size = probabilities.shape[-1]
    top, index = probabilities.topk(min(_NUCLEUS_FIRST_LOOK, size), -1)
    if top.shape[-1] < size and bool((top.sum(-1) < top_p).any()):
        top, index = probabilities.sort(-1, descending=True)
    before = top.double().cumsum(-1) - top
    chosen = _invert(top.masked_fill(before >= top_p, 0), uniform)
    return index.gather(-1, chosen[:, None])[:, 0]


def _invert(weights: "torch.Tensor", uniform: "torch.Tensor") -> "torch.Tensor":
    """First index at which the running sum of weights exceeds the uniform share of their total."""
    import torch

    running = weights.cumsum(-1, dtype=torch.float64)
    target = uniform[:, None] * running[:, -1:]
    return torch.searchsorted(running, target, right=True)[:, 0].clamp(max=weights.shape[-1] - 1)
