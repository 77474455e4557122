"""How probable tokens are as the next one after a prompt, for many prompts that begin alike."""

from collections.abc import Sequence
from typing import Any

import torch

from src.engines.local.attention import read, slot_attention
from src.engines.local.hardware import give_memory_back, is_out_of_memory
from src.engines.local.reading import Reading, SlotStore, Span, Takeover
from src.engines.local.sharing import shared_tokens

_PASS_TOKENS = 2_048
"""Most tokens that one pass reads, if that is more than one prompt."""


@torch.inference_mode()
def next_probabilities(
    model: Any, prompts: Sequence[Sequence[int]], tokens: Sequence[int], *, slots: bool
) -> torch.Tensor:
    """Compute the probability of each of some tokens after each prompt.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model.
    prompts : sequence of sequence of int
        Token ids, at least one each.
    tokens : sequence of int
        Ids whose probabilities are wanted.
    slots : bool
        Whether the model reads in slots (see `src.engines.local.support`), where a beginning that prompts
        share is read once a pass; else each prompt is read by itself.

    Returns
    -------
    Tensor, shape (prompts, tokens)
        Float64 on the CPU; NaN where the model's scores are no numbers.
    """
    found = torch.empty(len(prompts), len(tokens), dtype=torch.float64)
    order = sorted(range(len(prompts)), key=lambda i: tuple(prompts[i]))
    room, start = _PASS_TOKENS if slots else 0, 0
    while start < len(order):
        here = _pass([prompts[i] for i in order[start:]], room)
        batch = order[start : start + here]
        try:
            logits = _read(model, [prompts[i] for i in batch], slots)
        except (RuntimeError, MemoryError) as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            room //= 2
            give_memory_back(model.device)
            continue
        found[batch] = torch.softmax(logits.double(), -1)[:, list(tokens)].cpu()
        start += here
    return found


def _pass(prompts: Sequence[Sequence[int]], room: int) -> int:
    """Count the prompts that one pass reads: one at least."""
    read_now = len(prompts[0])
    for number in range(1, len(prompts)):
        read_now += len(prompts[number]) - shared_tokens(prompts[number - 1], prompts[number])
        if read_now > room:
            return number
    return len(prompts)


def _read(model: Any, prompts: Sequence[Sequence[int]], slots: bool) -> torch.Tensor:
    """Read the scores of the next token, shape (prompts, vocabulary)."""
    if not slots:
        (prompt,) = prompts
        ids = torch.tensor([list(prompt)], device=model.device)
        return model(ids, logits_to_keep=1).logits[:, -1]
    store = SlotStore(len(prompts), max(map(len, prompts)))
    spans, takeovers = [Span(0, 0, prompts[0])], []
    for slot in range(1, len(prompts)):
        shared = shared_tokens(prompts[slot - 1], prompts[slot])
        spans.append(Span(slot, shared, prompts[slot][shared:]))
        if shared:
            takeovers.append(Takeover(slot - 1, slot, shared))
    reading = Reading(store, spans, takeovers)
    with slot_attention(model):
        return read(model, reading, reading.ends)
