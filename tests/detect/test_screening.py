"""Screens against searching for every pattern in every text with Python's `re`."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.detect import phrases
from src.detect.phrases import EVASIVE, FIRM, LECTURE, SOFT, SPEAKER, Rules
from src.detect.rules import EVERYTHING
from src.detect.screening import Screen, Search, weaker
from src.detect.text import normalise
from tests.detect.examples import written_responses

FAMILIES = [FIRM, SOFT, EVASIVE, LECTURE]
SEARCHES = sorted(EVERYTHING, key=lambda search: search.pattern.pattern)
WRITTEN = [normalise(text) for text in written_responses()]
SCREEN = Screen([SEARCHES[::4], *((search,) for search in SEARCHES[1::4]), SEARCHES[2::4], SEARCHES[3::4]])


def phrase_of(pattern: str) -> st.SearchStrategy[str]:
    """Draw phrases of a rule."""
    pattern = pattern.replace(phrases.START, "").replace("(?m:^)", "").replace("$", "")
    # What a generator cannot follow, or what would let it leave plain form.
    simple = (
        re.sub(r"\(\?<[=!][^)]*\)\|?", "", pattern.replace(SPEAKER, "(?:i|we)"))
        .replace(r"[\w']", "[a-zé]")
        .replace(r"[\w'-]", "[a-zé]")
        .replace(r"\w", "[a-zé]")
    )
    return st.from_regex(re.compile(simple), fullmatch=True)


PATTERNS = [rule for family in FAMILIES for rule in (*family.speaker.values(), *family.others.values())]
PARTS = (
    st.sampled_from(
        [*PATTERNS, *(search.pattern.pattern for search in SEARCHES if not search.names)]
    ).flatmap(phrase_of)
    | st.sampled_from(WRITTEN)
    | st.text(max_size=8)
)
TEXTS = st.lists(st.lists(PARTS, max_size=4).map(" ".join), min_size=1, max_size=6)


def check_screen(texts: Sequence[str]) -> None:
    """Whatever is found in a text, or in a part where its pattern allows it, must have been foretold."""
    for text, held in zip(texts, SCREEN.held(texts), strict=True):
        for search in SEARCHES:
            if search in held:
                continue
            assert search.pattern.search(text) is None
            for cut in range(0, len(text), 11):
                assert search.pattern.search(text[:cut]) is None
                assert "^" in search.pattern.pattern or search.pattern.search(text[cut:]) is None


@settings(max_examples=20, deadline=None)
@given(TEXTS)
def test_nothing_is_found_that_a_screen_does_not_foretell(texts: list[str]) -> None:
    check_screen(texts)


def test_nothing_in_written_responses() -> None:
    check_screen([*WRITTEN, "\ud800 i can't help", "", "\0", "é" * 50])


def test_most_texts_are_spared_most_searches() -> None:
    held = SCREEN.held(["it sounds kind and clear.", "i'm sorry, but i can't help with that."])
    assert not held[0]
    assert 0 < len(held[1]) < len(SEARCHES) / 2


CHARACTERS = "ab_é1 \n'ß.\u2003"


@pytest.mark.parametrize(
    "pattern",
    [
        r"a\wb",
        r"a[\w']b",
        r"a[^\w']b",
        r"a[^b]b",
        r"a\Wb",
        r"a\sb",
        r"a\Sb",
        r"a[\d.]b|[^\d]{2}ab",
        r"a.b",
        r"\ba\b",
        r"^a|b$",
        r"(?m:^)a(?!b)",
        r"(?<=a)b",
        r"(?:(?<=a )|^)b(?=a)",
        r"a(?<=a)b",
        r"(a|b{2,3})a??[ab]{0,2}'",
        r"(?:a(?<!ba))b+?",
    ],
)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(CHARACTERS, max_size=8), min_size=1, max_size=12))
def test_a_weaker_pattern_is_found_wherever_the_pattern_is(pattern: str, texts: list[str]) -> None:
    search = Search(pattern)
    for text, held in zip(texts, Screen([(search,)]).held(texts), strict=True):
        assert search in held or search.pattern.search(text) is None


@pytest.mark.parametrize("pattern", [r"(a)\1", r"(a)?(?(1)b|c)", "é", "[à-é]"])
def test_what_cannot_be_weakened(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"RE2|bytes"):
        weaker(pattern)


def every_phrase(rules: Rules, text: str) -> list[tuple[str, str, int, int]]:
    """Search for every rule at every place, as `Rules.find` would without its shortcuts."""
    found = []
    speaker = {n: rule.replace(SPEAKER, r"\b(?:i|we)") for n, rule in rules.speaker.items()}
    for m in re.compile("|".join(f"(?:{rule})" for rule in speaker.values()), re.MULTILINE).finditer(text):
        name = next(n for n, rule in speaker.items() if re.compile(rule, re.M).match(text, m.start()))
        found.append((name, m.group(), m.start(), m.end()))
    for name, rule in rules.others.items():
        every = re.compile(rf"\b(?:{rule})", re.MULTILINE).finditer(text)
        found += [(name, m.group(), m.start(), m.end()) for m in every]
    return sorted(found, key=lambda phrase: phrase[2])


def check_phrases(rules: Rules, texts: Sequence[str]) -> None:
    for text, held in zip(texts, Screen([rules.searches]).held(texts), strict=True):
        assert [tuple(p) for p in rules.find(text, held)] == every_phrase(rules, text)
        assert rules.find(text, held) == rules.find(text, EVERYTHING)


@pytest.mark.parametrize("rules", FAMILIES)
@settings(max_examples=15, deadline=None)
@given(texts=TEXTS)
def test_screened_rules_find_every_phrase(rules: Rules, texts: list[str]) -> None:
    check_phrases(rules, texts)


@pytest.mark.parametrize("rules", FAMILIES)
def test_screened_rules_find_every_phrase_of_written_responses(rules: Rules) -> None:
    check_phrases(rules, WRITTEN)
