"""Finds the language model or classifier that a detector's configuration names."""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src.engines.local.checkpoint import Checkpoint, find_checkpoint, missing_library
from src.errors import InputError, unknown
from src.study.paths import CONF

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


def read_option(group: str, value: object) -> dict[str, Any]:
    """Read the configuration of a model, an engine or another detector that a detector names.

    Parameters
    ----------
    group : {"model", "engine", "detector"}
        Folder of ``conf``.
    value : str or mapping
        Name of a file there; or keys that replace some of those of the file that their ``name`` names. Under
        another name a model is a local folder if it has a ``path``, and else the hub's, and a detector is of
        its ``method``.

    Returns
    -------
    dict
        All keys of the file.

    Raises
    ------
    InputError
        If there is no such file or key.
    """
    shipped = {path.stem: path for path in (CONF / group).glob("*.yaml")}
    own = {"name": value} if not isinstance(value, Mapping) else {str(k): v for k, v in value.items()}
    name = own.get("name")
    base = name
    if len(own) > 1 and name not in shipped:
        model = "local" if own.get("path") else "hub"
        base = {"model": model, "detector": own.get("method")}.get(group, name)
    if base not in shipped:
        raise unknown("member" if group == "detector" else f"detector.{group}", name, shipped)
    found: Any = OmegaConf.to_container(OmegaConf.load(shipped[base]), resolve=True)
    kind = "a member" if group == "detector" else f"detector.{group}"
    for key in own:
        if key not in found and key != "method":
            raise unknown(f"key of {kind}", key, found)
    return {**found, **own}
