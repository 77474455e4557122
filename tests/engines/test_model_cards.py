"""The model cards: each is complete, true to itself and listed in the documentation."""

import math
import re

import pytest
from omegaconf import OmegaConf

from src.engines.local.checkpoint import SOURCES
from src.engines.registry import check_engine
from src.engines.transformers import SYSTEM_ROLES
from src.study.paths import CONF

CARDS = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in (CONF / "model").glob("*.yaml")}
HUB = {name: card for name, card in CARDS.items() if card["source"] == "hub" and name != "hub"}
EMBEDDED = "smollm2-135m"
DOCUMENT = CONF.parent / "docs" / "models.md"


def listed_rows():
    """Rows of the documentation's table as the cards ask for them, families together and by size."""
    order = sorted(CARDS, key=lambda n: (CARDS[n]["parameters"] is None, n.split("-")[0], size(n), n))
    return [
        f"| `{name}` | {card['id'] or '-'} | {card['parameters'] or '-':{',' if card['parameters'] else ''}} "
        f"| {card['released'] or '-'} |"
        for name, card in ((name, CARDS[name]) for name in order)
    ]


def size(name):
    return CARDS[name]["parameters"] or 0


@pytest.mark.parametrize("name", CARDS)
def test_card_has_the_keys_that_all_have(name):
    # Hydra refuses to override a key that a file lacks, so model.dtype=float32 must not depend on the model.
    assert list(CARDS[name]) == list(CARDS[EMBEDDED])
    assert set(CARDS[name]["capability"]) == {"measure", "value"}


@pytest.mark.parametrize("name", CARDS)
def test_card_is_true_to_itself(name):
    card = CARDS[name]
    assert card["name"] == name
    assert card["source"] in (*SOURCES, "simulated")
    assert card["system_role"] in SYSTEM_ROLES
    assert card["template_options"] == {}
    assert card["released"] is None or re.fullmatch(r"20\d\d-[01]\d(-[0-3]\d)?", card["released"])
    assert (card["package"] is None) == (card["source"] != "embedded")


@pytest.mark.parametrize("name", CARDS)
def test_revision_is_a_commit_or_says_why_not(name):
    card = CARDS[name]
    if card["revision"] is None:
        assert card["revision_note"].endswith("at generation time.")
    else:
        assert re.fullmatch(r"[0-9a-f]{40}", card["revision"])
        assert card["revision_note"] is None


@pytest.mark.parametrize("name", CARDS)
def test_capability_follows_from_parameters(name):
    card = CARDS[name]
    assert card["capability"]["measure"] == "log10_parameters"
    if card["parameters"] is None:
        assert card["capability"]["value"] is None
    else:
        assert card["capability"]["value"] == pytest.approx(math.log10(card["parameters"]), abs=5e-5)


@pytest.mark.parametrize("name", HUB)
def test_hub_card_names_a_repository_of_its_size(name):
    card = HUB[name]
    assert re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9][A-Za-z0-9._-]*", card["id"])
    assert card["gguf_file"] is None
    # A model's name rounds its size and may leave out embeddings or the parts for images.
    billions = re.search(r"-e?([\d.]+)([bm])\b", name)
    if billions:
        stated = float(billions[1]) * {"b": 1e9, "m": 1e6}[billions[2]]
        assert 0.9 < card["parameters"] / stated < (2.6 if name.startswith("gemma4") else 1.7)


def test_cards_cover_families_in_several_sizes():
    ids = [card["id"] for card in CARDS.values() if card["id"]]
    assert len(set(ids)) == len(ids)
    revisions = [card["revision"] for card in HUB.values() if card["revision"]]
    assert len(set(revisions)) == len(revisions)
    assert len(HUB) >= 16
    sizes = [name.split("-")[0] for name in HUB]
    assert sum(sizes.count(family) > 1 for family in set(sizes)) >= 5


def test_documentation_lists_exactly_the_cards():
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == listed_rows(), "the table should be:\n" + "\n".join(listed_rows())


def test_embedded_model_is_ready_to_run():
    check_engine(CARDS[EMBEDDED], OmegaConf.load(CONF / "engine" / "transformers.yaml"))
