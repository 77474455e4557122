"""Tells for many texts at once which of them can hold a pattern at all, so that few need be searched."""

import importlib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_TREES: Any = importlib.import_module("re._parser")
_BEYOND = r"\x80-\xff"
"""Bytes of letters beyond ASCII, which RE2 counts as no words, digits or spaces, and Python may."""
_CLASSES = {
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s\x0b\x1c-\x1f",
    "CATEGORY_NOT_SPACE": r"\S",
}


class Search:
    """A search through a text that a screen can spare.

    Parameters
    ----------
    pattern : str
        As Python's `re` reads it.
    names : tuple of str
        Names of the pattern's groups, in their order, or one for a pattern without.
    """

    __slots__ = ("names", "pattern")

    def __init__(self, pattern: str, names: tuple[str, ...] = ()) -> None:
        self.pattern = re.compile(pattern)
        self.names = names

    def find(self, text: str, held: "Held", start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """Find the first match, unless nothing can be found.

        Parameters
        ----------
        text : str
            A text or part of it.
        held : frozenset of Search
            The searches that can find something in it.
        start, end : int, optional
            Where to search.

        Returns
        -------
        re.Match or None
            As of `re.Pattern.search`.
        """
        return self.pattern.search(text, start, end) if self in held else None


Held = frozenset[Search]
"""The searches that can find something in a text."""


class Screen:
    """Tells which searches can find something, in one pass of RE2 over many texts.

    Parameters
    ----------
    families : iterable of sequence of Search
        Those of a family are first sought together, and then one by one in the texts that hold any.
    """

    def __init__(self, families: Iterable[Sequence[Search]]) -> None:
        self._searches: list[Search] = []
        self._families: list[tuple[str, list[str]]] = []
        for family in families:
            alone = [weaker(search.pattern.pattern) for search in family]
            self._searches += family
            self._families.append(("|".join(f"(?:{pattern})" for pattern in alone), alone))

    def held(self, texts: Sequence[str]) -> list[frozenset[Search]]:
        """Tell which searches can find something in the texts.

        Parameters
        ----------
        texts : sequence of str
            Any texts.

        Returns
        -------
        list of frozenset
            As many. A search that finds something in a text or in the first part of it is among them; one
            that is among them need not find anything.
        """
        array = pa.array([text.encode("utf-8", "surrogatepass") for text in texts], pa.binary())
        found = np.zeros(len(texts), np.int64)  # one bit a search
        bit = 0
        for together, alone in self._families:
            rows = np.flatnonzero(pc.match_substring_regex(array, together))
            some = array.take(pa.array(rows))
            for pattern in alone:
                own = rows if len(alone) == 1 else rows[np.asarray(pc.match_substring_regex(some, pattern))]
                found[own] |= 1 << bit
                bit += 1
        sets = {bits: self._named(bits) for bits in np.unique(found).tolist()}
        return [sets[bits] for bits in found.tolist()]

    def _named(self, bits: int) -> frozenset[Search]:
        return frozenset(search for i, search in enumerate(self._searches) if bits >> i & 1)


def weaker(pattern: str) -> str:
    """Weaken a pattern until RE2, which reads bytes and remembers nothing, finds it wherever Python does.

    What looks ahead or behind goes, unless it says how the pattern begins; so do bounds of words and the ends
    of lines. What repeats may do so without end.

    Parameters
    ----------
    pattern : str
        As Python's `re` reads it.

    Returns
    -------
    str
        As RE2 reads it.

    Raises
    ------
    ValueError
        If the pattern holds what has no counterpart, such as a reference to a group.
    """
    return _sequence(_TREES.parse(pattern), begins=True)


def _sequence(items: Iterable[tuple[Any, Any]], begins: bool) -> str:
    written = []
    for kind, of in items:
        written.append(_one(str(kind), of, begins))
        begins = begins and not written[-1]
    return "".join(written)


def _one(kind: str, of: Any, begins: bool) -> str:
    """Write one part of a pattern; what `begins` the pattern has nothing before it that it could overlap."""
    match kind:
        case "AT":
            return "(?m:^)" if str(of) == "AT_BEGINNING" else ""
        case "ASSERT":
            direction, what = of
            return f"(?:{_sequence(what, begins)})" if begins and direction < 0 else ""
        case "ASSERT_NOT":
            return ""
        case "LITERAL":
            return _literal(of)
        case "NOT_LITERAL":
            return f"[^{_literal(of)}]+"
        case "ANY":
            return r"[^\n]+"
        case "IN":
            return _class(of)
        case "BRANCH":
            return f"(?:{'|'.join(_sequence(branch, begins) for branch in of[1])})"
        case "SUBPATTERN":
            return f"(?:{_sequence(of[3], begins)})"
        case "MAX_REPEAT" | "MIN_REPEAT":
            least, most, repeated = of
            return f"(?:{_sequence(repeated, begins)}){'?' if most == 1 else '*' if least == 0 else '+'}"
        case _:
            raise ValueError(f"nothing in RE2 stands for {kind} in a pattern")


def _class(members: Sequence[tuple[Any, Any]]) -> str:
    """Write a class of characters; a character beyond ASCII is several bytes, hence the plus."""
    kinds = [str(kind) for kind, _ in members]
    inside = "".join(_member(str(kind), of) for kind, of in members if str(kind) != "NEGATE")
    if "NEGATE" in kinds:
        return f"[^{inside}]+"
    return f"[{inside}{_BEYOND}]+" if "CATEGORY" in kinds else f"[{inside}]"


def _member(kind: str, of: Any) -> str:
    match kind:
        case "CATEGORY":
            return _CLASSES[str(of)]
        case "LITERAL":
            return _literal(of)
        case "RANGE":
            return f"{_literal(of[0])}-{_literal(of[1])}"
        case _:
            raise ValueError(f"nothing in RE2 stands for {kind} in a class of characters")


def _literal(code: int) -> str:
    if code > 127:
        raise ValueError(f"a pattern to be searched for in bytes holds {chr(code)!r}")
    return rf"\x{code:02x}"
