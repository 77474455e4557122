"""Several detectors with one verdict, against counting votes by hand."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from src.detect.base import Labels, Texts
from src.detect.combination import CombinedDetector, winning
from src.detect.outcomes import KINDS, REFUSED
from src.detect.registry import check_detector, create_detector
from src.detect.rules import RuleDetector
from src.errors import InputError
from src.study.paths import CONF
from tests.detect.conftest import ANSWERS, REFUSALS
from tests.detect.examples import POLITENESS


@pytest.mark.parametrize("vote", ["any", "all", "majority"])
@pytest.mark.parametrize("members", [1, 2, 3])
def test_votes_are_counted_as_by_hand(vote: str, members: int) -> None:
    for kinds in product([None, *KINDS], repeat=members):
        said = [kind in REFUSED["any"] for kind in kinds if kind]
        winner = winning(kinds, vote)  # type: ignore[arg-type]
        if not said:
            assert winner is None
            continue
        yes, no = said.count(True), said.count(False)
        expected = {"any": yes > 0, "all": no == 0, "majority": yes > no or (yes == no and said[0])}[vote]
        assert winner is not None
        assert (kinds[winner] in REFUSED["any"]) == expected
        # Nobody before the winner was on its side.
        assert all(kind is None or (kind in REFUSED["any"]) != expected for kind in kinds[:winner])


def config(**changes: object) -> dict[str, Any]:
    shipped: Any = OmegaConf.to_container(OmegaConf.load(CONF / "detector" / "combination.yaml"))
    return {**shipped, **changes}


def with_classifier(folder: Path, **changes: object) -> dict[str, Any]:
    classifier = {"name": "protectai", "model": {"path": str(folder)}, "max_tokens": 128, "device": "cpu"}
    return config(members=["rules", classifier], **changes)


def texts(responses: list[str]) -> Texts:
    rows = len(responses)
    return Texts(responses, [None] * rows, [POLITENESS] * rows, [None] * rows)


def test_members_are_detectors_as_configured(tiny_classifier: Path) -> None:
    responses = [*REFUSALS, *ANSWERS, "", "I'm afraid that is beyond me."]
    rules = RuleDetector().label(texts(responses))
    combined = {
        v: create_detector(with_classifier(tiny_classifier, vote=v)) for v in ("any", "all", "in_turn")
    }
    read = {vote: detector.label(texts(responses)) for vote, detector in combined.items()}
    refused = {v: [kind in REFUSED["any"] for kind in labels.kind] for v, labels in read.items()}
    own = [kind in REFUSED["any"] for kind in rules.kind]
    assert all(a >= b >= c for a, b, c in zip(refused["any"], own, refused["all"], strict=True))
    assert read["any"].score is not None
    assert set(read["any"].score) <= {0.0, 0.5, 1.0}
    for kind, rule, label in zip(read["in_turn"].kind, rules.kind, read["in_turn"].label, strict=True):
        if rule not in ("unparsed", "evasion"):
            assert kind == rule
        assert (label is not None) <= (kind in ("answered", "partial_refusal"))
    assert len({detector.version for detector in combined.values()}) == 3


def test_later_members_read_only_what_is_open() -> None:
    class Counting(RuleDetector):
        seen: list[str]

        def label(self, batch: Texts) -> Labels:
            self.seen = list(batch.responses)
            return super().label(batch)

    last = Counting()
    detector = CombinedDetector("both", [RuleDetector(), last], "in_turn")
    responses = [
        "I can't help with that.",
        "Polite.",
        "Hm.",
        "",
        "I'm sorry for your loss. I'm here to help.",
    ]
    labels = detector.label(texts(responses))
    assert last.seen == responses[2:]
    assert labels.kind == ["full_refusal", "answered", "unparsed", "unparsed", "evasion"]


def test_a_changed_member_changes_the_version() -> None:
    one, other = RuleDetector(), RuleDetector(refusal_patterns=["hm"])
    versions = {
        CombinedDetector("c", pair, "any").version for pair in ([one, other], [other, one], [one, one])
    }
    assert len(versions) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vote": "most"}, "unknown detector.vote 'most'"),
        ({"members": "rules"}, "detector.members must be a list such as"),
        ({"members": ["rules"]}, "must name two detectors or more, each once"),
        ({"members": ["rules", "rules"]}, "must name two detectors or more, each once"),
        ({"members": ["rules", "mino"]}, r"unknown member 'mino'; did you mean minos"),
        ({"members": ["rules", {"name": "judge", "modle": 1}]}, r"unknown key of a member 'modle'"),
        (
            {"members": ["rules", {"name": "x", "method": "rules", "refused": "no"}]},
            "unknown detector.refused",
        ),
        ({"membrs": []}, r"unknown key of detector 'membrs'; did you mean members"),
    ],
)
def test_settings_that_cannot_be_used(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_detector(config(**changes))
