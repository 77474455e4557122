"""Reads texts with a sequence classifier of the transformers library: many at a time, sorted by length."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.engines.local.checkpoint import Checkpoint
from src.engines.local.hardware import choose_device, choose_dtype, is_out_of_memory
from src.engines.local.loading import load_part


class SequenceClassifier:
    """A classifier and its tokenizer, loaded when first needed.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its files.
    device, dtype : str
        Settings that passed `check_device` and `check_dtype`.
    batch_size : int
        Most texts read together; halved for good where memory does not suffice.
    max_tokens : int
        Most tokens of a text that are read, special ones included.

    Attributes
    ----------
    dtype : str
        Number format of the weights in use.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str, dtype: str, batch_size: int, max_tokens: int
    ) -> None:
        self._checkpoint = checkpoint
        self._device = choose_device(device)
        self.dtype = choose_dtype(dtype, None, self._device)
        self._batch_size, self._max_tokens = batch_size, max_tokens
        self._tokenizer: Any = None
        self._model: Any = None

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, special ones included."""
        return len(self._load_tokenizer()(text, verbose=False).input_ids)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Compute the probability of every class.

        Parameters
        ----------
        texts : sequence of str
            In any order; what exceeds the limit of tokens is cut off at the end.

        Returns
        -------
        ndarray, shape (texts, classes)
            Float64, in the order given. Equal texts agree up to rounding, whatever they are read with.
        """
        tokenizer = self._load_tokenizer()
        ids = [tokenizer(text, truncation=True, max_length=self._max_tokens).input_ids for text in texts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
        found: list[np.ndarray] = [np.empty(0)] * len(ids)
        start = 0
        while start < len(order):
            batch = order[start : start + self._batch_size]
            try:
                rows = self._read([ids[i] for i in batch])
            except (RuntimeError, MemoryError) as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                self._batch_size = len(batch) // 2
                continue
            for i, row in zip(batch, rows, strict=True):
                found[i] = row
            start += len(batch)
        return np.stack(found) if found else np.empty((0, 0))

    def _read(self, ids: list[list[int]]) -> np.ndarray:
        import torch

        model = self._load_model()
        padded = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            logits = model(input_ids=padded.input_ids, attention_mask=padded.attention_mask).logits
        return torch.softmax(logits.double(), dim=-1).cpu().numpy()

    def _load_tokenizer(self) -> Any:
        if self._tokenizer is None:
            self._tokenizer = load_part(self._checkpoint, "AutoTokenizer")
            self._tokenizer.padding_side = self._tokenizer.truncation_side = "right"
        return self._tokenizer

    def _load_model(self) -> Any:
        if self._model is None:
            import torch

            options = {"dtype": getattr(torch, self.dtype), "use_safetensors": True}
            model = load_part(self._checkpoint, "AutoModelForSequenceClassification", **options)
            self._model = model.eval().to(self._device)
        return self._model
