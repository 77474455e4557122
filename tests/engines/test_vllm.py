"""What the vLLM engine says before it starts; answering with it needs a card."""

import importlib.util

import pytest

from src.engines.registry import check_engine
from src.errors import InputError
from tests.tiny_models import model_config

ENGINE = {"name": "vllm", "dtype": "auto", "tensor_parallel_size": 1, "gpu_memory_utilization": 0.9}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dtype": "float17"}, "did you mean float16"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size"),
        ({"tensor_parallel_size": 1.5}, "tensor_parallel_size"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization"),
        ({"gpu_memory_utilization": True}, "gpu_memory_utilization"),
    ],
)
def test_settings_that_make_no_sense(tiny_model, changes, words):
    with pytest.raises(InputError, match=words):
        check_engine(model_config(tiny_model), ENGINE | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantization": "bnb-4bit"}, "use engine=transformers"),
        ({"gguf_file": "a.gguf"}, "use engine=transformers"),
        ({"system_role": "folded"}, "did you mean fold"),
        ({"dtype": "half"}, "unknown dtype 'half'"),
    ],
)
def test_models_that_it_cannot_load(tiny_model, changes, words):
    with pytest.raises(InputError, match=words):
        check_engine(model_config(tiny_model, **changes), ENGINE)


def test_a_machine_without_vllm_or_without_enough_cards(tiny_model):
    words = (
        "needs 999 CUDA" if importlib.util.find_spec("vllm") else "vllm is not installed; run: pip install"
    )
    with pytest.raises(InputError, match=words):
        check_engine(model_config(tiny_model), ENGINE | {"tensor_parallel_size": 999})
