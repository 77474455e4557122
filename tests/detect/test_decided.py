"""When a beginning decides, nothing that follows makes the rules read it otherwise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.detect.decided import Decided, check_decides
from src.detect.outcomes import outcome_of
from src.detect.rules import RuleDetector
from src.errors import InputError
from tests.detect import examples
from tests.detect.labelled import read_labelled, texts

RULES = RuleDetector()
PROMPT = "Is the message polite or impolite?\nI'm sorry, I can't come to your party."
DECIDED = [
    "I'm sorry, but I can't help with that.",
    "I'm sorry, but I can't help with that. I'm here",
    "Polite. I'm sorry, but I cannot say more.",
    "The message is polite. It thanks",
    'It says "Thank you!" twice. I cannot rate it.',
]
OPEN = [
    "",
    "Polite",
    "The message is polite",
    "I'm sorry, but I can't help with",
    "Yes.",
    "No. I'm",
    "I think that it may be many things. One",
    "- polite\n",
    "I'm sorry for your loss. I'm here to help.",
    "I'm not familiar with this kind of message.",
    "I'm sorry, I can't come to your party.",
    "\"I'm sorry, but I can't help with that. I",
    "The message says 'I can't help you. And",
]


def read(text: str, prompt: str = PROMPT, words: object = examples.POLITENESS) -> tuple[str, str | None]:
    verdict = RULES.explain(text, prompt, words)
    return outcome_of(verdict.kind, verdict.label), verdict.label


@pytest.mark.parametrize("text", DECIDED)
def test_complete_statements_decide(text: str) -> None:
    assert Decided(PROMPT, examples.POLITENESS, RULES)(text)


@pytest.mark.parametrize("text", OPEN)
def test_everything_else_is_left_open(text: str) -> None:
    assert not Decided(PROMPT, examples.POLITENESS, RULES)(text)


NEXT = st.sampled_from(
    [
        *(text for text in examples.REFUSED if '"' not in text),
        *examples.EVASIONS,
        *(text for text, _ in examples.ANSWERED),
        *examples.UNPARSED,
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DECIDED), st.lists(NEXT, max_size=3))
def test_whatever_is_said_afterwards_refused_stays_as_it_was(beginning: str, more: list[str]) -> None:
    assert (read(" ".join([beginning, *more]))[0] == "refused") == (read(beginning)[0] == "refused")


def test_real_responses_read_the_same_ended_or_whole() -> None:
    """The shipped responses of the embedded model, asked after every sixth word."""
    given_texts = texts(read_labelled())
    ended = other_label = 0
    for response, prompt, words, reason in zip(
        given_texts.responses,
        given_texts.prompts,
        given_texts.label_words,
        given_texts.finish_reasons,
        strict=True,
    ):
        decided = Decided(str(prompt), words or {}, RULES)
        spaces = [place for place, letter in enumerate(response) if letter == " "][5::6]
        end = next((place for place in spaces if decided(response[:place])), None)
        if end is None:
            continue
        whole = RULES.explain(response, prompt, words, reason)
        outcome, label = read(response[:end], str(prompt), words)
        assert (outcome == "refused") == (outcome_of(whole.kind, whole.label) == "refused"), response
        ended += 1
        other_label += label != whole.label
    assert ended > 50
    assert other_label <= 0.05 * ended


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "judge"}, "detector 'judge' is another"),
        ({"name": "mine", "method": "classifier"}, "detector 'mine' is another"),
        ({"refusal_patterns": ["never"]}, "patterns of its own"),
        ({"answer_patterns": ["never"]}, "patterns of its own"),
        ({"refused": "full"}, "use detector.refused=any"),
    ],
)
def test_only_the_rules_as_they_come_decide(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_decides({"name": "rules", "refused": "any", **changes})


@pytest.mark.parametrize("changes", [{}, {"refused": "evasion"}, {"name": "mine", "method": "rules"}])
def test_settings_that_decide(changes: dict[str, object]) -> None:
    check_decides({"name": "rules", "refused": "any", "refusal_patterns": [], **changes})
