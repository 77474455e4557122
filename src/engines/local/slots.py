"""Decoding many sequences in few, always full slots, each distinct beginning of a prompt read once.

Every step is one forward pass. It reads one token of each sequence under way and, for each slot that became
free, the part of the next prompt that the prompt before it does not have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from src.engines.base import NO_MEMORY, NO_NUMBERS, FinishReason, GenerationSettings
from src.engines.local.attention import read, slot_attention
from src.engines.local.hardware import give_memory_back, is_out_of_memory
from src.engines.local.reading import Reading, SlotStore, Span, Takeover
from src.engines.local.requests import Completion, Request
from src.engines.local.sampling import next_tokens, seed_array, uniforms
from src.engines.local.sharing import shared_tokens, sharing_order

_PASS_TOKENS = 512
"""Most tokens that one pass reads besides the first of each sequence."""


def decode_slots(
    model: Any,
    requests: Sequence[Request],
    settings: GenerationSettings,
    stop_ids: frozenset[int],
    slots: int,
) -> Iterator[Completion]:
    """Continue sequences, each as soon as a slot is free.

    Parameters
    ----------
    model : PreTrainedModel
        A model that passed `reads_slots`.
    requests : sequence of Request
        What to continue; all get slots of the same size, so their lengths should not differ much.
    settings : GenerationSettings
        Temperature and nucleus.
    stop_ids : frozenset of int
        Tokens that end a sequence.
    slots : int
        Sequences decoded together at most; halved whenever memory runs out. What does not fit even alone ends
        as ``error``.

    Yields
    ------
    Completion
        One for each request, as they end.
    """
    waiting = {request.index: request for request in sharing_order(requests)}
    room = slots
    while waiting:
        room = min(room, len(waiting))
        decoder = _Decoder(model, list(waiting.values()), settings, stop_ids, room)
        try:
            for completion in decoder.run():
                del waiting[completion.index]
                yield completion
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            room //= 2
        # Outside of the handler, whose traceback would hold on to the store.
        del decoder
        if not room:
            # The longest request decides how large a slot is.
            lost = max(waiting.values(), key=lambda request: len(request.prompt) + request.limit)
            del waiting[lost.index]
            yield Completion(lost.index, (), "error", 1, NO_MEMORY)
            room = slots
        give_memory_back(model.device)


@dataclass(slots=True)
class _Sequence:
    """A request under way."""

    request: Request
    slot: int
    tokens: list[int]
    """Its prompt and what was written."""
    taken: int
    """Number of tokens whose keys and values were taken over."""
    read: int
    """Number of tokens whose keys and values the slot holds."""


class _Decoder:
    """One store, the sequences in its slots, and those that wait for one."""

    def __init__(
        self,
        model: Any,
        requests: list[Request],
        settings: GenerationSettings,
        stop_ids: frozenset[int],
        slots: int,
    ) -> None:
        self._model = model
        self._settings = settings
        self._stop_ids = stop_ids
        self._queue = requests[::-1]
        # The spare slot keeps what was read of the latest prompt, for the next one to take over.
        self._store = SlotStore(slots + 1, max(len(r.prompt) + r.limit for r in requests))
        self._latest: tuple[int, ...] = ()
        # Requests that take nothing over, because they ended without numbers when they did.
        self._alone: set[int] = set()
        self._spare = slots
        self._free = list(range(slots))
        self._held: list[_Sequence] = []

    @torch.inference_mode()
    def run(self) -> Iterator[Completion]:
        """Yield every request's completion."""
        with slot_attention(self._model):
            while self._queue or self._held:
                yield from self._step(*self._plan())

    def _plan(self) -> tuple[list[Span], list[Takeover]]:
        """Decide what the next pass reads: what is unread in the slots, then new prompts."""
        room, spans, takeovers = _PASS_TOKENS, [], []
        donor = self._spare
        for sequence in self._held:
            spans.append(_span(sequence, room))
            room -= len(spans[-1].tokens) - 1
        while self._queue and self._free and room:
            request, slot = self._queue.pop(), self._free.pop(0)
            alone = request.index in self._alone
            shared = 0 if alone else shared_tokens(self._latest, request.prompt)
            if shared:
                takeovers.append(Takeover(donor, slot, shared))
            sequence = _Sequence(request, slot, list(request.prompt), shared, shared)
            self._held.append(sequence)
            spans.append(_span(sequence, room))
            room -= len(spans[-1].tokens) - 1
            donor, self._latest = slot, request.prompt[: shared + len(spans[-1].tokens)]
        if donor != self._spare:
            takeovers.append(Takeover(donor, self._spare, len(self._latest)))
        return spans, takeovers

    def _step(self, spans: list[Span], takeovers: list[Takeover]) -> list[Completion]:
        """Read, write one token in every slot that has been read to its end, and say what ended."""
        reading = Reading(self._store, spans, takeovers)
        for sequence, span in zip(self._held, spans, strict=True):
            sequence.read += len(span.tokens)
        ready = [place for place, sequence in enumerate(self._held) if sequence.read == len(sequence.tokens)]
        writers = [self._held[place] for place in ready]
        # One score at least is asked for; a pass may only read a part of a long prompt.
        logits = read(self._model, reading, reading.ends[ready or [0]])[: len(ready)]
        tokens = self._choose(writers, logits).tolist()
        # A sum is a number only if every part is one; much quicker than asking each part.
        broken = logits.sum(-1).isnan().tolist()
        done, freed = [], []
        for sequence, token, bad in zip(writers, tokens, broken, strict=True):
            reason: FinishReason | None = "error" if bad else self._go_on(sequence, token)
            if reason is None:
                continue
            freed.append(sequence.slot)
            request = sequence.request
            if bad and sequence.taken:
                # What it took over may be to blame: masked attention spreads what is no number.
                self._alone.add(request.index)
                self._queue.append(request)
            else:
                new = () if bad else tuple(sequence.tokens[len(request.prompt) :])
                done.append(Completion(request.index, new, reason, len(spans), NO_NUMBERS if bad else ""))
        self._store.clear([s.slot for s, bad in zip(writers, broken, strict=True) if bad])
        self._held = [sequence for sequence in self._held if sequence.slot not in freed]
        self._free = sorted([*self._free, *freed])
        return done

    def _choose(self, writers: list[_Sequence], logits: torch.Tensor) -> torch.Tensor:
        seeds = seed_array([sequence.request.seed for sequence in writers])
        steps = np.array([len(s.tokens) - len(s.request.prompt) for s in writers], dtype=np.uint64)
        uniform = torch.from_numpy(uniforms(seeds, steps)).to(logits.device)
        return next_tokens(logits, uniform, self._settings.temperature, self._settings.top_p)

    def _go_on(self, sequence: _Sequence, token: int) -> FinishReason | None:
        """Append a token; say why the sequence ends with it, if it does."""
        sequence.tokens.append(token)
        return sequence.request.why_ends(sequence.tokens[len(sequence.request.prompt) :], self._stop_ids)


def _span(sequence: _Sequence, room: int) -> Span:
    """Take what is unread of a sequence: one token and as many more as there is room for."""
    return Span(sequence.slot, sequence.read, sequence.tokens[sequence.read : sequence.read + 1 + room])
