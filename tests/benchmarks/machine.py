"""What this machine can do at most: arithmetic by number format, and reading from memory."""

import json
import time
from collections.abc import Callable

import torch


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, the best of several."""
    a, b = (torch.randn(1536, 1536).to(dtype) for _ in range(2))
    return 2 * 1536**3 / best(lambda: a @ b)


def reading_rate() -> float:
    """Bytes a second of a sum over more than any cache holds, the best of several."""
    numbers = torch.ones(64 * 2**20)
    return numbers.nbytes / best(numbers.sum)


def best(work: Callable[[], object], repeats: int = 15) -> float:
    """Seconds of the quickest of several calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    found = {
        "benchmark": "machine",
        "threads": torch.get_num_threads(),
        "float32_gflops": round(matrix_rate(torch.float32) / 1e9),
        "bfloat16_gflops": round(matrix_rate(torch.bfloat16) / 1e9),
        "gigabytes_per_second": round(reading_rate() / 1e9, 1),
    }
    print(json.dumps(found))
