"""Reads which of a task's labels an answer gives."""

import re
from typing import NamedTuple

from src.detect.base import LabelWords
from src.detect.screening import Held, Search
from src.detect.text import normalise
from src.errors import InputError

_EDGES = " .,:;!'\"()[]{}-\n"
_BEFORE = 100
"""Characters before a label word that are read with it."""

# These words also say other things in the middle of a sentence.
_BARE = frozenset({"yes", "no", "true", "false", "maybe"})
_STOP = re.compile(r"[.!?\n]")
_BARE_LEAD = re.compile(r"(?=[^\w ]|$| (?:it|this|that|the|i|they|he|she|there|most|because)\b)")

_NEGATED = Search(
    r"(?:\b(?:not|never|nor|neither|cannot|hardly|nothing|rather than|instead of|far from)|n't) "
    r"(?:(?!(?:and|but|because|so|since|only|just|merely|overstate|stress|deny|hesitate|"
    r"tell you|how)\b)[\w']+ ){0,6}$|"
    r"\b(?:no|non|without|less) (?:(?!doubt|question)[\w']+ )?$"
)
_TRUTHS = {"true": "false", "false": "true"}
"""Words whose negation says the other one, however many labels there are."""
_OPEN_WORDS = ("undetermined", "neutral", "maybe")
"""Label words of the label that says: it cannot be told."""
_NOT_NECESSARILY = Search(
    r"\b(?:not|n't) (?:be )?(?:necessarily|always) (?:\w+ ){0,2}$|\b(?:may|might) (?:or may not )?be $"
)
_OF_ITSELF = Search(
    r"\b(?:i'm|i am|i was|i've been|we're|i'd be)(?: (?:not|being|also|just|\w+ly|\w+ (?:or|and)))* $"
)
_OWN_CLAUSE = re.compile(
    r"[,.;!]? ?(?:but )?(?:(?:i'm|i am) (?:\w{2,20}ly |so |very )?(?:sorry|afraid i|here|happy|glad|"
    r"unable|not able)|"
    r"(?:i'd|i would|i'll) (?:be|help|love|like|rather)|i (?![\w']+ (?:imagine|complain|think|see|find|wait|"
    r"believe)\b)(?:can|could|will)(?:n't|'t|not)?|sorry|thank)\b"
)
"""A clause about the one who answers: a yes or no before it is no answer."""
_PREDICATED = re.compile(
    r"(?:\b(?:is|are|was|were|be|seems|sounds|appears|feels|reads as|find (?:this|it|that)|considered|as)|'s)"
    r"(?: (?:\w{2,20}ly|very|quite|rather|indeed|an?|the|somewhat|a bit|so|too|also|just)){0,3} $"
)
_UNDECIDED = Search(r"\b(?:whether|if) (?:[\w']+ ){0,10}$")
_SAID_OF = re.compile(r"(?:\b(?:is|are|be|was)|'s) (?:\w+ ){0,2}$")
_COMPARED = (" more ",)
_TERMS = ("the word ", "the term ")
_OF_ME = re.compile(r" of (?:me|us)\b")
_OF_TERM = re.compile(r" (?:is|as|can|means|has|was|refers|in)\b")
_CONTRADICTION = ""
"""What "No, it is offensive" gives: no label, whatever stands further on."""
_LISTED = re.compile(r"[ ,]*(?:/|\||,|\n|\b(?:or|nor|and|and/or|vs|versus)\b)[ ,]*(?:or |an? )?")
_MARKED = re.compile(
    r"\b(?:answer|label|verdict|classification|category|rating|judge?ment|conclusion|output|decision|"
    r"response)(?: to (?:this|that|the|your) (?:question|task))?(?: (?:is|would be|"
    r"should be))?\W{1,4}(?:(?:clearly|simply|that|it is|this is|an?|the) )*$"
)
_CONCLUDED = re.compile(
    r"\b(?:so|therefore|thus|hence|overall|in conclusion|in summary|ultimately|in short|finally|"
    r"i(?:'d| would|'ll| will)? (?:\w+ly )?(?:say|call|label|classify|rate|describe|consider|choose|pick|"
    r"go with|think|believe|conclude|judge)),? (?:[\w']+,? ){0,8}$"
)
_LEAD_IN = re.compile(
    r"(?:(?:sure|ok|okay|well|certainly|of course|in my opinion|to me|\d{1,2})\W{1,3}|"
    r"(?:i would|i'd|i|say|call|think|believe|that|this|it|it's|that's|the|is|seems|sounds|appears|can be|"
    r"may be|would be|to be|considered|classified|described|as|quite|very|clearly|somewhat|definitely|"
    r"generally|an?|given|following|above|first|second|two|claim|claims|sentences|statements|sentence|"
    r"statement|text|message|comment|remark|tone|reply|hypothesis|"
    r"premise|relation|relationship)\b[ :]{0,2}){0,10}"
)


SEARCHES = (_NEGATED, _NOT_NECESSARILY, _OF_ITSELF, _UNDECIDED)
"""What is looked for around a label word."""
_EVERYTHING: Held = frozenset(SEARCHES)


class _Mention(NamedTuple):
    """A label word in an answer."""

    word: str
    label: str
    start: int
    end: int
    bare: bool


class LabelReader:
    """Finds the label that an answer settles on.

    Longer label words are read first and whole words only. A negated word stands for the other of two labels
    and for none of several. What settles, in this order: the last label after "answer:" or the like; a label
    that opens the answer; a label after "therefore", "I would say" or the like; one label and no other.

    Parameters
    ----------
    label_words : mapping
        Each label with the words that stand for it.

    Raises
    ------
    InputError
        If a word is empty or stands for two labels.
    """

    def __init__(self, label_words: LabelWords) -> None:
        self._label_of: dict[str, str] = {}
        for label, words in label_words.items():
            for word in words:
                plain = normalise(str(word))
                known = self._label_of.setdefault(plain, label)
                if not plain or known != label:
                    said = f"stands for both {known!r} and {label!r}" if plain else f"of {label!r} is empty"
                    raise InputError(f"label word {str(word)!r} {said}; each label needs words of its own")
        self.words = frozenset(self._label_of)
        labels = list(label_words)
        self._other = dict(zip(labels, reversed(labels), strict=True)) if len(labels) == 2 else {}
        self.open_label = next((self._label_of[word] for word in _OPEN_WORDS if word in self._label_of), None)
        self._word = _whole_words(sorted(self._label_of, key=len, reverse=True))

    def read(self, text: str, held: Held) -> str | None:
        """Read the label.

        Parameters
        ----------
        text : str
            In plain form, without quotations.
        held : frozenset of Search
            Those of `SEARCHES` that can find something in it.

        Returns
        -------
        str or None
            None if the text settles on no label.
        """
        text = text.strip(_EDGES)
        exact = self._label_of.get(text)
        if exact is not None:
            return exact
        if "?" in text:
            text = _without_questions(text).strip(_EDGES)
            held = _EVERYTHING  # what is left stands beside other words
        mentions, denied = self._mentions(text, held)
        if not mentions:
            return None
        plain = [m for m in mentions if not m.bare]
        if len(plain) == len(mentions) and len({m.label for m in plain}) <= 1:
            label = _only(plain)
            return None if label in denied else label
        marked = [m for m in mentions if _MARKED.search(text, max(0, m.start - _BEFORE), m.start)]
        if marked:
            return marked[-1].label
        label = _lead(text, mentions, plain)
        if label is None:
            label = _concluded(text, plain) or _only(plain or _truths(text, mentions))
        if label is None:
            label = _only(_predicated(text, plain))
        return None if label == _CONTRADICTION or label in denied else label

    def _mentions(self, text: str, held: Held) -> tuple[list[_Mention], set[str | None]]:
        """Find the label words that are meant, with the labels that they then stand for.

        Beside them stand the labels that are denied and for whose denial no other label stands.
        """
        mentions: list[_Mention] = []
        denied: set[str | None] = set()
        found = list(self._word.finditer(text))
        if not found:
            return mentions, denied
        labels = [self._label_of[word.group()] for word in found]
        listed = _listed(text, found, labels) if len(found) > 1 else ()
        for i, word in enumerate(found):
            label: str | None = labels[i]
            said, (start, end) = word.group(), word.span()
            before = text[start - _BEFORE if start > _BEFORE else 0 : start]
            if i in listed or _says_nothing(before, text, end, held):
                continue
            if self.open_label is not None and _NOT_NECESSARILY.find(before, held):
                label, said = self.open_label, "not necessarily"
            elif _NEGATED.find(before, held):
                label = self._other.get(labels[i]) or self._label_of.get(_TRUTHS.get(said, ""))
                if label is None:
                    denied.add(labels[i])
            if label is not None:
                mentions.append(_Mention(said, label, start, end, _is_bare(said)))
        return mentions, denied


def _says_nothing(before: str, text: str, end: int, held: Held) -> bool:
    """Whether a label word says nothing of the item: asked, compared, said of the speaker or of the word."""
    return (
        _UNDECIDED.find(before, held) is not None
        or before.endswith(_COMPARED)
        or _OF_ITSELF.find(before, held) is not None
        or (text.startswith(" of ", end) and _OF_ME.match(text, end) is not None)
        or (before.endswith(_TERMS) and _OF_TERM.match(text, end) is not None)
    )


def _whole_words(words: list[str]) -> re.Pattern[str]:
    """Match the first word of several that fits, beginning with its letter, which the search can skip to."""
    by_letter: dict[str, list[str]] = {}
    for word in words:
        by_letter.setdefault(word[0], []).append(re.escape(word[1:]))
    begun = [rf"{re.escape(a)}(?<!\w{re.escape(a)})(?:{'|'.join(rest)})" for a, rest in by_letter.items()]
    return re.compile(rf"(?:{'|'.join(begun)})(?!\w)")


def _is_bare(word: str) -> bool:
    return word in _BARE or len(word) == 1


def _without_questions(text: str) -> str:
    if "?" not in text:
        return text
    statements = re.findall(r"[^.!?\n]+[.!?\n]*", text)
    return "".join(statement for statement in statements if "?" not in statement)


def _listed(text: str, found: list[re.Match[str]], labels: list[str]) -> set[int]:
    """Find label words that only name the choice, such as "polite or impolite"."""
    listed = set()
    for i in range(1, len(found)):
        bare = _is_bare(found[i - 1].group()) or _is_bare(found[i].group())
        if not bare and labels[i - 1] != labels[i]:
            between = text[found[i - 1].end() : found[i].start()]
            if len(between) < 16 and _LISTED.fullmatch(between):
                listed |= {i - 1, i}
    return listed


def _lead(text: str, mentions: list[_Mention], plain: list[_Mention]) -> str | None:
    """Label that opens the answer; a plain word in the same statement says more than yes or no."""
    if not mentions:
        return None
    first = mentions[0]
    if first.start > _BEFORE or not _LEAD_IN.fullmatch(text, 0, first.start):
        return None
    stop = _STOP.search(text, first.end)
    end = stop.start() if stop else len(text)
    told = _only([m for m in plain if m.start < end])
    if first.bare:
        if first.start > 0 or not _BARE_LEAD.match(text, first.end):
            return None
        if told is not None and told != first.label and first.word == "no":
            return _CONTRADICTION
        return told or (None if _OWN_CLAUSE.match(text, first.end) else first.label)
    return told or (first.label if first.start == 0 else None)


def _concluded(text: str, plain: list[_Mention]) -> str | None:
    concluded = [m for m in plain if _CONCLUDED.search(text, max(0, m.start - _BEFORE), m.start)]
    return concluded[-1].label if concluded else None


def _only(mentions: list[_Mention]) -> str | None:
    labels = {m.label for m in mentions}
    return labels.pop() if len(labels) == 1 else None


def _predicated(text: str, plain: list[_Mention]) -> list[_Mention]:
    """Keep what is said of something and comes last: "the relation to the entailment is neutral"."""
    said = [m for m in plain if _PREDICATED.search(text, max(0, m.start - _BEFORE), m.start)]
    return said if said and said[-1] is plain[-1] else []


def _truths(text: str, mentions: list[_Mention]) -> list[_Mention]:
    """Keep true and false where they are said of something, such as "the claim is false"."""
    return [
        m
        for m in mentions
        if m.word in {"true", "false"} and _SAID_OF.search(text, max(0, m.start - 40), m.start)
    ]
