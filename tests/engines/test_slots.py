"""Decoding in slots against the library's own generate, token by token, on real architectures."""

import copy
import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from src.engines.base import GenerationSettings
from src.engines.local.decoding import Decoder
from src.engines.local.packing import pack_weights
from src.engines.local.padded import decode_padded
from src.engines.local.requests import Completion, Request
from src.engines.local.slots import decode_slots
from src.engines.local.support import scores_agree, why_not_slots
from tests.tiny_models import make_tiny_model

GREEDY = GenerationSettings(max_new_tokens=24, temperature=0.0, top_p=1.0, seed=0)
SAMPLED = GenerationSettings(max_new_tokens=24, temperature=1.0, top_p=0.9, seed=0)
STOPS = frozenset([2, 30, 31, 32, 33, 34])
NARROW = {"sliding_window": 16}
SUPPORTED = {
    "llama": {},
    "mistral": NARROW,
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1, **NARROW},
    "qwen3": {},
    "gemma2": NARROW,
    "gemma3_text": NARROW,
    "phi3": {},
    "olmo2": {},
    "olmo3": NARROW,
    "granite": {},
    "smollm3": {},
}
UNSUPPORTED = {
    "qwen3_5_text": ({"num_hidden_layers": 4}, "attention cannot be replaced"),
    "llama4_text": ({}, "layers of the kind chunked_attention"),
    "gpt_oss": ({"num_local_experts": 2, "num_experts_per_tok": 1, **NARROW}, "scores come out differently"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Make (once) and load (anew) a random model of some architecture."""
    folders = {}

    def load(architecture="llama", dtype=torch.float32, **config):
        name = f"{architecture}{config}"
        if name not in folders:
            folder = tmp_path_factory.mktemp("model")
            # Tied embeddings make a random model repeat itself.
            untied = {"tie_word_embeddings": False, **config}
            folders[name] = make_tiny_model(folder, architecture=architecture, **untied)
        return AutoModelForCausalLM.from_pretrained(folders[name], dtype=dtype).eval()

    return load


def make_requests(count=24, limits=(1, 3, 24), seed=0, longest=70):
    """Prompts of mixed lengths, most of them with a beginning in common, some equal, and mixed limits."""
    draw = random.Random(seed)
    stem = [draw.randrange(35, 300) for _ in range(longest)]
    requests = []
    for index in range(count):
        end = [draw.randrange(35, 300) for _ in range(draw.choice([0, 1, 2, 25]))]
        prompt = tuple(stem[: draw.randrange(1, longest)] + end)
        requests.append(Request(index, prompt, draw.choice(limits), seed=index))
    return [*requests, Request(count, requests[0].prompt, 24, seed=7)]


def plain_generate(model, requests, stops=STOPS):
    """Greedy tokens by the library's generate in one padded batch, cut at stop token and limit."""
    width = max(len(r.prompt) for r in requests)
    ids = torch.tensor([[0] * (width - len(r.prompt)) + list(r.prompt) for r in requests])
    mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in requests])
    config = GenerationConfig(
        max_new_tokens=max(r.limit for r in requests),
        do_sample=False,
        eos_token_id=sorted(stops) or None,
        pad_token_id=0,
    )
    rows = model.generate(ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
    found = {}
    for request, row in zip(requests, rows, strict=True):
        cut = row[: request.limit]
        end = next((place for place, token in enumerate(cut) if token in stops), None)
        found[request.index] = (
            tuple(cut if end is None else cut[: end + 1]),
            "length" if end is None else "stop",
        )
    return found


def by_index(completions):
    completions = list(completions)
    found = {c.index: (c.tokens, c.reason) for c in completions}
    assert len(found) == len(completions)
    return found


def own_lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("src.")]


def assert_same_but_for_ties(model, requests, found, expected):
    """Texts are equal, or part where two tokens score the same up to rounding."""
    assert found.keys() == expected.keys()
    exact = copy.deepcopy(model).double()
    for request in requests:
        mine, theirs = found[request.index][0], expected[request.index][0]
        if found[request.index] != expected[request.index]:
            place = next(i for i in range(len(theirs)) if mine[i] != theirs[i])
            with torch.inference_mode():
                scores = exact(torch.tensor([[*request.prompt, *theirs[:place]]])).logits[0, -1]
            assert abs(scores[mine[place]] - scores[theirs[place]]) < 1e-4 * scores.std()


@pytest.mark.parametrize("architecture", SUPPORTED)
def test_greedy_text_is_plain_generates(tiny, architecture):
    model = tiny(architecture, **SUPPORTED[architecture])
    requests = make_requests()
    assert why_not_slots(model) is None
    assert scores_agree(model, requests)
    endless = [tokens for tokens, _ in plain_generate(model, requests, []).values() if len(tokens) == 24]
    stops = frozenset(tokens[place] for tokens, place in zip(endless, (0, 2, 7, 20), strict=False))
    expected = plain_generate(model, requests, stops)
    assert {reason for _, reason in expected.values()} == {"stop", "length"}
    for slots in (1, 5, 64):
        found = by_index(decode_slots(model, requests, GREEDY, stops, slots))
        assert_same_but_for_ties(model, requests, found, expected)


@pytest.mark.parametrize("architecture", UNSUPPORTED)
def test_other_architectures_are_decoded_padded_and_the_log_says_why(tiny, architecture, caplog):
    config, reason = UNSUPPORTED[architecture]
    model = tiny(architecture, **config)
    requests = make_requests(count=8)
    expected = by_index(decode_padded(model, requests, GREEDY, STOPS, 32))
    assert by_index(Decoder(model, "tiny").run(requests, GREEDY, STOPS, None)) == expected
    (line,) = own_lines(caplog)
    assert line.startswith("tiny is decoded in padded batches")
    assert reason in line


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_decoded_in_slots(tiny, dtype, caplog):
    model = tiny(dtype=dtype)
    requests = make_requests(count=8)
    found = by_index(Decoder(model, "tiny").run(requests, GREEDY, STOPS, None))
    assert found.keys() == {request.index for request in requests}
    assert not own_lines(caplog)


def test_sampled_text_depends_on_neither_order_nor_batching(tiny):
    model = tiny()
    requests = make_requests(limits=(24,))
    expected = by_index(decode_padded(model, requests, SAMPLED, STOPS, 4))
    assert len({tokens for tokens, _ in expected.values()}) > len(expected) // 2
    for slots in (1, 7, 64):
        assert by_index(decode_slots(model, requests, SAMPLED, STOPS, slots)) == expected
        some = requests[::-3]
        found = by_index(decode_slots(model, some, SAMPLED, STOPS, slots))
        assert found == {request.index: expected[request.index] for request in some}


def test_prompts_longer_than_one_pass_and_of_one_token(tiny):
    model = tiny(context=2048)
    draw = random.Random(1)
    long = tuple(draw.randrange(35, 300) for _ in range(1400))
    prompts = [long, (*long[:1300], 40, 41), (5,), (5,), long[:600], long, (long[0],)]
    requests = [Request(index, prompt, 4, seed=0) for index, prompt in enumerate(prompts)]
    expected = {request.index: plain_generate(model, [request])[request.index] for request in requests}
    for slots in (1, 3, 64):
        found = by_index(decode_slots(model, requests, GREEDY, STOPS, slots))
        assert_same_but_for_ties(model, requests, found, expected)


def test_every_limit_and_stop_ends_where_it_should(tiny):
    model = tiny()
    prompt = make_requests(count=1)[0].prompt
    limits = range(1, 13)
    whole, _ = plain_generate(model, [Request(0, prompt, limits[-1], 0)], [])[0]
    requests = [Request(limit, prompt, limit, 0) for limit in limits]
    for stop in (None, *dict.fromkeys(whole)):
        end = whole.index(stop) + 1 if stop is not None else limits[-1] + 1
        found = by_index(decode_slots(model, requests, GREEDY, frozenset({stop} - {None}), 5))
        assert found == {n: (whole[: min(n, end)], "stop" if n >= end else "length") for n in limits}


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED])
def test_what_is_decided_ends_after_the_next_eighth_token(tiny, settings):
    """The whole text up to there, alike in slots and padded, whatever else is decoded."""
    model = tiny()
    requests = make_requests(limits=(3, 8, 16, 24))
    whole = by_index(decode_slots(model, requests, settings, STOPS, 7))
    # Some token that is written in the middle; each request asks for itself.
    asked = [replace(r, decided=lambda new: max(new[4:], default=0) >= 100) for r in requests]
    expected = {}
    for request in requests:
        tokens, reason = whole[request.index]
        ends = [n for n in (8, 16, 24) if n < len(tokens) and max(tokens[4:n]) >= 100]
        expected[request.index] = (tokens[: ends[0]], "decided") if ends else (tokens, reason)
    assert {reason for _, reason in expected.values()} == {"stop", "length", "decided"}
    for slots in (1, 7, 64):
        assert by_index(decode_slots(model, asked, settings, STOPS, slots)) == expected
    for batch in (1, 5, 32):
        assert by_index(decode_padded(model, asked, settings, STOPS, batch)) == expected


def test_scores_that_are_no_numbers_end_their_own_sequence_alone(tiny):
    model = tiny()
    good = make_requests(count=12, limits=(8,))
    expected = by_index(decode_slots(model, good, GREEDY, frozenset(), 3))
    written = {token for tokens, _ in expected.values() for token in tokens}
    spoilt = next(t for t in range(35, 300) if t not in written and all(t not in r.prompt for r in good))
    with torch.no_grad():
        model.get_input_embeddings().weight[spoilt] = float("nan")
    bad = [Request(100 + r.index, (*r.prompt[:9], spoilt, *r.prompt[9:]), 8, 0) for r in good]
    found = by_index(decode_slots(model, [*good, *bad], GREEDY, frozenset(), 3))
    # Its own row of the output, tied or not, must stay out of the good sequences' scores.
    assert {index: found[index] for index in expected} == expected
    assert all(found[request.index] == ((), "error") for request in bad)


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED])
def test_out_of_memory_halves_the_slots_until_a_pass_fits(tiny, settings):
    """Put into the last layer, for passes of more than three sequences or far into a long one."""
    model = tiny()
    requests = make_requests(limits=(3, 24))
    expected = by_index(decode_slots(model, requests, settings, STOPS, 16))
    longest = Request(100, tuple(range(35, 235)), 4, seed=0)
    tried = []

    def run_out(module, inputs, given):
        tried.append(len(given["reading"].spans))
        # Later than the first passes, when some have ended and others are under way.
        if (tried[-1] > 3 and len(tried) > 20) or given["reading"].width > 150:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = model.model.layers[-1].register_forward_pre_hook(run_out, with_kwargs=True)
    completions = list(decode_slots(model, [*requests, longest], settings, STOPS, 16))
    hook.remove()
    found = by_index(completions)
    assert found.pop(100) == ((), "error")
    assert found == expected
    assert max(tried[:20]) > 3
    (cause,) = {completion.cause for completion in completions if completion.reason == "error"}
    assert cause.startswith("too little memory")


def test_attention_is_put_back_even_if_nobody_takes_the_rest(tiny):
    model = tiny()
    before = model.config._attn_implementation
    requests = make_requests(count=6)
    answers = decode_slots(model, requests, GREEDY, STOPS, 2)
    assert isinstance(next(answers), Completion)
    answers.close()
    assert model.config._attn_implementation == before
    assert plain_generate(model, requests)


def test_packed_weights_give_the_same_text(tiny):
    # Biases as well, which qwen2 has.
    model, packed = tiny("qwen2"), tiny("qwen2")
    pack_weights(packed)
    requests = make_requests()
    features = torch.randn(3, 7, 64)
    plain, other = (m.model.layers[0].self_attn.q_proj for m in (model, packed))
    assert type(plain) is not type(other)
    assert plain.bias is not None
    torch.testing.assert_close(other(features), plain(features))
    expected = by_index(decode_slots(model, requests, GREEDY, STOPS, 8))
    found = by_index(decode_slots(packed, requests, GREEDY, STOPS, 8))
    assert_same_but_for_ties(model, requests, found, expected)
