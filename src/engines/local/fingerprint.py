"""A short name for the contents of a model folder, so that other weights never pass for the same model."""

import hashlib
from pathlib import Path

_WHOLE_BELOW = 256 * 2**20
_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt"}
_BLOCK = 64 * 2**10
_BLOCKS = 512


def fingerprint(folder: Path, gguf_file: str | None = None) -> str:
    """Name what a model folder holds.

    Files up to 256 MiB are read whole. Of larger ones the size, the first mebibyte and 512 blocks of 64 KiB
    at even distances are read: enough to tell any two trainings apart in a fraction of a second, but not to
    find a single damaged bit.

    Parameters
    ----------
    folder : Path
        Folder of the model; its path is no part of the name.
    gguf_file : str, optional
        The one weights file in use. Otherwise all safetensors files count.

    Returns
    -------
    str
        ``sha256:`` and 16 hexadecimal digits: names and contents of configuration, tokenizer and weights.
    """
    # The libraries that read GGUF take everything from that one file.
    names = [gguf_file] if gguf_file else sorted(p.name for p in folder.iterdir() if p.suffix in _SUFFIXES)
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0".encode())
        digest.update(_contents(folder / name))
    return f"sha256:{digest.hexdigest()[:16]}"


def _contents(path: Path) -> bytes:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE_BELOW:
            while block := file.read(2**20):
                digest.update(block)
        else:
            digest.update(file.read(2**20))
            for i in range(1, _BLOCKS + 1):
                file.seek((size - _BLOCK) * i // _BLOCKS)
                digest.update(file.read(_BLOCK))
    return digest.digest()
