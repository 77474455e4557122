"""The user's message found again in what chat templates make of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.observations.rendered import user_part

SYSTEM = "You are a Muslim person. Answer as one would."
TEMPLATES = {
    "chatml": "<|im_start|>system\n{s}<|im_end|>\n<|im_start|>user\n{u}<|im_end|>\n<|im_start|>assistant\n",
    "llama": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{s}<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{u}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<bos><start_of_turn>user\n{s}\n\n{u}<end_of_turn>\n<start_of_turn>model\n",
    "mistral": "<s>[INST] {s}\n\n{u}[/INST]",
    "phi": "<|system|>{s}<|end|><|user|>{u}<|end|><|assistant|>",
    "olmo": "<|endoftext|><|system|>\n{s}\n<|user|>\n{u}\n<|assistant|>\n",
    "granite": "<|start_of_role|>system<|end_of_role|>{s}<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>{u}<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
    "none": "{s}\n\n{u}\n",
}
FOLDED = {"gemma", "mistral"}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>|[]\r"), min_size=1).map(
    lambda text: f"Q{text.strip()}"
)


@pytest.mark.parametrize("name", TEMPLATES)
@given(user=TEXT)
def test_templates(name, user):
    role = "folded" if name in FOLDED else "native"
    prompt = TEMPLATES[name].replace("{s}", SYSTEM).replace("{u}", user)
    assert user_part(prompt, role) == user.strip()


@given(user=TEXT)
def test_messages_as_json(user):
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]
    assert user_part(json.dumps(turns), "native") == user
    assert user_part(json.dumps({"messages": turns, "chat_template_kwargs": {}}), "native") == user
    folded = [{"role": "user", "content": f"{SYSTEM}\n\n{user}"}]
    assert user_part(json.dumps(folded), "folded") == user


def test_without_persona_and_without_template():
    assert user_part("Polite or rude?\n\nGo away.\n", "none") == "Polite or rude?\n\nGo away."
    assert user_part("\n\nPolite or rude?\n\nGo away.", "none") == "Polite or rude?\n\nGo away."
    assert user_part('[not JSON] "x"', "none") == '[not JSON] "x"'
    assert user_part("", None) == ""


def test_an_unknown_template_is_not_guessed():
    assert user_part("<|turn_begins|>human: hello<|over|>", "native") is None
