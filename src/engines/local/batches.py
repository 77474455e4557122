"""How many sequences are decoded together: requests by length, slots by memory."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from src.engines.local.hardware import free_memory
from src.engines.local.requests import Request

_SHORTEST_CLASS = 256
_CPU_SLOTS = 64
"""A processor's matrix kernels gain little from more (docs/engines.md); a card's do."""
_CARD_SLOTS = 256
_SHARE_OF_MEMORY = 0.5


def by_length(requests: Sequence[Request]) -> list[list[Request]]:
    """Part requests into classes whose lengths, prompt and limit together, differ by a factor of two at most.

    Slots of one class have one size, so that a single long prompt does not take memory for every other one.

    Parameters
    ----------
    requests : sequence of Request
        In any order.

    Returns
    -------
    list of list of Request
        The longest class first, since memory that does not suffice should show early; all up to
        256 tokens are one class.
    """
    ordered = sorted(requests, key=_length_class, reverse=True)
    return [list(group) for _, group in groupby(ordered, key=_length_class)]


def slots_that_fit(model: Any, requests: Sequence[Request]) -> int:
    """Choose the number of slots for one class of requests.

    Parameters
    ----------
    model : PreTrainedModel
        A loaded model.
    requests : sequence of Request
        From `by_length`.

    Returns
    -------
    int
        As many as the device decodes well together; fewer, but at least one, if half of its free memory holds
        fewer.
    """
    wanted = _CPU_SLOTS if model.device.type == "cpu" else _CARD_SLOTS
    free = free_memory(model.device)
    if free is None:
        return wanted
    positions = max(len(request.prompt) + request.limit for request in requests)
    return max(1, min(wanted, int(free * _SHARE_OF_MEMORY) // (positions * _bytes_per_position(model)) - 1))


def _bytes_per_position(model: Any) -> int:
    """Memory of one token's keys and values in all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def _length_class(request: Request) -> int:
    # Lengths above 2**(k-1) and up to 2**k are one class.
    return (max(len(request.prompt) + request.limit, _SHORTEST_CLASS) - 1).bit_length()
