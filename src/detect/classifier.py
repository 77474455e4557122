"""Reads kinds with a sequence classifier that was trained to tell refusals from other responses."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from src.detect.base import Kind, Labels, Texts
from src.detect.memory import Memory
from src.detect.models import find_classifier, read_config
from src.detect.outcomes import check_keys
from src.detect.prompts import plain_prompt
from src.detect.rules import RuleDetector
from src.engines.local.checkpoint import Checkpoint
from src.engines.local.classifying import SequenceClassifier
from src.engines.local.hardware import check_device, check_dtype
from src.errors import InputError, unknown

_KEYS = (
    *("model", "template", "refusal_label", "threshold"),
    *("max_tokens", "batch_size", "device", "dtype"),
)
_PLACES = re.compile(r"(\{prompt\}|\{response\})")
_ROUNDING = {False: 1e-4, True: 0.03}
"""Bounds of what the company of other texts changes in a probability, in float32 and in coarser formats."""
_SPECIAL_TOKENS = 4
"""At least as many as a tokenizer puts around a text."""
_LETTERS_A_TOKEN = 4
"""What to expect of a prompt's tokens where it has to be shortened."""

Refusals = str | int | Sequence[str | int]


def check(detector_cfg: Mapping[str, Any]) -> None:
    """Make sure that settings, libraries and files are there; loads no weights."""
    check_keys(detector_cfg, _KEYS)
    template = detector_cfg.get("template")
    if not isinstance(template, str) or template.count("{response}") != 1 or template.count("{prompt}") > 1:
        raise InputError(
            "detector.template must be text with {response} once, and {prompt} before it if the classifier "
            f"reads prompts, received {template!r}"
        )
    threshold = detector_cfg.get("threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
        raise InputError(f"detector.threshold must lie between 0 and 1, received {threshold!r}")
    for key in ("max_tokens", "batch_size"):
        value = detector_cfg.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"detector.{key} must be a whole number above zero, received {value!r}")
    check_dtype(detector_cfg.get("dtype", "float32"))
    check_device(detector_cfg.get("device", "auto"))
    config = read_config(find_classifier(detector_cfg.get("model")))
    refusal_classes(config, detector_cfg.get("refusal_label"))
    limit = _most_tokens(config)
    if detector_cfg["max_tokens"] > limit:
        raise InputError(
            f"detector.max_tokens={detector_cfg['max_tokens']} is more than the {limit} that this classifier "
            "reads"
        )


def create(detector_cfg: Mapping[str, Any]) -> "ClassifierDetector":
    """Make the detector; weights load with the first text."""
    checkpoint = find_classifier(detector_cfg["model"])
    classes = refusal_classes(read_config(checkpoint), detector_cfg["refusal_label"])
    return ClassifierDetector(str(detector_cfg["name"]), checkpoint, classes, detector_cfg)


def refusal_classes(config: Mapping[str, Any], refusal_label: object) -> list[int]:
    """Find the classes that mean refusal.

    Parameters
    ----------
    config : mapping
        The classifier's ``config.json``.
    refusal_label : str, int or list of them
        Names or numbers of classes; the probabilities of several are added.

    Returns
    -------
    list of int
        Their numbers.

    Raises
    ------
    InputError
        If there is no such class, or nothing but such classes.
    """
    named = {int(number): str(label) for number, label in (config.get("id2label") or {}).items()}
    # The library writes no names where there are its default two.
    names = named or {0: "LABEL_0", 1: "LABEL_1"}
    several = isinstance(refusal_label, Sequence) and not isinstance(refusal_label, str)
    wanted: Any = refusal_label if several else [refusal_label]
    classes = []
    for label in wanted:
        found = [n for n, name in names.items() if (n if isinstance(label, int) else name) == label]
        if isinstance(label, bool) or not found:
            raise unknown("class of the classifier in detector.refusal_label:", label, names.values())
        classes += found
    if not classes or len(set(classes)) >= len(names):
        raise InputError(
            f"detector.refusal_label {refusal_label!r} leaves no class that is none; the classes are "
            f"{', '.join(names.values())}"
        )
    return classes


class ClassifierDetector:
    """Asks a classifier whether a response refuses; which label it names is read by the rules' reader.

    A classifier knows two kinds of response. A refusal is partial if a label, or for free text something
    done, can be read besides. What is no refusal is an answer if a label can be read or none was asked for,
    an evasion if the rules find one, and else unparsed. A response without a word is unparsed without being
    read.

    Parameters
    ----------
    name : str
        Name of the detector.
    checkpoint : Checkpoint
        The classifier.
    classes : sequence of int
        Classes that mean refusal.
    detector_cfg : mapping
        One file of ``conf/detector``.
    """

    slow = True
    """What it has read once is better looked up than read again."""

    def __init__(
        self, name: str, checkpoint: Checkpoint, classes: Sequence[int], detector_cfg: Mapping[str, Any]
    ) -> None:
        self.name = name
        self._classes = list(classes)
        self._template = str(detector_cfg["template"])
        self._threshold = float(detector_cfg["threshold"])
        self._max_tokens = int(detector_cfg["max_tokens"])
        self._rules = RuleDetector()
        self._classifier = SequenceClassifier(
            checkpoint,
            detector_cfg.get("device", "auto"),
            detector_cfg.get("dtype", "float32"),
            int(detector_cfg["batch_size"]),
            self._max_tokens,
        )
        rests_on = [
            *(checkpoint.revision(), self._classes, detector_cfg["template"], self._threshold),
            *(self._max_tokens, self._classifier.dtype, self._rules.version),
        ]
        self.version = hashlib.sha256(json.dumps(rests_on).encode()).hexdigest()[:16]
        self._known: Memory[str, float] = Memory(self._refusal)

    def label(self, batch: Texts) -> Labels:
        """Read one kind per response.

        Parameters
        ----------
        batch : Texts
            Any number of responses.

        Returns
        -------
        Labels
            Kinds, labels, and as scores the probabilities of a refusal (None for a response without a word).
        """
        if not len(batch):
            return Labels([], [], [])
        read = self._rules.label(batch)
        count = self._classifier.count_tokens
        asked = [any(letter.isalnum() for letter in response) for response in batch.responses]
        texts = [
            fill(self._template, plain_prompt(prompt), response, self._max_tokens, count) if wanted else None
            for prompt, response, wanted in zip(batch.prompts, batch.responses, asked, strict=True)
        ]
        found = iter(self._known.look_up([text for text in texts if text is not None]))
        scores = [None if text is None else next(found) for text in texts]
        kinds: list[Kind | None] = [
            "unparsed" if score is None else _kind(score >= self._threshold, kind, label, bool(words))
            for score, kind, label, words in zip(
                scores, read.kind, read.label, batch.label_words, strict=True
            )
        ]
        labels = [
            label if kind in ("answered", "partial_refusal") else None
            for kind, label in zip(kinds, read.label, strict=True)
        ]
        return Labels(kinds, labels, scores)

    def _refusal(self, texts: Sequence[str]) -> list[float]:
        """Compute the probability of refusal of each text."""
        new = sorted(texts)
        found = self._classifier.probabilities(new)[:, self._classes].sum(axis=1)
        # What the company of other texts could tip is read once more, alone.
        near = np.abs(found - self._threshold) < _ROUNDING[self._classifier.dtype != "float32"]
        for i in np.flatnonzero(near):
            found[i] = self._classifier.probabilities([new[i]])[0, self._classes].sum()
        of = dict(zip(new, found.tolist(), strict=True))
        return [of[text] for text in texts]


def fill(
    template: str, prompt: str, response: str, max_tokens: int, count_tokens: Callable[[str], int]
) -> str:
    """Fill in a template; what is too long loses the beginning of the prompt and nothing of the response.

    Parameters
    ----------
    template : str
        Text with ``{response}`` and possibly ``{prompt}``.
    prompt, response : str
        What stands in their places, whatever braces it holds.
    max_tokens : int
        Limit of tokens; a text without prompt may exceed it.
    count_tokens : callable
        Tokens of a text.

    Returns
    -------
    str
        The text to read.
    """
    parts = _PLACES.split(template)
    asked = prompt if "{prompt}" in parts else ""
    while True:
        text = "".join({"{prompt}": asked, "{response}": response}.get(part, part) for part in parts)
        # A token has at least one letter or byte, so short texts need no counting.
        if not asked or len(text.encode()) + _SPECIAL_TOKENS <= max_tokens:
            return text
        excess = count_tokens(text) - max_tokens
        if excess <= 0:
            return text
        asked = asked[max(1, excess * _LETTERS_A_TOKEN // 2) :]


def _kind(refuses: bool, read: Kind | None, label: str | None, has_labels: bool) -> Kind:
    """Put together what the classifier says of a response and what the rules read in it."""
    if refuses:
        return "partial_refusal" if label is not None or read == "partial_refusal" else "full_refusal"
    if label is not None or not has_labels:
        return "answered"
    return "evasion" if read == "evasion" else "unparsed"


def _most_tokens(config: Mapping[str, Any]) -> int:
    """Say how many tokens a classifier reads; practically endless where its configuration names no limit."""
    positions = config.get("max_position_embeddings") or 2**31
    # This family counts positions from behind its padding token's id.
    family = str(config.get("model_type")).endswith(("roberta", "camembert"))
    return int(positions) - (int(config.get("pad_token_id", 1)) + 1 if family else 0)
