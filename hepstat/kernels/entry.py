"""Shape kernels by address: how one compiled fit can call any shape without knowing it.

A shape kernel is compiled on its own to a C function and handed to the fit kernels as a plain integer, its address.
The fit kernels therefore never grow with the number of shapes, stay cacheable, and compile once; a kernel that is
not used is not compiled. The price is one indirect call per block of points.

Every *density* and every *cumulative* kernel has the signature ::

    kernel(theta, columns, consts, n, order, out)

theta    (p,)          parameters
columns  (c, n)        what the shape's column kernel made of x (x itself where it has none)
consts   (any,)        numbers fixed when the model was built
order    0, 1 or 2     how many derivatives to fill in
out      (planes, n)   the value, then d/dtheta_j, then d2/dtheta_i dtheta_j for i <= j, row by row of the lower
                       triangle; `planes(p, order)` of them

and every *column* kernel ``kernel(x, consts, n, columns)``, with x (n,) and columns (c, n). A density need not be
normalised; its cumulative is an antiderivative of the same function, up to a constant. Arguments are pointers, which
:func:`view` turns into arrays.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import carray

from hepstat.kernels.callbacks import array_at
from hepstat.kernels.options import part

__all__ = ["Callback", "Entry", "call_columns", "call_shape", "planes", "pointer", "view", "window"]

_intrinsic: Any = intrinsic  # numba types what it returns as if its callers passed the typing context
_JIT = not getattr(numba.config, "DISABLE_JIT", 0)
_POINTER = types.CPointer(types.float64)
_SHAPE_SIGNATURE = types.void(_POINTER, _POINTER, _POINTER, types.int64, types.int64, _POINTER)
_COLUMN_SIGNATURE = types.void(_POINTER, _POINTER, types.int64, _POINTER)
_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp"},
}
_interpreted: dict[int, Callable[..., None]] = {}  # without JIT: what an "address" stands for


class Entry:
    """A shape or column kernel that is compiled when its address is first asked for.

    Parameters
    ----------
    function : callable
        The kernel, a module-level function with one of the two signatures above.
    columns : bool, optional
        Whether it is a column kernel.
    """

    def __init__(self, function: Callable[..., None], *, columns: bool = False) -> None:
        self.function = function
        self._signature = _COLUMN_SIGNATURE if columns else _SHAPE_SIGNATURE
        self._compiled: Any = None

    @property
    def address(self) -> int:
        """Where the compiled kernel starts; without JIT a number that stands for the Python function."""
        if not _JIT:
            _interpreted[id(self.function)] = self.function
            return id(self.function)
        if self._compiled is None:
            self._compiled = numba.cfunc(self._signature, **_OPTIONS)(self.function)
        return int(self._compiled.address)


class Callback:
    """A Python function with the shape signature on arrays, callable from compiled code by its address.

    ctypes takes the interpreter lock for each call, so that kernels may call it from any thread. An exception cannot
    cross compiled frames: it is kept in `error`, the output is NaN, and who started the kernel raises it afterwards.

    Parameters
    ----------
    function : callable
        ``function(theta, x, order, out)`` with theta (p,), x (n,) and out (planes, n).
    n_parameters : int
        Number p of parameters.
    """

    def __init__(self, function: Callable[..., None], n_parameters: int) -> None:
        self.error: BaseException | None = None
        self._function = function
        self._n_parameters = n_parameters
        pointer = ctypes.POINTER(ctypes.c_double)
        size = ctypes.c_int64
        kind = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, size, size, pointer)
        self._c_function = kind(self._from_c)

    def raise_error(self) -> None:
        """Raise what the function raised since the last call of this method, if anything."""
        error, self.error = self.error, None
        if error is not None:
            raise error

    @property
    def address(self) -> int:
        """Where compiled code can call the function."""
        if not _JIT:
            _interpreted[id(self)] = self._from_arrays
            return id(self)
        return int(ctypes.cast(self._c_function, ctypes.c_void_p).value or 0)

    def _from_c(self, theta: Any, x: Any, consts: Any, n: int, order: int, out: Any) -> None:
        p = self._n_parameters
        arrays = array_at(theta, (p,)), array_at(x, (n,))
        self._from_arrays(*arrays, consts, n, order, array_at(out, (planes(p, order), n)))

    def _from_arrays(self, theta: Any, x: Any, _consts: Any, n: int, order: int, out: Any) -> None:
        p = self._n_parameters
        out = _view(out, (planes(p, order), n))
        try:
            self._function(_view(theta, (p,)), _view(x, (n,)), order, out)
        except BaseException as error:  # whatever it is, it must not unwind through compiled code
            self.error = error
            out[:] = np.nan


def _view(array: Any, shape: tuple[int, ...]) -> Any:
    """Return the first entries of `array` in this shape: what carray does for a pointer."""
    return array.reshape(-1)[: int(np.prod(shape))].reshape(shape)


view = carray if _JIT else _view


@part
def planes(p: int, order: int) -> int:
    """Return how many planes of output a shape of p parameters fills at this order."""
    if order == 0:
        return 1
    if order == 1:
        return 1 + p
    return 1 + p + p * (p + 1) // 2


if _JIT:

    @_intrinsic
    def pointer(typing_context, array, start):  # type: ignore[no-untyped-def]
        """Return a pointer to entry `start` of a contiguous array."""

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.gep(make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])

        return _POINTER(array, types.int64), emit

    @_intrinsic
    def window(typing_context, array, start, shape):  # type: ignore[no-untyped-def]
        """Return an array of this shape made of the entries of a contiguous array from `start` on.

        Unlike a slice it counts no references, which would cost as much as the arithmetic on a row of a small fit.
        """
        kind = types.Array(types.float64, shape.count, "C")

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source = make_array(signature.args[0])(context, builder, args[0])
            lengths = cgutils.unpack_tuple(builder, args[2])
            strides = [ir.Constant(ir.IntType(64), 8)]
            for length in lengths[:0:-1]:
                strides.insert(0, builder.mul(strides[0], length))
            out = make_array(kind)(context, builder)
            data = builder.gep(source.data, [args[1]])
            populate_array(out, data=data, shape=lengths, strides=strides, itemsize=strides[-1], meminfo=None)
            return out._getvalue()

        return kind(array, types.int64, shape), emit

    def _emit_call(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        """Emit the call of args[0] as a C function of the other arguments."""
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args[1:]]).as_pointer()
        builder.call(builder.inttoptr(args[0], kind), args[1:])
        return _context.get_dummy_value()

    @_intrinsic
    def call_shape(typing_context, address, theta, columns, consts, n, order, out):  # type: ignore[no-untyped-def]
        """Call the density or cumulative kernel at this address; arrays are given as pointers."""
        return _SHAPE_SIGNATURE.return_type(types.int64, *_SHAPE_SIGNATURE.args), _emit_call

    @_intrinsic
    def call_columns(typing_context, address, x, consts, n, out):  # type: ignore[no-untyped-def]
        """Call the column kernel at this address; arrays are given as pointers."""
        return _COLUMN_SIGNATURE.return_type(types.int64, *_COLUMN_SIGNATURE.args), _emit_call

else:

    def pointer(array: Any, start: int) -> Any:
        """Return the entries of `array` from `start` on."""
        return array.reshape(-1)[start:]

    def window(array: Any, start: int, shape: tuple[int, ...]) -> Any:
        """Return an array of this shape made of the entries of `array` from `start` on."""
        return _view(array.reshape(-1)[start:], shape)

    def call_shape(address: int, *args: Any) -> None:
        """Call the density or cumulative kernel that this number stands for."""
        _interpreted[address](*args)

    def call_columns(address: int, *args: Any) -> None:
        """Call the column kernel that this number stands for."""
        _interpreted[address](*args)
