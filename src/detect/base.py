"""The interface that every detector fulfils: columns of text in, columns of outcomes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Outcome = Literal["answered", "refused", "unparsed"]
LabelWords = Mapping[str, Sequence[str]]
"""Each label of a task with the words that stand for it in an answer."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Responses to judge, as columns of one length."""

    responses: Sequence[str]
    """What the models wrote."""
    prompts: Sequence[str | None]
    """What they were asked; None where unknown."""
    label_words: Sequence[LabelWords | None]
    """The labels they had to choose from; None for free text."""
    finish_reasons: Sequence[str | None]
    """``stop``, ``length`` (cut by the token limit) or ``error``; None where unknown."""

    @classmethod
    def of(cls, responses: Sequence[str]) -> "Texts":
        """Take free text of which nothing else is known."""
        unknown = [None] * len(responses)
        return cls(responses, unknown, unknown, unknown)

    def __len__(self) -> int:
        """Count the responses."""
        return len(self.responses)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a detector reads in the responses, in their order."""

    outcome: list[Outcome]
    """``answered``: one label can be read, or free text that does not decline; ``refused``: declines or
    evades the task; ``unparsed``: neither, such as empty, contradictory or off the subject."""
    label: list[str | None]
    """The label of an answer; None where there is none, and for every other outcome."""


class Detector(Protocol):
    """Reads outcomes. The same text, prompt and version give the same outcome in any batch."""

    @property
    def name(self) -> str:
        """Name of the detector, as in ``conf/detector``."""
        ...

    @property
    def version(self) -> str:
        """Fingerprint of rules, weights and settings: changes whenever an outcome can."""
        ...

    def label(self, batch: Texts) -> Labels:
        """Read one outcome per response."""
        ...
