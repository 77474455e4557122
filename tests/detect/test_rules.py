"""Rules against responses labelled by hand, and what must not change a verdict."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.detect.base import LabelWords, Texts
from src.detect.outcomes import KINDS
from src.detect.rules import RuleDetector, check
from src.detect.text import normalise
from src.engines.simulated import ANSWERS, REFUSALS
from src.errors import InputError
from tests.detect import examples as given_
from tests.detect.examples import written_responses

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


def test_many_are_read_as_each_alone() -> None:
    # Only many responses are screened before they are searched.
    written = written_responses()
    words = [None, given_.POLITENESS, given_.NLI]
    texts = [text for text in written for _ in words]
    cut = ["length", "stop"] * len(texts)
    prompts = [f'Polite?\n"{text}"' if row % 5 == 0 else None for row, text in enumerate(texts)]
    batch = Texts(texts, prompts, words * len(written), cut[: len(texts)])
    labels = RuleDetector().label(batch)
    alone = [
        DETECTOR.explain(*row)
        for row in zip(texts, prompts, batch.label_words, batch.finish_reasons, strict=True)
    ]
    assert labels.kind == [verdict.kind for verdict in alone]
    assert labels.label == [verdict.label for verdict in alone]
    assert labels.reason == [verdict.reason for verdict in alone]


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
