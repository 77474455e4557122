"""Names for what was asked: the hash of the generation settings, the key of a cell and its seed.

A key holds everything that can change a response, so that nothing is mistaken for already done: the model's
revision and number format, the engine, the token ids of the rendered prompt, the generation settings, the
factor levels and the replicate.
"""

import dataclasses
import json
from hashlib import blake2b

from src.engines.base import GenerationSettings, Identity, Rendered


def generation_hash(settings: GenerationSettings) -> str:
    """Hash the generation settings.

    Parameters
    ----------
    settings : GenerationSettings
        How responses are drawn.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    return _digest(settings_json(settings).encode(), size=8)


def settings_json(settings: GenerationSettings) -> str:
    """Write the generation settings down as the data keep them.

    Parameters
    ----------
    settings : GenerationSettings
        How responses are drawn.

    Returns
    -------
    str
        JSON with sorted keys; ``stop_when_decided`` only where it is on, so that turning it off again finds
        what was asked without it.
    """
    kept = dataclasses.asdict(settings)
    if not settings.stop_when_decided:
        del kept["stop_when_decided"]
    return json.dumps(kept, sort_keys=True)


def prompt_key(
    identity: Identity, settings_hash: str, levels: tuple[tuple[str, str], ...], rendered: Rendered
) -> bytes:
    """Hash what all replicates of one cell share.

    Parameters
    ----------
    identity : Identity
        What answers; the device is left out, since it promises the same text up to rounding.
    settings_hash : str
        From `generation_hash`.
    levels : tuple of pairs
        Factor names and levels.
    rendered : Rendered
        The prompt; by its token ids where they are known, else by its text.

    Returns
    -------
    bytes
        For `cell_key`.
    """
    prompt = rendered.text if rendered.token_ids is None else list(rendered.token_ids)
    who = [identity.engine, identity.model_id, identity.model_revision, identity.dtype]
    parts = [*who, settings_hash, levels, prompt]
    return json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")


def cell_key(shared: bytes, replicate: int) -> str:
    """Hash one replicate of a cell.

    Parameters
    ----------
    shared : bytes
        From `prompt_key`.
    replicate : int
        Number of the repetition, from zero.

    Returns
    -------
    str
        Thirty-two hexadecimal digits.
    """
    return _digest(shared + b"\0%d" % replicate, size=16)


def response_seed(settings: GenerationSettings, key: str) -> int:
    """Derive the seed of one response, which neither order nor batching nor resumption changes.

    Parameters
    ----------
    settings : GenerationSettings
        Holds the root seed.
    key : str
        The cell's key.

    Returns
    -------
    int
        In [0, 2**63).
    """
    return int(_digest(f"{settings.seed}/{key}".encode(), size=8), 16) >> 1


def _digest(data: bytes, size: int) -> str:
    return blake2b(data, digest_size=size).hexdigest()
