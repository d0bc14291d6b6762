"""The compile options that every kernel shares.

Three flavours of arithmetic, from the safest to the fastest, and `part` for pieces of a larger kernel. None of them
lets LLVM assume that infinities are absent, and none uses ``parallel=True``: threads belong to
:mod:`hepstat.execution`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["kernel", "part", "strict", "summing"]

F = TypeVar("F", bound=Callable[..., Any])

_GENERAL = {"contract", "nsz", "arcp"}
_SUMS = _GENERAL | {"reassoc", "nnan"}


def _compile(function: F, fastmath: bool | set[str], inline: bool = False) -> F:
    options = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath, forceinline=inline)
    return cast(F, options(function))


def strict(function: F) -> F:
    """Compile with IEEE arithmetic to the letter: where NaN, infinities or rounding carry meaning."""
    return _compile(function, False)


def kernel(function: F) -> F:
    """Compile with fused multiply-add, reciprocals for divisions and careless signs of zero."""
    return _compile(function, _GENERAL)


def part(function: F) -> F:
    """Compile like :func:`kernel`, to be inlined where it is called.

    For functions with one or two callers in a hot loop: a call that passes a tuple of arrays counts references to every
    one of them, atomically, which costs more than the arithmetic of a small fit.
    """
    return _compile(function, _GENERAL, inline=True)


def summing(function: F) -> F:
    """Compile like :func:`kernel`, and let inner sums be reordered: inputs must be free of NaN.

    Inlined, as sums are short.
    """
    return _compile(function, _SUMS, inline=True)
