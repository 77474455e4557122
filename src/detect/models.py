"""Finds the language model or classifier that a detector's configuration names."""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.engines.local.checkpoint import Checkpoint, find_checkpoint, missing_library
from src.errors import InputError, unknown

_KEYS = ("id", "revision", "path")


def find_classifier(model: Any) -> Checkpoint:
    """Find the files that ``detector.model`` names.

    Parameters
    ----------
    model : mapping
        ``path``, a folder, or else ``id`` and ``revision`` on the hub.

    Returns
    -------
    Checkpoint
        The files; those on the hub may still have to be fetched.

    Raises
    ------
    InputError
        If a library or the model is missing, or its weights are no safetensors.
    """
    if not isinstance(model, Mapping):
        raise InputError(f"detector.model must hold id and revision, or path; received {model!r}")
    for key in model:
        if key not in _KEYS:
            raise unknown("key of detector.model", key, _KEYS)
    if not (model.get("path") or model.get("id")):
        raise InputError(
            "detector.model names no classifier; add detector.model.path=FOLDER, or "
            "detector.model.id=ORGANISATION/NAME for one on the hub"
        )
    for library in ("torch", "transformers"):
        if importlib.util.find_spec(library) is None:
            raise missing_library(library, "generate")
    source = "local" if model.get("path") else "hub"
    # A folder goes by its own name, whatever the preset's hub id is.
    named = {"path": model.get("path")} if source == "local" else dict(model)
    with as_detector_model():
        checkpoint = find_checkpoint({**named, "source": source})
    if checkpoint.gguf_file:
        raise InputError(f"{checkpoint.model_id} holds GGUF weights; a classifier needs *.safetensors")
    return checkpoint


@contextmanager
def as_detector_model() -> Iterator[None]:
    """Name the keys of a detector's model and engine, in errors about them, as the user writes them."""
    try:
        yield
    except InputError as error:
        said = re.sub(r"\b(?:model=\w+ )?(model|engine)\.(?=\w)", r"detector.\1.", str(error))
        raise InputError(said) from error


def read_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read a model's ``config.json``, fetching that one file if it has to be.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.

    Returns
    -------
    dict
        Its contents.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    folder = checkpoint.folder
    try:
        if folder is None:
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(checkpoint.location, "config.json", revision=checkpoint.commit))
        else:
            path = folder / "config.json"
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except Exception as error:  # whatever the HTTP client in use raises
        raise InputError(
            f"cannot read config.json of {checkpoint.model_id}: {type(error).__name__}"
        ) from error
    return config
