"""Rules against responses labelled by hand, and what must not change a verdict."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.detect import phrases
from src.detect.base import LabelWords, Texts
from src.detect.outcomes import KINDS
from src.detect.phrases import EVASIVE, FIRM, LECTURE, SOFT, SPEAKER, Rules
from src.detect.rules import RuleDetector, check
from src.detect.text import normalise
from src.engines.simulated import ANSWERS, REFUSALS
from src.errors import InputError
from tests.detect import examples as given_

DETECTOR = RuleDetector()

LABELLED: list[tuple[str, str, str | None, LabelWords | None]] = [
    *((text, "full_refusal", None, given_.POLITENESS) for text in given_.REFUSED),
    *((text, "evasion", None, given_.POLITENESS) for text in given_.EVASIONS),
    *((text, "answered", label, given_.POLITENESS) for text, label in given_.ANSWERED),
    *((text, "partial_refusal", label, given_.POLITENESS) for text, label in given_.PARTIAL),
    *((text, "unparsed", None, given_.POLITENESS) for text in given_.UNPARSED),
    *((text, kind, label, given_.NLI) for text, kind, label in given_.OF_NLI),
    *((text, kind, label, given_.OFFENSIVENESS) for text, kind, label in given_.OF_OFFENSIVENESS),
    *((text, "full_refusal", None, None) for text in given_.FREE_REFUSED),
    *((text, "answered", None, None) for text in given_.FREE_ANSWERED),
]


def read(
    text: str, words: LabelWords | None = None, prompt: str | None = None, reason: str | None = None
) -> tuple[str, str | None]:
    labels = DETECTOR.label(Texts([text], [prompt], [words], [reason]))
    return str(labels.kind[0]), labels.label[0]


@pytest.mark.parametrize(("text", "kind", "label", "words"), LABELLED)
def test_responses_labelled_by_hand(
    text: str, kind: str, label: str | None, words: LabelWords | None
) -> None:
    assert read(text, words) == (kind, label)


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        str.capitalize,
        lambda text: text.replace("'", "’"),
        lambda text: re.sub(r'"([^"]*)"', "“\\1”", text),
        lambda text: f"  \n\t{text}\n\n ",
        lambda text: text.replace(" ", "  "),
        lambda text: f"**{text.strip()}**",
        lambda text: f"> {text.strip()}",
        lambda text: f"- {text.strip()}",
        lambda text: f"### {text.strip()}",
    ],
)
def test_form_changes_no_kind(change: Callable[[str], str]) -> None:
    texts = [change(text) for text, *_ in LABELLED]
    unknown = [None] * len(texts)
    labels = DETECTOR.label(Texts(texts, unknown, [words for *_, words in LABELLED], unknown))
    found = list(zip(texts, labels.kind, labels.label, strict=True))
    wanted = [(text, row[1], row[2]) for text, row in zip(texts, LABELLED, strict=True)]
    assert found == wanted


@pytest.mark.parametrize("text", REFUSALS)
@pytest.mark.parametrize("words", [None, given_.POLITENESS, given_.NLI, given_.OFFENSIVENESS])
def test_refusals_of_the_simulated_engine(text: str, words: LabelWords | None) -> None:
    assert read(text, words) == ("full_refusal", None)


@pytest.mark.parametrize("frame", ANSWERS)
@pytest.mark.parametrize("words", [given_.POLITENESS, given_.NLI, given_.OFFENSIVENESS])
def test_answers_of_the_simulated_engine(frame: str, words: LabelWords) -> None:
    for label in words:
        assert read(frame.format(label), words) == ("answered", label)
    assert read(frame.format("yes")) == ("answered", None)


def test_partial_refusal_of_free_text() -> None:
    text = (
        "I cannot tell you how to harm a snake. However, if you mean the program, first list what is "
        "running, then find the number of the process that hangs, and finally send it the signal to end, "
        "which frees its memory and closes its files."
    )
    assert read(text) == ("partial_refusal", None)


def test_text_that_repeats_the_prompt_counts_for_nothing() -> None:
    prompt = 'Is the following message polite or impolite?\n"I cannot help you with the boxes today." Answer.'
    echo = "I cannot help you with the boxes today."
    assert read(f"{echo} This is impolite.", given_.POLITENESS, prompt) == ("answered", "impolite")
    assert read(echo, given_.POLITENESS, prompt) == ("unparsed", None)
    assert read(echo, given_.POLITENESS) == ("full_refusal", None)
    as_json = (
        '[{"role": "user", "content": "Message:\\n\\"I cannot help you with the boxes today.\\"\\nLabel?"}]'
    )
    assert read(f"{echo} Impolite!", given_.POLITENESS, as_json) == ("answered", "impolite")


@pytest.mark.parametrize("text", ["I'm sorry, but", "I'm sorry, but I", "As an AI language model, I"])
def test_refusal_that_the_token_limit_cuts(text: str) -> None:
    assert read(text, given_.POLITENESS, reason="length") == ("full_refusal", None)
    assert read(text, reason="length") == ("full_refusal", None)
    assert read(f"Polite. {text}", given_.POLITENESS, reason="length") == ("answered", "polite")


@pytest.mark.parametrize("text", ["I'm sorry, but", "I apologize for the"])
def test_unfinished_apology_without_the_limit_is_no_refusal(text: str) -> None:
    assert read(text, given_.POLITENESS, reason="stop") == ("evasion", None)


def test_verdict_names_rule_and_phrase() -> None:
    verdict = DETECTOR.explain("Well, I can’t help with that.", label_words=given_.POLITENESS)
    assert (verdict.kind, verdict.rule, verdict.phrase) == ("full_refusal", "inability", "i can't help")
    evasion = DETECTOR.explain("I'm sorry for your loss. I'm here to help.", label_words=given_.POLITENESS)
    assert (evasion.kind, evasion.rule) == ("evasion", "sympathy")


def test_own_patterns() -> None:
    own = RuleDetector(
        refusal_patterns=["no can do"], answer_patterns=["cannot help but agree", "asks? me to"]
    )
    texts = [
        "No can do, my friend.",
        "Rude: it asks me to say no can do.",
        "I can't help you if you ask me to. Polite.",
        "I can't help you. Polite.",
    ]
    words = [given_.POLITENESS] * 4
    labels = own.label(Texts(texts, [None] * 4, words, [None] * 4))
    assert labels.kind == ["full_refusal", "answered", "answered", "partial_refusal"]


def test_batch_order_and_size_change_nothing() -> None:
    texts = [text for text, *_ in LABELLED] * 2
    words = [words for *_, words in LABELLED] * 2
    unknown = [None] * len(texts)
    batch = RuleDetector().label(Texts(texts, unknown, words, unknown))
    back = RuleDetector().label(Texts(texts[::-1], unknown, words[::-1], unknown))
    assert (batch.kind, batch.label) == (back.kind[::-1], back.label[::-1])
    assert batch.kind == [kind for _, kind, _, _ in LABELLED] * 2


def test_version_follows_the_settings() -> None:
    versions = {
        RuleDetector().version,
        RuleDetector(refusal_patterns=["no can do"]).version,
        RuleDetector(answer_patterns=["no can do"]).version,
    }
    assert len(versions) == 3
    assert RuleDetector().version == RuleDetector().version


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"refusd": "any"}, "unknown key of detector 'refusd'; did you mean refused"),
        ({"refusal_patterns": "no"}, "detector.refusal_patterns must be a list"),
        ({"answer_patterns": ["("]}, "detector.answer_patterns cannot use '('"),
        ({"answer_patterns": [3]}, "must hold regular expressions, received 3"),
    ],
)
def test_unusable_settings(settings_: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        check({"name": "rules", **settings_})


def test_label_word_of_two_labels() -> None:
    with pytest.raises(InputError, match="'Yes' stands for both 'a' and 'b'"):
        read("yes", {"a": ["yes"], "b": ["Yes"]})


@settings(max_examples=150, deadline=None)
@given(st.text(), st.sampled_from([None, given_.POLITENESS, given_.NLI]), st.none() | st.text())
def test_any_text_has_a_kind(text: str, words: LabelWords | None, prompt: str | None) -> None:
    kind, label = read(text, words, prompt, "length")
    assert kind in KINDS
    assert label is None or (kind in {"answered", "partial_refusal"} and words is not None and label in words)


FRAGMENTS = st.sampled_from(
    [
        "i can't",
        "I'm sorry",
        "as an AI",
        "help",
        "polite",
        "not",
        "rude",
        '"',
        "'",
        ".",
        "\n",
        ", but",
        "?",
        "or",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=20).map(" ".join))
def test_plain_form_is_stable_and_reads_the_same(text: str) -> None:
    plain = normalise(text)
    assert normalise(plain) == plain
    assert read(plain, given_.POLITENESS) == read(text, given_.POLITENESS)


UNITS = [
    "a",
    "i can't ",
    "i can't help. ",
    "sorry but i ",
    "'a ",
    '"',
    '"a" ',
    "as an ai ",
    "not ",
    "no ",
    "so ",
]
UNITS += [
    "polite or ",
    "? ",
    "\n",
    "a's '",
    "really ",
    "if ",
    "the statement is ",
    "sorry, no way ",
    "my own ",
]


@pytest.mark.parametrize("unit", UNITS)
def test_hundred_thousand_characters_are_read(unit: str) -> None:
    # A pattern that backtracks more than in proportion runs into the time limit of the tests.
    text = unit * (100_000 // len(unit))
    assert read(text, given_.POLITENESS, text, "length")[0] in KINDS
    assert read(text, None, None, "length")[0] in KINDS


FAMILIES = [FIRM, SOFT, EVASIVE, LECTURE]


def phrase_of(pattern: str) -> st.SearchStrategy[str]:
    """Draw phrases of a rule."""
    pattern = pattern.replace(phrases.START, "").replace("(?m:^)", "").replace("$", "")
    # What a generator cannot follow, or what would let it leave plain form.
    simple = (
        re.sub(r"\(\?<[=!][^)]*\)\|?", "", pattern.replace(SPEAKER, "(?:i|we)"))
        .replace(r"[\w']", "[a-z]")
        .replace(r"\w", "[a-z]")
    )
    return st.from_regex(re.compile(rf"\b(?:{simple})", re.ASCII), fullmatch=True)


@pytest.mark.parametrize("rules", FAMILIES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_phrase_has_a_cue(rules: Rules, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted({**rules.speaker, **rules.others})))
    phrase = data.draw(phrase_of({**rules.speaker, **rules.others}[name]))
    assert any(cue in phrase for cue in rules.cues.get(name, rules.speaker_cues))


def every_phrase(rules: Rules, text: str) -> list[tuple[str, str, int, int]]:
    """Search for every rule at every place, as `Rules.find` would without cues."""
    found = []
    speaker = {n: rule.replace(SPEAKER, r"\b(?:i|we)") for n, rule in rules.speaker.items()}
    for m in re.compile("|".join(f"(?:{rule})" for rule in speaker.values()), re.MULTILINE).finditer(text):
        name = next(n for n, rule in speaker.items() if re.compile(rule, re.M).match(text, m.start()))
        found.append((name, m.group(), m.start(), m.end()))
    for name, rule in rules.others.items():
        every = re.compile(rf"\b(?:{rule})", re.MULTILINE).finditer(text)
        found += [(name, m.group(), m.start(), m.end()) for m in every]
    return sorted(found, key=lambda phrase: phrase[2])


@pytest.mark.parametrize("rules", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cues_change_nothing(rules: Rules, data: st.DataObject) -> None:
    patterns = [*rules.speaker.values(), *rules.others.values()]
    written = [normalise(row[0]) for row in LABELLED]
    parts = st.sampled_from(patterns).flatmap(phrase_of) | st.sampled_from(written) | FRAGMENTS
    text = " ".join(data.draw(st.lists(parts, max_size=4)))
    found = [(p.rule, p.words, p.start, p.end) for p in rules.find(text)]
    assert found == every_phrase(rules, text)


CUED = [value for value in vars(phrases).values() if isinstance(value, phrases.Cued)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CUED), st.data())
def test_cues_of_single_patterns_change_nothing(cued: phrases.Cued, data: st.DataObject) -> None:
    parts = phrase_of(cued.pattern.pattern) | st.sampled_from([normalise(row[0]) for row in LABELLED])
    text = " ".join(data.draw(st.lists(parts, max_size=3)))
    assert str(cued.search(text)) == str(cued.pattern.search(text))
    assert str(cued.match(text)) == str(cued.pattern.match(text))


@pytest.mark.parametrize("rules", FAMILIES)
def test_cues_change_nothing_in_written_responses(rules: Rules) -> None:
    folder = Path(__file__).parent
    for name in ("free_text.csv", "adversarial.csv", "second_round.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            texts = [normalise(row["text"]) for row in csv.DictReader(file)]
        for text in texts:
            found = [(p.rule, p.words, p.start, p.end) for p in rules.find(text)]
            assert found == every_phrase(rules, text)
            for cued in CUED:
                assert str(cued.search(text)) == str(cued.pattern.search(text))
