"""Digests by which an edited function, or other numbers, are noticed."""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["code_digest", "numbers_digest"]


def code_digest(function: Any) -> str:
    """Return 16 hexadecimal digits that change when the function is edited.

    They cover bytecode, constants, defaults and the values that a closure, a method or a `functools.partial` holds:
    numbers, text, arrays, other functions, collections of these, and any object that can be pickled. What the function
    calls by a global name, and global variables, are not covered. The bytecode is that of one version of Python.
    """
    digest = hashlib.sha256()
    for part in _parts(function, set()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def numbers_digest(*arrays: NDArray[Any]) -> str:
    """Return 16 hexadecimal digits that change with any bit of the arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """Give text for what counts in a value; `seen` are the functions under way, which may hold themselves."""
    value = getattr(value, "py_func", value)  # what Numba has compiled
    if isinstance(value, FunctionType):
        if id(value) not in seen:
            cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
            yield from _parts((value.__code__, value.__defaults__, value.__kwdefaults__, cells), seen | {id(value)})
    elif isinstance(value, CodeType):
        yield f"code {value.co_code.hex()} {value.co_names}"
        yield from _parts(value.co_consts, seen)
    elif isinstance(value, MethodType):
        yield from _parts((value.__func__, value.__self__), seen)
    elif isinstance(value, functools.partial):
        yield from _parts((value.func, value.args, value.keywords), seen)
    elif isinstance(value, tuple | list):
        yield f"{len(value)} entries"
        for entry in value:
            yield from _parts(entry, seen)
    elif isinstance(value, dict):
        yield from _parts(list(value.items()), seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(" ".join(_parts(entry, seen)) for entry in value)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        yield repr(value)
    elif isinstance(value, np.ufunc | BuiltinFunctionType):
        yield f"{getattr(value, '__module__', None)}.{value.__name__}"
        yield from _parts(getattr(value, "__self__", None), seen)
    elif isinstance(value, ModuleType):
        yield value.__name__
    else:
        yield f"{type(value).__module__}.{type(value).__qualname__} {_pickled(value)}"


def _pickled(value: Any) -> str:
    """Return a digest of any other object's state, or nothing if it cannot be told."""
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=5)).hexdigest()
    except Exception:  # whatever its own methods raise
        return ""


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
