"""What one forward pass over many sequences reads: tokens side by side, each at its own place, no padding.

A slot is the part of the key/value store that one sequence owns. Everything but attention works on single
tokens, so the tokens of all sequences are given to the model as one long row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive tokens of one sequence to read."""

    slot: int
    """Where its keys and values are kept."""
    start: int
    """Position of the first token."""
    tokens: Sequence[int]
    """Token ids, at least one."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """A beginning that one slot takes over from another."""

    source: int
    """Slot that holds it, or will once the pass has written it."""
    target: int
    """Slot that gets it."""
    tokens: int
    """Number of positions."""


class SlotStore:
    """Keys and values of all layers, each of shape (slots, heads, positions, width), made when first written.

    Parameters
    ----------
    slots, positions : int
        Number of slots and tokens that each has room for.
    """

    def __init__(self, slots: int, positions: int) -> None:
        self.slots, self.positions = slots, positions
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def layer(self, index: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values, made like the first ones given, (1, heads, tokens, width)."""
        if index not in self._layers:
            # Zeros, since masked positions are multiplied by zero and must be numbers.
            self._layers[index] = (
                key.new_zeros(self.slots, key.shape[1], self.positions, key.shape[3]),
                value.new_zeros(self.slots, value.shape[1], self.positions, value.shape[3]),
            )
        return self._layers[index]

    def clear(self, slots: Sequence[int]) -> None:
        """Forget what some slots hold."""
        for parts in self._layers.values():
            for part in parts:
                part[list(slots)] = 0


class Reading:
    """One forward pass: where its tokens belong and what they may look at.

    Parameters
    ----------
    store : SlotStore
        Where keys and values are kept.
    spans : sequence of Span
        What is read, at most one span a slot; their tokens stand one after another.
    takeovers : sequence of Takeover
        Done in this order in each layer, right after the new keys and values are written, so a sequence can
        take over what another one reads in the same pass.

    Attributes
    ----------
    slots, places : Tensor of int64, shape (tokens,)
        Slot and position of each token.
    ends : Tensor of int64, shape (spans,)
        Where each span's last token stands in the row.
    last : Tensor of int64, shape (used,)
        The same by slot; zero, and of no meaning, for slots that read nothing.
    used, width : int
        The slots and positions that the pass touches lie below these.
    """

    def __init__(self, store: SlotStore, spans: Sequence[Span], takeovers: Sequence[Takeover]) -> None:
        self.store, self.spans, self.takeovers = store, spans, takeovers
        lengths = torch.tensor([len(span.tokens) for span in spans])
        starts = torch.tensor([span.start for span in spans])
        self.ends = lengths.cumsum(0) - 1
        row = torch.arange(int(lengths.sum()))
        self.slots = torch.tensor([span.slot for span in spans]).repeat_interleave(lengths)
        self.places = row + (starts - (self.ends + 1 - lengths)).repeat_interleave(lengths)
        self.used = int(self.slots.max()) + 1
        self.width = int(self.places.max()) + 1
        self.last = torch.zeros(self.used, dtype=torch.long)
        self.last[self.slots[self.ends]] = self.ends
        self._moved: dict[tuple[str, torch.device], torch.Tensor] = {}
        self._masks: dict[tuple[Any, ...], torch.Tensor] = {}

    def on(self, device: torch.device, name: str) -> torch.Tensor:
        """Return one of the attributes on a device."""
        if (name, device) not in self._moved:
            self._moved[name, device] = getattr(self, name).to(device)
        return self._moved[name, device]

    def last_mask(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Return zero where a slot's last token may look, else minus infinity; shape (used, 1, 1, width)."""
        return self._mask(None, self.places[self.last], self.width, window, like)[:, None, None]

    def span_mask(self, number: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Return the same for all tokens of a span but its last; shape (tokens, positions)."""
        span = self.spans[number]
        end = span.start + len(span.tokens) - 1
        return self._mask(number, torch.arange(span.start, end), end, window, like)

    def _mask(
        self, number: int | None, places: torch.Tensor, width: int, window: int | None, like: torch.Tensor
    ) -> torch.Tensor:
        """Make a mask once for all layers that need the same."""
        name = (number, window, like.device, like.dtype)
        if name not in self._masks:
            looked_at = torch.arange(width)
            hidden = looked_at > places[:, None]
            if window is not None:
                hidden |= looked_at <= places[:, None] - window
            mask = torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(hidden, -math.inf)
            self._masks[name] = mask.to(like.device)
        return self._masks[name]
