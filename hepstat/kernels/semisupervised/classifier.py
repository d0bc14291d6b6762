"""Classifiers by address: how a compiled pseudo-experiment calls a classifier of Python without knowing it.

The signature is ::

    classify(state, x, y, w, n, x_eval, n_eval, d, response)

state     (STATE_SIZE,)  random stream, moved on
x         (n, d)         features of the events to train on, y (n,) their labels 0 and 1, w (n,) their weights
x_eval    (n_eval, d)    features of the events to evaluate
response  (n_eval,)      filled; the larger, the more like label 1

Arguments are pointers.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from hepstat.kernels.callbacks import RandomCallback, array_at
from hepstat.kernels.philox import STATE_SIZE

__all__ = ["Callback", "call_classifier"]

_intrinsic: Any = intrinsic  # numba types what it returns as if its callers passed the typing context
_JIT = not getattr(numba.config, "DISABLE_JIT", 0)
_interpreted: dict[int, Callable[..., None]] = {}  # without JIT: what an "address" stands for


class Callback(RandomCallback):
    """A classifier in Python, callable from compiled code by its address.

    The address is good for as long as this object lives.

    Parameters
    ----------
    function : callable
        ``function(x, y, w, x_eval, rng)`` returns responses (n_eval,). The arrays are gone after the call.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        array, size = ctypes.POINTER(ctypes.c_double), ctypes.c_int64
        kind = ctypes.CFUNCTYPE(
            None, ctypes.POINTER(ctypes.c_uint64), array, array, array, size, array, size, size, array
        )
        self._c_function = kind(self._from_c)

    @property
    def address(self) -> int:
        """Where compiled code can call the function."""
        if not _JIT:
            _interpreted[id(self)] = self._call
            return id(self)
        return int(ctypes.cast(self._c_function, ctypes.c_void_p).value or 0)

    def _from_c(
        self, state: Any, x: Any, y: Any, w: Any, n: int, x_eval: Any, n_eval: int, d: int, response: Any
    ) -> None:
        arrays = array_at(x, (n, d)), array_at(y, (n,)), array_at(w, (n,))
        evaluated, answer = array_at(x_eval, (n_eval, d)), array_at(response, (n_eval,))
        self._call(array_at(state, (STATE_SIZE,)), *arrays, n, evaluated, n_eval, d, answer)

    def _call(
        self, state: Any, x: Any, y: Any, w: Any, _n: int, x_eval: Any, n_eval: int, _d: int, response: Any
    ) -> None:
        try:
            found = np.asarray(self._function(x, y, w, x_eval, self.generator(state)), dtype=np.float64)
            if found.shape != (n_eval,):
                raise ValueError(f"a classifier returned responses of shape {found.shape} for {n_eval} events")
            response[:] = found
        except BaseException as error:  # whatever it is, it must not unwind through compiled code
            self.keep_error(error)
            response[:] = np.nan


if _JIT:

    @_intrinsic
    def call_classifier(typing_context, address, state, x, y, w, n, x_eval, n_eval, d, response):  # type: ignore[no-untyped-def]
        """Call the classifier at this address; arrays are contiguous."""

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def data(i: int) -> Any:
                return make_array(signature.args[i])(context, builder, args[i]).data

            values = [data(1), data(2), data(3), data(4), args[5], data(6), args[7], args[8], data(9)]
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in values]).as_pointer()
            builder.call(builder.inttoptr(args[0], kind), values)
            return context.get_dummy_value()

        size = types.int64
        return types.void(size, state, x, y, w, size, x_eval, size, size, response), emit

else:

    def call_classifier(
        address: int, state: Any, x: Any, y: Any, w: Any, n: int, x_eval: Any, n_eval: int, d: int, response: Any
    ) -> None:
        """Call the classifier that this number stands for."""
        _interpreted[address](state, x[:n], y[:n], w[:n], n, x_eval[:n_eval], n_eval, d, response)
