"""How probable a first word is: the same as the model's own forward pass says, in any company."""

import math
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from src.engines.base import ScoringEngine
from src.engines.registry import create_engine
from src.errors import InputError
from src.study.prompts import Prompt
from tests.engines.conftest import CPU
from tests.tiny_models import make_tiny_model, model_config

WORDS = ["A", "B", "C"]


def prompts() -> list[Prompt]:
    rng = random.Random(1)
    words = ["is", "it", "polite", "or", "not", "rude", "the", "sentence"]
    begin = "you are a person and this is what to answer "
    return [Prompt(None, begin + " ".join(rng.choices(words, k=rng.randint(1, 20)))) for _ in range(12)]


# Mamba carries a state from token to token, so it cannot be read in slots.
@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [("llama", {}), ("qwen2", {}), ("mamba", {"tie_word_embeddings": False, "state_size": 4})],
)
def test_first_words_are_those_of_the_model_itself(
    architecture: str, sizes: dict[str, object], tmp_path: Path
) -> None:
    folder = make_tiny_model(tmp_path / architecture, architecture=architecture, **sizes)
    engine = create_engine(model_config(folder), CPU)
    assert isinstance(engine, ScoringEngine)
    rendered = engine.render(prompts())
    found = engine.first_words(rendered, WORDS)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    letters = [engine._tokenizer.convert_tokens_to_ids(word) for word in WORDS]
    for prompt, row in zip(rendered, found, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt.token_ids])).logits[0, -1]
        assert row == pytest.approx(torch.softmax(logits, -1)[letters].tolist(), rel=1e-4)
    assert len({tuple(row) for row in found}) > 8

    order = list(range(len(rendered)))
    random.Random(2).shuffle(order)
    again = engine.first_words([rendered[i] for i in order], WORDS)
    assert [again[order.index(i)] for i in range(len(order))] == [pytest.approx(row) for row in found]
    assert engine.first_words([], WORDS) == []


def test_what_cannot_be_scored_is_said(tiny_model: Path) -> None:
    engine = create_engine(model_config(tiny_model), CPU)
    rendered = engine.render([Prompt(None, "is it polite " * 200), Prompt(None, "is it polite")])
    found = engine.first_words(rendered, WORDS)
    assert all(map(math.isnan, found[0]))
    assert all(0 < value < 1 for value in found[1])
    with pytest.raises(InputError, match="has no token for 'ABC'; choose another model"):
        engine.first_words(rendered, ["ABC"])
