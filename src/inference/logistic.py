"""The binomial log likelihood at given log-odds, several cells at once in vector registers.

numba calls the C library's exp and log1p, one number at a time, and they are most of what a density costs.
The series here have no calls and no branches, which lets LLVM use vector registers. Both agree with the
library to a few units in the last place (`tests/inference/test_logistic.py`).
"""

import numba as nb
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""What the compiler may do with sums and products; not to assume that every number is finite."""
EXACT = {"contract", "nsz"}
"""The same where the order of operations is what makes a series exact."""

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first with trailing zeros: whole multiples of it are exact (Cody & Waite 1980)."""
_ROUND = 6755399441055744.0
"""1.5 * 2^52: a number of up to 2^51 added to it stands, rounded, in the last bits."""
_ROUND_BITS = 0x4338000000000000
"""The bits of `_ROUND`."""
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
"""Those of the square root of one half."""
_LEAST = -700.0
"""Below it exp is taken as exp(-700), about 1e-304."""


@intrinsic
def _bits_of(typingctx, number):
    """Read a float64 as an int64."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def _float_of(typingctx, bits):
    """Read an int64 as a float64."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@nb.njit(inline="always", error_model="numpy", fastmath=EXACT)
def exp_of_negative(x):
    """Return exp(x) for x <= 0: a Taylor series within half of ln 2, times a power of two."""
    x = max(x, _LEAST)
    shifted = x * _LOG2_E + _ROUND
    whole = shifted - _ROUND
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    series = 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    return series * _float_of((_bits_of(shifted) + 1023) << 52)  # type: ignore[call-arg]


@nb.njit(inline="always", error_model="numpy", fastmath=EXACT)
def log1p_of_fraction(x):
    """Return log(1 + x) for 0 <= x <= 1, as 2 artanh(x / (2 + x)) by its series."""
    z = x / (2.0 + x)
    square = z * z
    series = 1.0 / 33.0
    series = series * square + 1.0 / 31.0
    series = series * square + 1.0 / 29.0
    series = series * square + 1.0 / 27.0
    series = series * square + 1.0 / 25.0
    series = series * square + 1.0 / 23.0
    series = series * square + 1.0 / 21.0
    series = series * square + 1.0 / 19.0
    series = series * square + 1.0 / 17.0
    series = series * square + 1.0 / 15.0
    series = series * square + 1.0 / 13.0
    series = series * square + 1.0 / 11.0
    series = series * square + 1.0 / 9.0
    series = series * square + 1.0 / 7.0
    series = series * square + 1.0 / 5.0
    series = series * square + 1.0 / 3.0
    return 2.0 * z * (series * square + 1.0)


@nb.njit(inline="always", error_model="numpy", fastmath=EXACT)
def log_of_positive(x):
    """Return log(x) for x from 2.3e-308: a power of two, and 2 artanh((m - 1) / (m + 1)) by its series."""
    bits: int = _bits_of(x)  # type: ignore[call-arg]
    whole = (bits - _ROOT_HALF_BITS) >> 52
    m: float = _float_of(bits - (whole << 52))
    power = _float_of(whole + _ROUND_BITS) - _ROUND
    z = (m - 1.0) / (m + 1.0)
    square = z * z
    series = 1.0 / 21.0
    series = series * square + 1.0 / 19.0
    series = series * square + 1.0 / 17.0
    series = series * square + 1.0 / 15.0
    series = series * square + 1.0 / 13.0
    series = series * square + 1.0 / 11.0
    series = series * square + 1.0 / 9.0
    series = series * square + 1.0 / 7.0
    series = series * square + 1.0 / 5.0
    series = series * square + 1.0 / 3.0
    return power * _LN2_HIGH + (2.0 * z * (series * square + 1.0) + power * _LN2_LOW)


@nb.njit(inline="never", error_model="numpy", fastmath=EXACT)
def _each_cell(log_odds, refusals, trials, residual, terms):
    for i in range(len(refusals)):
        eta = log_odds[i]
        small = exp_of_negative(-abs(eta))
        large = 1.0 / (1.0 + small)
        probability = large if eta >= 0 else small * large
        terms[i] = refusals[i] * eta - trials[i] * (max(eta, 0.0) + log1p_of_fraction(small))
        residual[i] = refusals[i] - trials[i] * probability


@nb.njit(inline="never", error_model="numpy", fastmath=FAST)
def binomial_log_likelihood(log_odds, refusals, trials, residual, terms):
    """Return the log likelihood without binomial coefficients; write its derivative by each cell's log-odds.

    `terms` is room for each cell's share of the value.
    """
    _each_cell(log_odds, refusals, trials, residual, terms)
    value = 0.0
    for i in range(len(refusals)):
        value += terms[i]
    return value
