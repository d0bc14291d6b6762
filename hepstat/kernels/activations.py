"""What follows the sums of a layer: the activation of a block of numbers, and its slope found from its result.

Every activation is monotone, so that the slope can be computed from the value. NaN stays NaN, for the guards of
training.
"""

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import overload
from numpy.typing import NDArray

from hepstat.kernels.options import borrowing
from hepstat.kernels.special import expm1, sigmoid, softplus, tanh
from hepstat.kernels.special_f4 import expm1_f4, sigmoid_f4, softplus_f4, tanh_f4

__all__ = ["ACTIVATIONS", "LEAK", "activate", "times_slope"]

Array = NDArray[Any]

ACTIVATIONS = ("identity", "relu", "leaky relu", "elu", "tanh", "sigmoid", "softplus")
IDENTITY, RELU, LEAKY_RELU, ELU, TANH, SIGMOID, SOFTPLUS = range(len(ACTIVATIONS))
LEAK = 0.01  # slope of the leaky relu below zero


def _either(single: Any, double: Any) -> Any:
    """Return a function that works in the precision of its argument."""

    def choose(x):  # type: ignore[no-untyped-def]
        return single(x) if isinstance(x, np.float32) else double(x)

    def typed(x):  # type: ignore[no-untyped-def]
        chosen = single if x == types.float32 else double
        return lambda x: chosen(x)

    overload(choose)(typed)
    return choose


_expm1 = _either(expm1_f4, expm1)
_sigmoid = _either(sigmoid_f4, sigmoid)
_softplus = _either(softplus_f4, softplus)
_tanh = _either(tanh_f4, tanh)


@borrowing
def activate(code: int, a: Array) -> None:
    """Replace a (n,) by its activation."""
    n = a.shape[0]
    zero, leak = a.dtype.type(0.0), a.dtype.type(LEAK)
    if code == RELU:
        for i in range(n):
            a[i] = zero if a[i] < zero else a[i]
    elif code == LEAKY_RELU:
        for i in range(n):
            a[i] = leak * a[i] if a[i] < zero else a[i]
    elif code == ELU:
        for i in range(n):
            below = _expm1(a[i])
            a[i] = below if a[i] < zero else a[i]
    elif code == TANH:
        for i in range(n):
            a[i] = _tanh(a[i])
    elif code == SIGMOID:
        for i in range(n):
            a[i] = _sigmoid(a[i])
    elif code == SOFTPLUS:
        for i in range(n):
            a[i] = _softplus(a[i])


@borrowing
def times_slope(code: int, scale: float, a: Array, d: Array) -> None:
    """Multiply d (n,) by the slope of the activation that gave `scale` a (n,); at a kink, by that below."""
    n = a.shape[0]
    zero, one, leak, scale = a.dtype.type(0.0), a.dtype.type(1.0), a.dtype.type(LEAK), a.dtype.type(scale)
    if code == RELU:
        for i in range(n):
            d[i] = d[i] if a[i] > zero else zero
    elif code == LEAKY_RELU:
        for i in range(n):
            d[i] = d[i] if a[i] > zero else leak * d[i]
    elif code == ELU:
        for i in range(n):
            d[i] = d[i] if a[i] > zero else d[i] * (scale * a[i] + one)
    elif code == TANH:
        for i in range(n):
            v = scale * a[i]
            d[i] *= one - v * v
    elif code == SIGMOID:
        for i in range(n):
            v = scale * a[i]
            d[i] *= v * (one - v)
    elif code == SOFTPLUS:
        for i in range(n):
            d[i] *= -_expm1(-scale * a[i])
