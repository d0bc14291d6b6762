"""The compile options that every kernel shares.

Three flavours, from the safest to the fastest. None of them lets LLVM assume that infinities
are absent, and none uses ``parallel=True``: threads belong to :mod:`hepstat.execution`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["kernel", "strict", "summing"]

F = TypeVar("F", bound=Callable[..., Any])

_GENERAL = {"contract", "nsz", "arcp"}
_SUMS = _GENERAL | {"reassoc", "nnan"}


def _compile(function: F, fastmath: bool | set[str]) -> F:
    options = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
    return cast(F, options(function))


def strict(function: F) -> F:
    """Compile with IEEE arithmetic to the letter: where NaN, infinities or rounding carry meaning."""
    return _compile(function, False)


def kernel(function: F) -> F:
    """Compile with fused multiply-add, reciprocals for divisions and careless signs of zero."""
    return _compile(function, _GENERAL)


def summing(function: F) -> F:
    """Compile like :func:`kernel`, and let inner sums be reordered: inputs must be free of NaN."""
    return _compile(function, _SUMS)
