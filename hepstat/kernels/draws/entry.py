"""Draws by address: how one compiled kernel throws events of any component without knowing it.

As with shapes and losses, a draw is compiled on its own to a C function and handed to the kernels as an integer. Every
draw has the signature ::

    draw(state, constants, n, ratio)

state      (STATE_SIZE,)  random stream (:mod:`hepstat.kernels.philox`), moved on
constants  (any,)         numbers of the component
n                         number of events
ratio      (n,)           filled with p_S(x) / p_B(x) of each event

Arguments are pointers, which :func:`hepstat.kernels.entry.view` turns into arrays. Where events came from, features or
a list of simulated ones, stays inside.

A draw may as well throw the events themselves: its last argument is then (n, columns), row by row
(:mod:`hepstat.kernels.draws.rows`). The number of columns is among the constants of the draw, and its caller knows it.
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
from hepstat.kernels.entry import view
from hepstat.kernels.options import kernel
from hepstat.kernels.philox import STATE_SIZE, State

__all__ = ["Callback", "Entry", "call_draw", "draw_once"]

_intrinsic: Any = intrinsic  # numba types what it returns as if its callers passed the typing context
_JIT = not getattr(numba.config, "DISABLE_JIT", 0)
_SIGNATURE = types.void(
    types.CPointer(types.uint64), types.CPointer(types.float64), types.int64, types.CPointer(types.float64)
)
_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp"},
}
_interpreted: dict[int, Callable[..., None]] = {}  # without JIT: what an "address" stands for


class Entry:
    """A draw that is compiled when its address is first asked for.

    Parameters
    ----------
    function : callable
        The kernel, a module-level function with the signature above.
    """

    def __init__(self, function: Callable[..., None]) -> None:
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


class Callback(RandomCallback):
    """A Python function that draws events, callable from compiled code by its address.

    The address is good for as long as this object lives. Negative ratios arrive as NaN.

    Parameters
    ----------
    function : callable
        ``function(n, rng)`` gets a number of events and a numpy generator, of its own for every call, and returns
        ratios (n,), or events (n, columns), all finite.
    columns : int, optional
        Number of columns of events; None for ratios.
    """

    def __init__(self, function: Callable[[int, np.random.Generator], Any], columns: int | None = None) -> None:
        super().__init__(function)
        self._row = () if columns is None else (columns,)
        kind = ctypes.CFUNCTYPE(
            None, ctypes.POINTER(ctypes.c_uint64), ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_double)
        )
        self._c_function = kind(self._from_c)

    @property
    def address(self) -> int:
        """Where compiled code can call the function."""
        if not _JIT:
            _interpreted[id(self)] = self._from_arrays
            return id(self)
        return int(ctypes.cast(self._c_function, ctypes.c_void_p).value or 0)

    def _from_c(self, state: Any, _constants: Any, n: int, out: Any) -> None:
        self._call(array_at(state, (STATE_SIZE,)), n, array_at(out, (n, *self._row)))

    def _from_arrays(self, state: Any, _constants: Any, n: int, out: Any) -> None:
        self._call(state, n, view(out, (n, *self._row)))

    def _call(self, state: State, n: int, out: Any) -> None:
        try:
            found = np.asarray(self._function(n, self.generator(state)), dtype=np.float64)
            if found.shape != out.shape:
                kind = "columns" if self._row else "ratios"
                raise ValueError(f"a draw of {n} events returned {kind} of shape {found.shape}")
            if self._row and not np.isfinite(found).all():
                raise ValueError(f"a draw of {n} events returned {int((~np.isfinite(found)).sum())} NaN or infinities")
            out[:] = found if self._row else np.where(found >= 0.0, found, np.nan)  # a negative one would have no bin
        except BaseException as error:  # whatever it is, it must not unwind through compiled code
            self.keep_error(error)
            out[:] = np.nan


if _JIT:

    @_intrinsic
    def call_draw(typing_context, address, state, constants, n, ratio):  # type: ignore[no-untyped-def]
        """Call the draw at this address; arrays are contiguous."""

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def data(i: int) -> Any:
                return make_array(signature.args[i])(context, builder, args[i]).data

            values = [data(1), data(2), args[3], data(4)]
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in values]).as_pointer()
            builder.call(builder.inttoptr(args[0], kind), values)
            return context.get_dummy_value()

        return types.void(types.int64, state, constants, types.int64, ratio), emit

else:

    def call_draw(address: int, *args: Any) -> None:
        """Call the draw that this number stands for."""
        _interpreted[address](*args)


@kernel
def draw_once(address: int, state: State, constants: Any, ratio: Any) -> None:
    """Fill `ratio` (n,) with one call of the draw at this address."""
    call_draw(address, state, constants, ratio.shape[0], ratio)
