"""Attention over slots, plugged into the transformers library's models by its own interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from src.engines.local.reading import Reading

_NAME = "whyrefuse_slots"


@contextmanager
def slot_attention(model: Any) -> Iterator[None]:
    """Let a model attend to slots within a ``with`` block.

    Parameters
    ----------
    model : PreTrainedModel
        A model whose attention can be replaced (`why_not_slots`).

    Yields
    ------
    None
        `read` can be called meanwhile; nothing else should call the model.
    """
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def read(model: Any, reading: Reading, ends: torch.Tensor) -> torch.Tensor:
    """Run one forward pass.

    Parameters
    ----------
    model : PreTrainedModel
        Within `slot_attention`.
    reading : Reading
        What it reads.
    ends : Tensor of int64, shape (n,)
        Places in the row of tokens after which scores are wanted.

    Returns
    -------
    Tensor of float32, shape (n, vocabulary)
        Scores of what follows.
    """
    tokens = [token for span in reading.spans for token in span.tokens]
    output = model(
        input_ids=torch.tensor([tokens], device=model.device),
        position_ids=reading.places[None].to(model.device),
        use_cache=False,
        logits_to_keep=ends.to(model.device),
        reading=reading,
    )
    return output.logits[0].float()


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    reading: Reading,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Write one layer's new keys and values and attend to the slots.

    Parameters
    ----------
    module : Module
        The attention module; its ``layer_idx`` names the layer.
    query, key, value : Tensor, shape (1, heads, tokens, width)
        Of all spans' tokens.
    attention_mask : None
        Not used: `reading` says what may be looked at.
    reading : Reading
        The pass.
    scaling, sliding_window, softcap
        As the transformers library gives them to every attention function.

    Returns
    -------
    Tensor, shape (1, tokens, heads, width)
        What attention gives for each token.
    None
        In place of attention weights.
    """
    keys, values = reading.store.layer(module.layer_idx, key, value)
    slots, places, last, ends = (reading.on(keys.device, n) for n in ("slots", "places", "last", "ends"))
    keys[slots, :, places], values[slots, :, places] = key[0].transpose(0, 1), value[0].transpose(0, 1)
    for takeover in reading.takeovers:
        for part in (keys, values):
            part[takeover.target, :, : takeover.tokens] = part[takeover.source, :, : takeover.tokens]

    # Heads whose queries look at the same keys are grouped, so that no key is repeated.
    grouped = (keys.shape[1], query.shape[1] // keys.shape[1])
    result = query.new_empty(query.shape[2], query.shape[1], values.shape[3])
    # The last token of every slot at once, a group as if it were consecutive tokens.
    asked = query[0].transpose(0, 1)[last].unflatten(1, grouped)
    mask = reading.last_mask(sliding_window, query)
    seen = [part[: reading.used, :, : reading.width] for part in (keys, values)]
    found = _weighted(asked, seen[0], seen[1], mask, scaling, softcap)
    result[ends] = found.flatten(1, 2)[slots[ends]]
    # Earlier tokens of spans longer than one: few, since most sequences go on by one.
    begin = 0
    for number, span in enumerate(reading.spans):
        count = len(span.tokens) - 1
        if count:
            asked = query[0, :, begin : begin + count].unflatten(0, grouped)
            mask = reading.span_mask(number, sliding_window, query)
            seen = [part[span.slot, :, None, : span.start + count] for part in (keys, values)]
            seen = [part.expand(-1, grouped[1], -1, -1) for part in seen]
            found = _weighted(asked, seen[0], seen[1], mask, scaling, softcap)
            result[begin : begin + count] = found.flatten(0, 1).transpose(0, 1)
        begin += count + 1
    return result[None], None


def _weighted(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """Attend; by hand where scores are capped, which the fused kernels do not know."""
    if softcap is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = torch.tanh(scores / softcap) * softcap + mask
    return scores.softmax(-1, dtype=torch.float32).to(query.dtype) @ value


AttentionInterface.register(_NAME, attend)
