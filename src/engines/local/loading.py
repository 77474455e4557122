"""Loads parts of a checkpoint with the transformers library; runs no code that comes with them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

from src.engines.local.checkpoint import Checkpoint
from src.engines.local.gguf_reading import quick_gguf
from src.errors import InputError


def load_part(checkpoint: Checkpoint, auto_class: str, **options: Any) -> Any:
    """Load tokenizer or model of a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its files.
    auto_class : str
        Class of the transformers library, such as ``AutoTokenizer``.
    **options : object
        Passed on to its ``from_pretrained``.

    Returns
    -------
    object
        What the class makes of it.

    Raises
    ------
    InputError
        If the library refuses the files; says why in one line.
    """
    import transformers

    if checkpoint.commit and checkpoint.folder is None:
        options["revision"] = checkpoint.commit
    if checkpoint.gguf_file:
        options["gguf_file"] = checkpoint.gguf_file
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        with _reading(checkpoint):
            return getattr(transformers, auto_class).from_pretrained(
                checkpoint.location, trust_remote_code=False, **options
            )
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"transformers cannot load {checkpoint.model_id}: {reason}") from error


@contextmanager
def _reading(checkpoint: Checkpoint) -> Iterator[None]:
    """Read a GGUF file quickly, and without the bar that the library draws into ours."""
    if checkpoint.gguf_file is None:
        yield
        return
    with quick_gguf(), redirect_stderr(StringIO()):
        yield
