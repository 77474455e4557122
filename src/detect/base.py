"""The interface that every detector fulfils: columns of text in, columns of kinds out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["full_refusal", "partial_refusal", "answered", "evasion", "unparsed"]
"""What a response does with the request; docs/labelling.md has the criteria."""
Outcome = Literal["answered", "refused", "unparsed"]
"""What a kind counts as; `src.detect.outcomes` derives it."""
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
    """``stop``, ``length`` (cut by the limit), ``decided`` (not cut) or ``error``; None where unknown."""

    @classmethod
    def of(cls, responses: Sequence[str]) -> "Texts":
        """Take free text of which nothing else is known."""
        unknown = [None] * len(responses)
        return cls(responses, unknown, unknown, unknown)

    def take(self, rows: Sequence[int]) -> "Texts":
        """Take some of the responses, in the order of `rows`."""
        return Texts(
            [self.responses[row] for row in rows],
            [self.prompts[row] for row in rows],
            [self.label_words[row] for row in rows],
            [self.finish_reasons[row] for row in rows],
        )

    def __len__(self) -> int:
        """Count the responses."""
        return len(self.responses)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a detector reads in the responses, in their order."""

    kind: list[Kind | None]
    """One kind a response; None where the detector itself gives no verdict, such as a judge's non-answer."""
    label: list[str | None]
    """The task's label that is read in an answer or beside a refusal; None where there is none."""
    score: list[float | None] | None = None
    """The detector's own measure of refusal, if it has one."""
    reason: list[str] | None = None
    """What decided, in words that a user can check, if the detector can say it: a rule and its phrase."""


class Detector(Protocol):
    """Reads kinds. The same text, prompt and version give the same kind in any batch."""

    @property
    def name(self) -> str:
        """Name of the detector, as in ``conf/detector``."""
        ...

    @property
    def version(self) -> str:
        """Fingerprint of rules, weights and settings: changes whenever a kind can."""
        ...

    def label(self, batch: Texts) -> Labels:
        """Read one kind per response."""
        ...
