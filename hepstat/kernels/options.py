"""The compile options that every kernel shares.

Three flavours of arithmetic, `strict`, `kernel` and `summing`, and options for functions that only work on arrays of
their caller, `borrowing`, `part` and `strict_part`. None of them lets LLVM assume that infinities are absent, and none
uses ``parallel=True``: threads belong to :mod:`hepstat.execution`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["borrowing", "inlined", "kernel", "part", "strict", "strict_part", "summing"]

F = TypeVar("F", bound=Callable[..., Any])

_GENERAL = {"contract", "nsz", "arcp"}
_SUMS = _GENERAL | {"reassoc", "nnan"}


def _compile(function: F, fastmath: bool | set[str], **more: bool) -> F:
    options: Any = cast(Any, numba.njit)(cache=True, nogil=True, error_model="numpy", fastmath=fastmath, **more)
    return cast(F, options(function))


def strict(function: F) -> F:
    """Compile with IEEE arithmetic to the letter: where NaN, infinities or rounding carry meaning."""
    return _compile(function, False)


def kernel(function: F) -> F:
    """Compile with fused multiply-add, reciprocals for divisions and careless signs of zero."""
    return _compile(function, _GENERAL, _nrt=True)


def borrowing(function: F) -> F:
    """Compile like :func:`kernel`, for functions that neither allocate nor return arrays.

    They work on what their caller owns, so the counting of references is left out. It is atomic, and for a call with a
    tuple of ten arrays it would cost more than the arithmetic of a small fit. They may call a :func:`kernel` that
    allocates, if it returns numbers.
    """
    return _compile(function, _GENERAL, _nrt=False)


def part(function: F) -> F:
    """Compile like :func:`borrowing`, and inline where it is called: for pieces of a larger kernel."""
    return _compile(function, _GENERAL, _nrt=False, forceinline=True)


def strict_part(function: F) -> F:
    """Compile like :func:`part`, but with IEEE arithmetic to the letter."""
    return _compile(function, False, _nrt=False, forceinline=True)


def inlined(function: F) -> F:
    """Compile small functions of numbers to be inlined, with fused multiply-add as the only liberty."""
    return _compile(function, {"contract"}, forceinline=True)


def summing(function: F) -> F:
    """Compile like :func:`kernel`, and let inner sums be reordered: inputs must be free of NaN.

    Inlined, as sums are short.
    """
    return _compile(function, _SUMS, _nrt=False, forceinline=True)
