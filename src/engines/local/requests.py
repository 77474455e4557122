"""What a decoder is asked for and what it gives back, in token ids."""

from dataclasses import dataclass

from src.engines.base import FinishReason


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
