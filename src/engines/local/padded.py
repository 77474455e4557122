"""The plain way to decode, for any architecture: padded batches through the library's own ``generate``."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from src.engines.base import NO_MEMORY, NO_NUMBERS, FinishReason, GenerationSettings
from src.engines.local.hardware import give_memory_back, is_out_of_memory
from src.engines.local.requests import Completion, Request
from src.engines.local.sampling import next_tokens, seed_array, uniforms

if TYPE_CHECKING:
    import torch


def decode_padded(
    model: Any,
    requests: Sequence[Request],
    settings: GenerationSettings,
    stop_ids: frozenset[int],
    batch_size: int,
) -> Iterator[Completion]:
    """Continue sequences in batches of similar length, padded on the left.

    Parameters
    ----------
    model : PreTrainedModel
        Any causal language model.
    requests : sequence of Request
        What to continue.
    settings : GenerationSettings
        Temperature and nucleus.
    stop_ids : frozenset of int
        Tokens that end a sequence.
    batch_size : int
        Sequences in a batch; halved whenever memory runs out.

    Yields
    ------
    Completion
        One for each request, the longest prompts first.
    """
    waiting = sorted(requests, key=lambda r: (r.limit, len(r.prompt)), reverse=True)
    while waiting:
        limit = waiting[0].limit
        batch = [r for r in waiting[:batch_size] if r.limit == limit]
        try:
            completions = _decode_batch(model, batch, settings, stop_ids)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            completions = [] if len(batch) > 1 else [Completion(batch[0].index, (), "error", 1, NO_MEMORY)]
        if not completions:
            batch_size = len(batch) // 2
            give_memory_back(model.device)
            continue
        waiting = waiting[len(batch) :]
        yield from completions


def _decode_batch(
    model: Any, batch: Sequence[Request], settings: GenerationSettings, stop_ids: frozenset[int]
) -> list[Completion]:
    import torch
    from transformers import GenerationConfig

    width = max(len(r.prompt) for r in batch)
    pad = min(stop_ids, default=0)
    ids = torch.tensor([[pad] * (width - len(r.prompt)) + list(r.prompt) for r in batch])
    mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in batch])
    chooser = _Chooser([r.seed for r in batch], width, settings, pad)
    ends = _Ends(batch, width, stop_ids)
    # A configuration of our own: the model's may hold penalties that the study does not know of.
    config = GenerationConfig(
        max_new_tokens=batch[0].limit,
        do_sample=False,
        eos_token_id=sorted(stop_ids) or None,
        pad_token_id=pad,
        bos_token_id=model.generation_config.bos_token_id,
    )
    with torch.inference_mode():
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=[chooser],
            stopping_criteria=[ends],
        )
    return [
        Completion(request.index, (), "error", len(batch), NO_NUMBERS)
        if bad
        else Completion(request.index, *ends.found[place], len(batch))
        for place, (request, bad) in enumerate(zip(batch, chooser.broken.tolist(), strict=True))
    ]


class _Ends:
    """Says which sequences have ended, and keeps their tokens and why; all end at the limit."""

    def __init__(self, batch: Sequence[Request], prompt_width: int, stop_ids: frozenset[int]) -> None:
        self._batch = batch
        self._prompt_width = prompt_width
        self._stop_ids = stop_ids
        self.found: dict[int, tuple[tuple[int, ...], FinishReason]] = {}

    def __call__(self, input_ids: "torch.Tensor", scores: object, **_: object) -> "torch.Tensor":
        import torch

        for place, new in enumerate(input_ids[:, self._prompt_width :].tolist()):
            reason = None if place in self.found else self._batch[place].why_ends(new, self._stop_ids)
            if reason:
                self.found[place] = tuple(new), reason
        return torch.tensor([place in self.found for place in range(len(input_ids))], device=input_ids.device)


class _Chooser:
    """Leaves one possible token per sequence, drawn with the sequence's own seed."""

    def __init__(self, seeds: list[int], prompt_width: int, settings: GenerationSettings, pad: int) -> None:
        import torch

        self._seeds = seed_array(seeds)
        self._prompt_width = prompt_width
        self._settings = settings
        self._pad = pad
        self.broken = torch.zeros(len(seeds), dtype=torch.bool)

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        broken = scores.isnan().any(-1)
        self.broken |= broken.cpu()
        uniform = uniforms(self._seeds, input_ids.shape[1] - self._prompt_width)
        tokens = next_tokens(
            scores.masked_fill(broken[:, None], 0),
            torch.from_numpy(uniform).to(scores.device),
            self._settings.temperature,
            self._settings.top_p,
        )
        # A sequence without numbers ends at once.
        tokens = tokens.masked_fill(broken, self._pad)
        return torch.full_like(scores, -torch.inf).scatter_(-1, tokens[:, None], 0)
