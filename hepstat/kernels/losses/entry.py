"""Loss kernels by address: how one compiled training can call any loss without knowing it.

As with shapes (:mod:`hepstat.kernels.entry`), a loss is compiled on its own to a C function and handed to the training
kernels as an integer. Every loss has the signature ::

    value = loss(scores, targets, weights, constants, n, k, gradient)

scores     (n, k)  outputs of the model, k of them for each event (1 except for classes)
targets    (n,)    labels 0 and 1, numbers of classes, or real values
weights    (n,)    scaled by the caller
constants  (any,)  numbers of the loss
gradient   (n, k)  filled with d value / d scores

The value is the sum of w l over events for additive losses, else that of the set; nothing is normalised inside.
Arguments are pointers, which :func:`hepstat.kernels.entry.view` turns into arrays. Scores that are NaN make the value
NaN, so that a training that has diverged is noticed.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from hepstat.kernels.callbacks import array_at
from hepstat.kernels.entry import pointer, view
from hepstat.kernels.options import kernel

__all__ = ["Callback", "Entry", "call_loss", "evaluate_loss"]

_intrinsic: Any = intrinsic  # numba types what it returns as if its callers passed the typing context
_JIT = not getattr(numba.config, "DISABLE_JIT", 0)
_POINTER = types.CPointer(types.float64)
_SIGNATURE = types.float64(_POINTER, _POINTER, _POINTER, _POINTER, types.int64, types.int64, _POINTER)
_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},  # sums over events vectorise; NaN keeps its meaning
}
_interpreted: dict[int, Callable[..., float]] = {}  # without JIT: what an "address" stands for


class Entry:
    """A loss kernel that is compiled when its address is first asked for.

    Parameters
    ----------
    function : callable
        The kernel, a module-level function with the signature above.
    """

    def __init__(self, function: Callable[..., float]) -> None:
        self.function = function
        self._compiled: Any = None

    @property
    def address(self) -> int:
        """Where the compiled kernel starts; without JIT a number that stands for the Python function."""
        if not _JIT:
            _interpreted[id(self.function)] = self.function
            return id(self.function)
        if self._compiled is None:
            compiled = numba.cfunc(_SIGNATURE, **_OPTIONS)(self.function)
            self._compiled = self._compiled or compiled  # another thread may have been quicker
        return int(self._compiled.address)


class Callback:
    """A Python function that is a loss on arrays, callable from compiled code by its address.

    ctypes takes the interpreter lock for each call, so that kernels may call it from any thread. An exception cannot
    cross compiled frames: the first one is kept, value and gradient are NaN, and who started the kernel raises it
    afterwards. The address is good for as long as this object lives.

    Parameters
    ----------
    function : callable
        ``function(scores, targets, weights, gradient)`` with scores and gradient (n, k), targets and weights (n,):
        fills the gradient and returns the value. The arrays are gone after the call.
    """

    def __init__(self, function: Callable[..., float]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        array, size = ctypes.POINTER(ctypes.c_double), ctypes.c_int64
        kind = ctypes.CFUNCTYPE(ctypes.c_double, array, array, array, array, size, size, array)
        self._c_function = kind(self._from_c)

    def raise_error(self) -> None:
        """Raise what the function raised first since the last call of this method, if anything."""
        with self._lock:
            error, self._error = self._error, None
        if error is not None:
            raise error

    @property
    def address(self) -> int:
        """Where compiled code can call the function."""
        if not _JIT:
            _interpreted[id(self)] = self._from_arrays
            return id(self)
        return int(ctypes.cast(self._c_function, ctypes.c_void_p).value or 0)

    def _from_c(self, scores: Any, targets: Any, weights: Any, _constants: Any, n: int, k: int, gradient: Any) -> float:
        table, column = (n, k), (n,)
        return self._call(
            array_at(scores, table), array_at(targets, column), array_at(weights, column), array_at(gradient, table)
        )

    def _from_arrays(self, scores: Any, targets: Any, weights: Any, _: Any, n: int, k: int, gradient: Any) -> float:
        return self._call(view(scores, (n, k)), view(targets, (n,)), view(weights, (n,)), view(gradient, (n, k)))

    def _call(self, scores: Any, targets: Any, weights: Any, gradient: Any) -> float:
        try:
            return float(self._function(scores, targets, weights, gradient))
        except BaseException as error:  # whatever it is, it must not unwind through compiled code
            with self._lock:
                self._error = self._error or error
            gradient[:] = np.nan
            return np.nan


if _JIT:

    @_intrinsic
    def call_loss(  # type: ignore[no-untyped-def]
        typing_context, address, scores, targets, weights, constants, n, k, gradient
    ):
        """Return the value of the loss at this address and fill the gradient; arrays are given as pointers."""

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.DoubleType(), [value.type for value in args[1:]]).as_pointer()
            return builder.call(builder.inttoptr(args[0], kind), args[1:])

        return _SIGNATURE.return_type(types.int64, *_SIGNATURE.args), emit

else:

    def call_loss(address: int, *args: Any) -> float:
        """Return the value of the loss that this number stands for and fill the gradient."""
        return _interpreted[address](*args)


@kernel
def evaluate_loss(address: int, scores: Any, targets: Any, weights: Any, constants: Any) -> tuple[float, Any]:
    """Return value and gradient (n, k) of the loss at this address, called once on arrays.

    Parameters
    ----------
    address : int
        `Entry.address` or `Callback.address`.
    scores : ndarray, shape (n, k)
    targets, weights : ndarray, shape (n,)
    constants : ndarray
    """
    n, k = scores.shape
    gradient = np.empty((n, k))
    value = call_loss(
        address,
        pointer(scores, 0),
        pointer(targets, 0),
        pointer(weights, 0),
        pointer(constants, 0),
        n,
        k,
        pointer(gradient, 0),
    )
    return value, gradient
