"""What a decoder is asked for and what it gives back, in token ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from src.engines.base import FinishReason

ASKED_EVERY = 8
"""New tokens after which it is asked again whether they decide; reading them takes time of its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to continue."""

    index: int
    """Place of the job it belongs to."""
    prompt: tuple[int, ...]
    """Token ids to read, at least one."""
    limit: int
    """Most new tokens, at least one."""
    seed: int
    """Seed of its draws."""
    decided: Callable[[Sequence[int]], bool] | None = None
    """Whether its new tokens decide the outcome; None: never."""

    def why_ends(self, new: Sequence[int], stop_ids: frozenset[int]) -> FinishReason | None:
        """Say why the sequence ends with the last of its new tokens; None if it goes on."""
        if new[-1] in stop_ids:
            return "stop"
        if len(new) == self.limit:
            return "length"
        if self.decided is not None and len(new) % ASKED_EVERY == 0 and self.decided(new):
            return "decided"
        return None


@dataclass(frozen=True, slots=True)
class Completion:
    """How a sequence went on."""

    index: int
    """`Request.index`."""
    tokens: tuple[int, ...]
    """New token ids, the end token included."""
    reason: FinishReason
    """Why it ended; ``error`` if the model gave no number for a token or memory ran out."""
    batch_size: int
    """Sequences decoded together with this one, itself included."""
    cause: str = ""
    """Of an ``error``: `NO_NUMBERS` or `NO_MEMORY`."""
