"""The compile option for small functions that must disappear into the loops that call them."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["inlined"]

F = TypeVar("F", bound=Callable[..., Any])


def inlined(function: F) -> F:
    """Compile for inlining, with fused multiply-add as the only liberty, whatever the caller allows itself."""
    options = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)
    return cast(F, options(function))
