"""What Python functions that compiled code calls have in common: arrays at pointers, errors, random numbers."""

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from hepstat.kernels.philox import State, next_bits

__all__ = ["RandomCallback", "array_at"]


def array_at(pointer: Any, shape: tuple[int, ...]) -> Any:
    """Return the array of this shape at a ctypes pointer, empty if a length is 0.

    Unlike :func:`numpy.ctypeslib.as_array` it keeps no type for every shape forever.
    """
    if not all(shape):
        return np.empty(shape)
    kind = pointer._type_ * int(np.prod(shape))
    return np.frombuffer(kind.from_address(ctypes.addressof(pointer.contents)), pointer._type_).reshape(shape)


class RandomCallback:
    """A Python function that is given random numbers, callable from compiled code.

    ctypes takes the interpreter lock for each call, so that kernels may call it from any thread. An exception cannot
    cross compiled frames: each thread keeps its first, the output is NaN, and who started the kernel raises it.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._kept = threading.local()

    def raise_error(self) -> None:
        """Raise what the function raised first in this thread since the last call of this method, if anything."""
        error, self._kept.error = getattr(self._kept, "error", None), None
        if error is not None:
            raise error

    def keep_error(self, error: BaseException) -> None:
        """Keep an error of this thread, unless there is one already."""
        self._kept.error = getattr(self._kept, "error", None) or error

    @staticmethod
    def generator(state: State) -> np.random.Generator:
        """Return a numpy generator of its own, whose key are the next words of a stream."""
        words = np.array([next_bits(state), next_bits(state)], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=words))
