"""Reading a GGUF file once and quickly; the libraries read its vocabulary three times, entry by entry."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quick_gguf() -> Iterator[None]:
    """Let the transformers library load from a GGUF file in a fraction of the time, within a ``with`` block.

    What is read stays the same. The gguf reader is kept from one use to the next, as is its table of
    tensor names, which is otherwise made anew for each of a model's modules. And it reads from a plain array:
    cutting every one of a vocabulary's hundred thousand entries out of a memory map takes five times as long.

    Yields
    ------
    None
        The gguf package is as before afterwards.
    """
    import gguf

    before = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    quick = {"GGUFReader": _plain_reader(gguf.GGUFReader), "get_tensor_name_map": gguf.get_tensor_name_map}
    try:
        for name, value in quick.items():
            setattr(gguf, name, functools.cache(value))
        yield
    finally:
        for name, value in before.items():
            setattr(gguf, name, value)


def _plain_reader(reader: Any) -> Any:
    """Make a reader that sees the file's memory map as a plain array."""
    import numpy as np

    class PlainReader(reader):
        @property
        def data(self) -> Any:
            return self._plain

        @data.setter
        def data(self, value: Any) -> None:
            self._plain = value.view(np.ndarray)

    return PlainReader
