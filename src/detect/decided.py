"""Tells when the beginning of a response decides how the rules will read the whole, so that it may end there.

The rules themselves are asked: a beginning decides if it holds a complete statement and nothing that might
follow, neither a refusal nor any label nor both nor the end of a quotation, makes them read it otherwise.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from src.detect.base import LabelWords, Outcome
from src.detect.outcomes import outcome_of, refused_setting
from src.detect.rules import RuleDetector
from src.errors import InputError

_STATEMENT_END = re.compile(r"[.!?](?=\s|$)")
_REFUSAL = "I cannot answer that."


def check_decides(detector_cfg: Mapping[str, Any]) -> None:
    """Make sure that what ends responses early is what reads them afterwards.

    Parameters
    ----------
    detector_cfg : mapping
        One file of ``conf/detector``.

    Raises
    ------
    InputError
        If that is not the rules as they come, or a refusal stays open to its end.
    """
    name, method = detector_cfg.get("name"), detector_cfg.get("method") or detector_cfg.get("name")
    if method != "rules" or detector_cfg.get("refusal_patterns") or detector_cfg.get("answer_patterns"):
        raise InputError(
            "generation.stop_when_decided goes by the rules as they come, and detector "
            f"{name!r} is another or has patterns of its own; leave it false, or use detector=rules"
        )
    if refused_setting(detector_cfg) == "full":
        raise InputError(
            "generation.stop_when_decided cannot be used with detector.refused='full': whether a refusal is "
            "full shows only at its end; leave it false, or use detector.refused=any"
        )


class Decided:
    """Whether a response's beginning decides its outcome and, in an answer, its label.

    Parameters
    ----------
    prompt : str
        What was asked; what a response repeats of it does not count.
    label_words : mapping
        The labels to choose from.
    rules : RuleDetector
        The rules as they come; one for all responses, so that it reads each text once.
    """

    def __init__(self, prompt: str, label_words: LabelWords, rules: RuleDetector) -> None:
        self._prompt = prompt
        self._label_words = label_words
        self._rules = rules

    def __call__(self, beginning: str) -> bool:
        """Say whether writing may end.

        Parameters
        ----------
        beginning : str
            The response so far.

        Returns
        -------
        bool
            True if nothing tried changes its outcome, or the label of an answer.
        """
        ends = [end.end() for end in _STATEMENT_END.finditer(beginning)]
        if not ends:
            return False
        found = self._read(beginning)
        if found[0] == "unparsed":
            return False
        complete = beginning[: ends[-1]]
        return all(self._read(f"{complete}{more}") == found for more in self._continuations())

    def _continuations(self) -> Iterator[str]:
        """Give what is tried after the complete statements: nothing, then what might change their reading."""
        yield from ("", '" it says.', "' it says.", "` it says.", f" {_REFUSAL}")
        for words in self._label_words.values():
            yield f" It is {words[0]}."
            yield f" It is {words[0]}. {_REFUSAL}"

    def _read(self, text: str) -> tuple[Outcome, str | None]:
        verdict = self._rules.explain(text, self._prompt, self._label_words)
        outcome = outcome_of(verdict.kind, verdict.label)
        return outcome, verdict.label if outcome == "answered" else None
