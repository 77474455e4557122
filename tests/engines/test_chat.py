"""Rendering through real tokenizers and templates of each kind."""

import pytest

from src.engines.registry import create_engine
from src.study.prompts import Prompt
from tests.engines.conftest import CPU
from tests.tiny_models import DROPS_SYSTEM, REFUSES_SYSTEM, WITH_SYSTEM, make_tiny_model, model_config

BOS, END = 1, 2


def engine_for(tmp_path, template, **model):
    return create_engine(model_config(make_tiny_model(tmp_path / "m", template), **model), CPU)


def test_system_role_is_used_where_the_template_has_one(tmp_path):
    engine = engine_for(tmp_path, WITH_SYSTEM)
    with_persona, without = engine.render([Prompt("You are a woman.", "yes?"), Prompt(None, "yes?")])
    assert (
        with_persona.text
        == "<|start|>system\nYou are a woman.<|end|><|start|>user\nyes?<|end|><|start|>assistant\n"
    )
    assert without.text == "<|start|>user\nyes?<|end|><|start|>assistant\n"
    assert (with_persona.system_role, without.system_role) == ("native", "none")


@pytest.mark.parametrize("template", [REFUSES_SYSTEM, DROPS_SYSTEM])
def test_system_text_is_folded_where_the_template_refuses_or_drops_it(tmp_path, template):
    rendered = engine_for(tmp_path, template).render([Prompt("You are a woman.", "yes?")])[0]
    assert "<|start|>user\nYou are a woman.\n\nyes?<|end|>" in rendered.text
    assert rendered.system_role == "folded"


def test_folding_can_be_asked_for(tmp_path):
    rendered = engine_for(tmp_path, WITH_SYSTEM, system_role="fold").render([Prompt("S", "U")])[0]
    assert rendered.system_role == "folded"
    assert "system" not in rendered.text


def test_first_special_token_is_not_doubled(tmp_path):
    # Template and tokenizer both put it in front.
    ids = engine_for(tmp_path, REFUSES_SYSTEM).render([Prompt(None, "yes?")])[0].token_ids
    assert ids is not None
    assert ids.count(BOS) == 1
    assert ids[0] == BOS


def test_without_template_the_fallback_is_plain_text(tmp_path):
    engine = engine_for(tmp_path, None)
    folded, plain = engine.render([Prompt("You are a woman.", "yes?"), Prompt(None, "yes?")])
    assert folded.text == "You are a woman.\n\nyes?\n"
    assert (folded.system_role, plain.system_role) == ("folded", "none")
    assert plain.text == "yes?\n"
    assert plain.token_ids is not None
    assert plain.token_ids[0] == BOS


def test_dates_in_templates_stand_still(tmp_path):
    dated = "{{ strftime_now('%Y-%m-%d') }} {{ date_string }} {{ messages[-1]['content'] }}"
    assert engine_for(tmp_path, dated).render([Prompt(None, "x")])[0].text == "2025-09-10 10 Sep 2025 x"


def test_thinking_is_off_unless_asked_for(tmp_path):
    asks = "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
    thinking = "{{ messages[-1]['content'] }}" + asks
    folder = make_tiny_model(tmp_path / "m", thinking)
    off = create_engine(model_config(folder), CPU)
    on = create_engine(model_config(folder, template_options={"enable_thinking": True}), CPU)
    assert off.render([Prompt(None, "x")])[0].text == "x"
    assert on.render([Prompt(None, "x")])[0].text == "x<think>"
