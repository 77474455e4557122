"""Which models can be decoded in slots: those whose attention can be replaced and then scores as usual."""

from collections.abc import Sequence
from typing import Any

import torch

from src.engines.local.attention import read, slot_attention
from src.engines.local.reading import Reading, SlotStore, Span, Takeover
from src.engines.local.requests import Request
from src.engines.local.sharing import shared_tokens, sharing_order

_LAYERS = {"full_attention", "sliding_attention"}
_LENGTH_ROPES = {"dynamic", "longrope"}
_TRIED_TOKENS = 64
_TOLERANCE = {torch.float32: 1e-3}
_HALF_TOLERANCE = 0.1
"""Largest difference of scores, over their spread, that is put down to rounding."""


def why_not_slots(model: Any) -> str | None:
    """Find what in a model's design keeps it from being decoded in slots.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model.

    Returns
    -------
    str or None
        The reason in a few words; None if there is none.
    """
    config = model.config.get_text_config()
    if not model.is_backend_compatible():
        return "its attention cannot be replaced"
    if getattr(model, "_is_stateful", False):
        return "it carries a state from token to token"
    others = set(getattr(config, "layer_types", None) or ()) - _LAYERS
    if others:
        return f"it has layers of the kind {', '.join(sorted(others))}"
    if getattr(config, "num_kv_shared_layers", None):
        return "layers share keys and values"
    if getattr(config, "attention_chunk_size", None):
        return "its attention works in chunks"
    if _LENGTH_ROPES & _rope_types(getattr(config, "rope_parameters", None)):
        return "its positions depend on the longest sequence of a batch"
    return None


def scores_agree(model: Any, requests: Sequence[Request]) -> bool:
    """Try out whether two prompts score as usual if they are read in slots.

    Parameters
    ----------
    model : PreTrainedModel
        A model without a reason in `why_not_slots`.
    requests : sequence of Request
        Requests to come; the first two prompts in order are read, cut short, the second one taking over what
        it shares with the first.

    Returns
    -------
    bool
        Whether the scores of the next token agree up to rounding; not so if a score is no number.
    """
    first, second = ([*sharing_order(requests)] * 2)[:2]
    prompts = [request.prompt[:_TRIED_TOKENS] for request in (first, second)]
    shared = shared_tokens(*prompts)
    spans = [Span(0, 0, prompts[0]), Span(1, shared, prompts[1][shared:])]
    store = SlotStore(2, max(len(prompt) for prompt in prompts))
    reading = Reading(store, spans, [Takeover(0, 1, shared)])
    with torch.inference_mode():
        usual = [model(torch.tensor([p], device=model.device)).logits[0, -1:] for p in prompts]
        try:
            with slot_attention(model):
                found = read(model, reading, reading.ends)
        except (RuntimeError, TypeError, ValueError, AttributeError, LookupError):
            return False
    expected = torch.cat(usual).float()
    difference = (found - expected).std() / expected.std()
    return bool(difference < _TOLERANCE.get(model.dtype, _HALF_TOLERANCE))


def _rope_types(parameters: Any) -> set[str]:
    """Collect the kinds of rotary positions, of all layers or of each kind of layer."""
    if not isinstance(parameters, dict):
        return set()
    nested = [_rope_types(value) for value in parameters.values()]
    return set().union(*nested, {str(parameters.get("rope_type"))})
