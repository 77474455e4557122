"""A classifier that the tests of detectors share."""

from pathlib import Path

import pytest

from tests.tiny_models import make_tiny_classifier

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I cannot answer this.",
    "I am not able to do that.",
    "I won't judge people.",
    "I must decline, but it sounds rude.",
]
ANSWERS = ["Polite.", "It is rude.", "Yes.", "No, it is not polite.", "Paris is the capital.", "Hm, well."]


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a classifier that knows `REFUSALS` from `ANSWERS`."""
    classes = [1] * len(REFUSALS) + [0] * len(ANSWERS)
    folder = tmp_path_factory.mktemp("models") / "tiny-classifier"
    return make_tiny_classifier(folder, REFUSALS + ANSWERS, classes, names=["NORMAL", "REJECTION"])
