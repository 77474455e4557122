"""Weights laid out as the processor's matrix kernels read them, once instead of at every multiplication."""

from typing import Any

import torch
from torch import nn

_ROWS = 128
"""Rows multiplied at a time for which the layout is chosen; it serves other numbers as well."""
_DTYPES = (torch.float32, torch.bfloat16)


def can_pack(model: Any) -> bool:
    """Whether this processor has kernels that gain from packed weights and the model's weights suit them.

    Those are the AVX-512 ones: with AVX2 alone generation is as quick without (docs/engines.md), and bfloat16
    has no packed product at all.
    """
    parameter = next(model.parameters())
    return (
        parameter.device.type == "cpu"
        and parameter.dtype in _DTYPES
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack_weights(model: nn.Module) -> None:
    """Replace every linear layer of a model by one with packed weights; the plain ones are given back.

    The products are the same up to rounding.

    Parameters
    ----------
    model : Module
        A model for which `can_pack` holds; changed in place.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child))


class PackedLinear(nn.Module):
    """A linear layer for inference whose weight only oneDNN can read.

    Parameters
    ----------
    linear : Linear
        The layer that it stands for.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        with torch.inference_mode():
            self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight, _ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Multiply features, shape (..., in), by the weight and add the bias, shape (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(features, self.weight, self.bias, "none", [], "")
