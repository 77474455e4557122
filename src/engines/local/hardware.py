"""What the machine offers: the device and the number format to compute in."""

import re
from typing import TYPE_CHECKING

from src.errors import InputError, unknown

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
"""Number formats of the weights."""

BALANCED = "balanced"
"""The device setting that spreads a model's layers over all CUDA cards."""


def check_device(setting: str) -> None:
    """Make sure that a device setting means something here.

    Parameters
    ----------
    setting : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``balanced``.

    Raises
    ------
    InputError
        If there is no such setting, or the machine has no such device.
    """
    if setting in ("auto", "cpu"):
        return
    if not re.fullmatch(rf"cuda(:\d+)?|mps|{BALANCED}", setting):
        raise unknown("device", setting, ["auto", "cpu", "cuda", "cuda:0", "mps", BALANCED])
    import torch

    if setting == "mps":
        if not torch.backends.mps.is_available():
            raise InputError("device 'mps' is not available here; use device=auto or cpu")
        return
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(setting.partition(":")[2] or 0)
    if number >= cards:
        raise InputError(f"device {setting!r} is not here ({cards} CUDA cards); use device=auto or cpu")


def check_dtype(setting: str) -> None:
    """Make sure that a number format is known; raises `InputError`."""
    if setting not in ("auto", *DTYPES):
        raise unknown("dtype", setting, ["auto", *DTYPES])


def choose_device(setting: str) -> str:
    """Choose the device: CUDA before MPS before CPU where the setting is ``auto``.

    Parameters
    ----------
    setting : str
        A setting that passed `check_device`.

    Returns
    -------
    str
        ``cpu``, ``mps``, ``cuda:N`` or ``balanced``.
    """
    import torch

    if setting == "cuda" or (setting == "auto" and torch.cuda.is_available()):
        return "cuda:0"
    if setting == "auto":
        return "mps" if torch.backends.mps.is_available() else "cpu"
    return setting


def choose_dtype(engine_setting: str, model_setting: str | None, device: str) -> str:
    """Choose the number format to compute in.

    Parameters
    ----------
    engine_setting, model_setting : str
        The engine's setting goes before the model's; ``auto`` (or None) leaves the choice open.
    device : str
        From `choose_device`.

    Returns
    -------
    str
        A setting if one is given; else bfloat16 where the device computes in it faster than in float32, else
        float16 on older cards and float32 on older processors.
    """
    import torch

    for setting in (engine_setting, model_setting):
        if setting not in (None, "auto"):
            return str(setting)
    if device == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bfloat16" if fast else "float32"
    if device == "mps":
        return "bfloat16"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device (or this process) has no memory left."""
    import torch

    # The CPU's allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def free_memory(device: "torch.device") -> int | None:
    """Say how many bytes of a device's memory nobody uses; None where that cannot be told."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def give_memory_back(device: "str | torch.device") -> None:
    """Return cached blocks of a device to the system."""
    import gc

    import torch

    gc.collect()
    if str(device).startswith(("cuda", BALANCED)):
        torch.cuda.empty_cache()
    elif str(device).startswith("mps"):
        torch.mps.empty_cache()
