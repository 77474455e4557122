"""Chooses how a model is decoded: in slots where its design allows that, else in padded batches."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from src.engines.base import GenerationSettings
from src.engines.local.batches import by_length, slots_that_fit
from src.engines.local.packing import can_pack, pack_weights
from src.engines.local.padded import decode_padded
from src.engines.local.requests import Completion, Request
from src.engines.local.scoring import next_probabilities
from src.engines.local.slots import decode_slots
from src.engines.local.support import scores_agree, why_not_slots

_PADDED_BATCH = 32
_LOG = logging.getLogger(__name__)


class Decoder:
    """Continues sequences with one model.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model; its weights are packed in place where the processor gains from that.
    name : str
        What to call it in the log, which says why a model is not decoded in slots.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self._name = name
        self._why_padded = why_not_slots(model)
        self._tried = False
        if self._why_padded is None and can_pack(model):
            pack_weights(model)

    def run(
        self,
        requests: Sequence[Request],
        settings: GenerationSettings,
        stop_ids: frozenset[int],
        batch_size: int | None,
    ) -> Iterator[Completion]:
        """Continue sequences.

        Parameters
        ----------
        requests : sequence of Request
            What to continue.
        settings : GenerationSettings
            Temperature and nucleus.
        stop_ids : frozenset of int
            Tokens that end a sequence.
        batch_size : int or None
            Sequences decoded together at most; None leaves the choice open.

        Yields
        ------
        Completion
            One for each request, as they end.
        """
        if not requests:
            return
        if not self._tried:
            self._try(requests)
        if self._why_padded:
            yield from decode_padded(self._model, requests, settings, stop_ids, batch_size or _PADDED_BATCH)
            return
        for group in by_length(requests):
            slots = batch_size or slots_that_fit(self._model, group)
            yield from decode_slots(self._model, group, settings, stop_ids, slots)

    def next_probabilities(self, prompts: Sequence[tuple[int, ...]], tokens: Sequence[int]) -> Any:
        """Compute the probability of tokens as the next one after each prompt; see `scoring`."""
        if not self._tried:
            self._try([Request(i, prompt, 1, 0) for i, prompt in enumerate(prompts)])
        return next_probabilities(self._model, prompts, tokens, slots=self._why_padded is None)

    def _try(self, requests: Sequence[Request]) -> None:
        """See once whether slots give the usual scores."""
        self._tried = True
        if self._why_padded is None and not scores_agree(self._model, requests):
            self._why_padded = "its scores come out differently there"
        if self._why_padded:
            _LOG.warning("%s is decoded in padded batches, not in slots: %s", self._name, self._why_padded)
