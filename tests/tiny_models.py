"""Makes real model folders with random weights, small enough to load and run in a blink."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEXT = "the a is it not polite rude sentence yes no you are person woman man answer what to of and I am"

WITH_SYSTEM = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
"""A chat template that takes a system message."""

REFUSES_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>model\n{% endif %}"
)
"""One that raises on a system message, as Gemma's does."""

DROPS_SYSTEM = (
    "{% for m in messages %}{% if m['role'] != 'system' %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
"""One that silently leaves a system message out."""


def make_tiny_model(
    folder: Path,
    chat_template: str | None = WITH_SYSTEM,
    *,
    architecture: str = "llama",
    context: int = 256,
    seed: int = 0,
    **config: object,
) -> Path:
    """Write a random model of a real architecture, its byte-level tokenizer and chat template.

    Parameters
    ----------
    folder : Path
        Where to write; made if needed.
    chat_template : str, optional
        Jinja text; None leaves the model without one.
    architecture : str
        ``model_type`` of the transformers library.
    context : int
        Most tokens that the model reads and writes.
    seed : int
        Seed of the weights.
    **config : object
        Further fields of the model's configuration.

    Returns
    -------
    Path
        The folder.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = make_tokenizer(folder, chat_template)
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": context,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        # Large enough for the next token to depend on every earlier one.
        "initializer_range": 0.3,
    }
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **{**sizes, **config}))
    model.save_pretrained(folder)
    return folder


def make_tokenizer(folder: Path, chat_template: str | None = None) -> Any:
    """Write a byte-level tokenizer and return it.

    Parameters
    ----------
    folder : Path
        Where to write; made if needed.
    chat_template : str, optional
        Jinja text.

    Returns
    -------
    PreTrainedTokenizerFast
        Padding token 0, first token 1, last token of a turn 2.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|pad|>", "<|bos|>", "<|end|>", "<|start|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([TEXT] * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<|bos|> $A", special_tokens=[("<|bos|>", 1)])
    names = {"pad_token": "<|pad|>", "bos_token": "<|bos|>", "eos_token": "<|end|>"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    wrapped.chat_template = chat_template
    wrapped.save_pretrained(folder)
    return wrapped


def make_tiny_classifier(
    folder: Path, texts: Sequence[str], classes: Sequence[int], *, names: Sequence[str], **config: object
) -> Path:
    """Train a small RoBERTa until it tells texts apart, and write it with its tokenizer.

    Parameters
    ----------
    folder : Path
        Where to write; made if needed.
    texts, classes : sequence
        What it learns by heart.
    names : sequence of str
        Name of each class.
    **config : object
        Further fields of the model's configuration.

    Returns
    -------
    Path
        The folder.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    tokenizer = make_tokenizer(folder)
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 130,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "type_vocab_size": 1,
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }
    model = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model("roberta", **{**sizes, **config})
    )
    batch = tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=False)
    wanted = torch.tensor(list(classes))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(200):
        loss = model(**batch, labels=wanted).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if loss < 0.02:
            break
    model.save_pretrained(folder)
    return folder


def spoil_weights(folder: Path) -> Path:
    """Replace the final norm's weights by NaN, as a broken training or download might."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def silence(folder: Path) -> Path:
    """Make the model end every answer before its first word, at any temperature."""
    return always_say(folder, 2)


def always_say(folder: Path, token: int) -> Path:
    """Make one token follow everything."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    for name, values in weights.items():
        if "o_proj" in name or "down_proj" in name:
            values.zero_()
    # Every hidden state is then a vector of ones, which this token alone matches.
    weights["model.embed_tokens.weight"].fill_(1)
    weights["model.norm.weight"].fill_(1)
    weights["lm_head.weight"].zero_()
    weights["lm_head.weight"][token] = 1
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def model_config(folder: Path, **changes: object) -> dict[str, object]:
    """Configuration of a local model, as a file of ``conf/model`` gives it."""
    return {"name": folder.name, "source": "local", "path": str(folder), **changes}


def set_field(path: Path, key: str, value: object) -> None:
    """Change one field of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
