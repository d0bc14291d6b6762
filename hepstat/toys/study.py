"""What one toy is: a study fills records, each from the random stream of its own number."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from threading import Lock
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hepstat.checks import whole_number
from hepstat.digest import code_digest
from hepstat.errors import InputError
from hepstat.record import plain
from hepstat.seeds import Key, toy_generator

__all__ = [
    "RAISED",
    "BlockStudy",
    "FunctionStudy",
    "PreparedStudy",
    "Records",
    "Study",
    "check_study",
    "described",
]

_log = logging.getLogger("hepstat.toys")

Records: TypeAlias = NDArray[np.void]
Fields: TypeAlias = Any  # what numpy.dtype takes: a list of (name, type) or a structured dtype

RAISED = -1  # status of a toy whose function raised an exception

_told: set[tuple[str, Key]] = set()  # functions and keys whose first exception this process has logged


class Study(Protocol):
    """What the engine asks of a study.

    Attributes
    ----------
    dtype : numpy.dtype
        Structured; one record for each toy, with a field ``status`` of integers, 0 for a toy that is fine.
    reasons : mapping of int to str
        What every other status means.
    chunk : int
        Toys of one block, unless the caller of :func:`hepstat.toys.run` chooses. It never changes a record.
    """

    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102

    @property
    def reasons(self) -> Mapping[int, str]: ...  # noqa: D102

    @property
    def chunk(self) -> int: ...  # noqa: D102

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types; studies that return the same make the same toys of one key."""

    def block(self, key: Key, first: int, out: Records) -> None:
        """Fill `out` (n,), zeros at first, with the records of toys `first`, ``first + 1``, ..."""


class _Described:
    """What both kinds of study made of a function have in common: fields, reasons, and how they are described."""

    def __init__(
        self,
        function: Callable[..., Any],
        fields: Fields,
        *,
        name: str | None,
        config: Mapping[str, Any] | None,
        reasons: Mapping[int, str] | None,
        chunk: int,
    ) -> None:
        if not callable(function):
            raise InputError("function", f"is {function!r}", "Pass a function")
        self.function = function
        self.dtype = _with_status(fields)
        self.reasons = _checked_reasons(reasons)
        self.chunk = whole_number(chunk, "chunk", at_least=1)
        self.name = name if name is not None else getattr(function, "__name__", type(function).__name__)
        self.config = _json(dict(config or {}), "config")
        self.code = code_digest(function)

    def describe(self) -> dict[str, Any]:
        """Return name, fields, configuration and a digest of the function's code, in JSON types."""
        fields = plain(np.lib.format.dtype_to_descr(self.dtype))
        return {"name": self.name, "fields": fields, "config": self.config, "code": self.code}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "function": _Named.where_compiled(self.function)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if isinstance(self.function, _Named):
            self.function = self.function.find()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, fields {', '.join(self.dtype.names or ())})"


@dataclass(frozen=True)
class _Named:
    """A compiled function on its way to another process, which imports it.

    Numba would send its source instead, to be compiled there without looking into the cache.
    """

    module: str
    name: str

    @classmethod
    def where_compiled(cls, function: Callable[..., Any]) -> Any:
        """Return the name of a compiled function of a module, anything else as it is."""
        plain_function = getattr(function, "py_func", None)
        module, name = getattr(plain_function, "__module__", "__main__"), getattr(plain_function, "__name__", "")
        found = module != "__main__" and getattr(sys.modules.get(module), name, None) is function
        return cls(module, name) if found else function

    def find(self) -> Any:
        return getattr(import_module(self.module), self.name)


class FunctionStudy(_Described):
    """Toys made one at a time by a Python function, which may call compiled code.

    Parameters
    ----------
    function : callable
        ``function(index, rng)`` gets the number of a toy and its numpy generator and returns a mapping, a tuple in
        the order of the fields, or for one field its value. A mapping may set ``status`` in any case. An
        exception gives the toy status RAISED, with NaN and 0 in the fields; the first one is logged.
    fields : list of (str, type) or structured dtype
        What a toy leaves behind, as ``[("q0", float), ("n", int)]``. ``status`` is put in front if it is missing.
    name : str, optional
        By default that of the function.
    config : mapping, optional
        Everything else that fixes the toys, in JSON types.
    reasons : mapping of int to str, optional
        What a status other than 0 means.
    chunk : int
        Toys of one block.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    :meth:`describe` holds a digest of the function: its bytecode, constants, defaults, and what a closure holds, so
    that an edited function is noticed. Functions that it calls by name and global variables are not in it; put into
    `config` what matters of them.
    """

    def __init__(
        self,
        function: Callable[[int, np.random.Generator], Any],
        fields: Fields,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        reasons: Mapping[int, str] | None = None,
        chunk: int = 16,
    ) -> None:
        own = {RAISED: "the function raised an exception", **(reasons or {})}
        super().__init__(function, fields, name=name, config=config, reasons=own, chunk=chunk)
        given = np.dtype(fields).names or ()
        self._order = given if "status" in given else (self.dtype.names or ())[1:]

    def block(self, key: Key, first: int, out: Records) -> None:
        """Fill `out` (n,) with the records of toys `first`, ``first + 1``, ..."""
        for i in range(len(out)):
            index = first + i
            try:
                value = self.function(index, toy_generator(key, index))
            except Exception as error:
                out[i] = self._raised()
                if (self.code, key) not in _told:
                    _told.add((self.code, key))
                    _log.warning("toy %d of %s raised %s: %s", index, self.name, type(error).__name__, error)
            else:
                self._keep(value, out[i : i + 1])

    def replay(self, key: Key, index: int) -> np.void:
        """Return the record of one toy, and let an exception through."""
        out = np.zeros(1, self.dtype)
        self._keep(self.function(index, toy_generator(key, index)), out)
        record: np.void = out[0]
        return record

    def _keep(self, value: Any, out: Records) -> None:
        """Write what the function returned into out (1,)."""
        if isinstance(value, Mapping):
            names, values = tuple(value), tuple(value.values())
            fits = {*names, "status"} == {*self._order, "status"} and {*self._order} <= {*names}
        else:
            names, values = self._order, tuple(value) if isinstance(value, tuple | list) else (value,)
            fits = len(names) == len(values)
        try:
            if not fits:
                raise ValueError(f"not the fields {', '.join(self._order)}")
            for name, entry in zip(names, values, strict=True):
                out[name] = entry
        except (TypeError, ValueError, OverflowError) as error:
            shown = f"returned {value!r}, which does not fit the fields ({error})"
            raise InputError("function", shown, "Return a mapping, a tuple, or for one field its value") from None

    def _raised(self) -> np.void:
        record = np.zeros(1, self.dtype)
        for name in self.dtype.names or ():
            if self.dtype[name].base.kind in "fc":
                record[name] = np.nan
        record["status"] = RAISED
        failed: np.void = record[0]
        return failed


class BlockStudy(_Described):
    """Toys made in blocks by a function of arrays, compiled or not.

    Parameters
    ----------
    function : callable
        ``function(key0, key1, first, out)`` gets the two words of the key and fills the structured array `out` (n,),
        zeros at first, with the records of toys `first`, ``first + 1``, ..., each from its own stream
        (:func:`hepstat.kernels.philox.seek`), so that blocks do not change a record. It should release the
        interpreter lock (``nogil=True``), or threads do not help. What it raises ends the run.
    fields, name, config, reasons, chunk
        See :class:`FunctionStudy`, also for what a digest of the function covers.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """

    def __init__(
        self,
        function: Callable[[np.uint64, np.uint64, int, Records], Any],
        fields: Fields,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        reasons: Mapping[int, str] | None = None,
        chunk: int = 1024,
    ) -> None:
        super().__init__(function, fields, name=name, config=config, reasons=reasons, chunk=chunk)

    def block(self, key: Key, first: int, out: Records) -> None:
        """Fill `out` (n,) with the records of toys `first`, ``first + 1``, ..."""
        self.function(key[0], key[1], first, out)


class PreparedStudy:
    """Base of studies that prepare something for all their toys, in cached properties.

    These stay behind when the study is sent to another process. A process that receives equal studies, as it does with
    every block, keeps the first of them, so that it prepares once.
    """

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        raise NotImplementedError

    def __repr__(self) -> str:
        fields = ", ".join(np.dtype(self.dtype).names or ())  # type: ignore[attr-defined]
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the attributes without what was prepared."""
        kinds = [vars(kind) for kind in type(self).__mro__]
        prepared = {name for kind in kinds for name, value in kind.items() if isinstance(value, cached_property)}
        state = {name: value for name, value in self.__dict__.items() if name not in prepared}
        return _arrive, (type(self), self._description, state)

    @cached_property
    def _description(self) -> str:
        """What :meth:`describe` says, as text: asked for with every block that is sent."""
        return json.dumps(self.describe())


_arrived: dict[tuple[type, str], Any] = {}
_arriving = Lock()
_MOST_ARRIVED = 8


def _arrive(kind: type, description: str, state: dict[str, Any]) -> Any:
    """Return the study of this description that was here before, or make it."""
    with _arriving:
        if (kind, description) not in _arrived:
            while len(_arrived) >= _MOST_ARRIVED:
                del _arrived[next(iter(_arrived))]
            study: Any = object.__new__(kind)
            study.__dict__.update(state)
            _arrived[kind, description] = study
        return _arrived[kind, description]


def described(study: Study) -> dict[str, Any]:
    """Return the configuration of a study as it comes back from a JSON file, or raise :class:`InputError`."""
    entries: dict[str, Any] = _json(study.describe(), "study.describe()")
    return entries


def check_study(study: Any) -> None:
    """Raise :class:`InputError` for what is no study."""
    absent = [name for name in ("dtype", "reasons", "chunk", "describe", "block") if not hasattr(study, name)]
    if absent:
        raise InputError("study", f"has no {', '.join(absent)}", "Pass a FunctionStudy, a BlockStudy or another Study")
    _with_status(study.dtype, "study.dtype", add=False)


def _with_status(fields: Fields, name: str = "fields", *, add: bool = True) -> np.dtype[Any]:
    """Return the type of the records, with ``status`` in front if it is missing and may be added."""
    remedy = 'Pass a list such as [("q0", float), ("n", int)] or a structured dtype'
    dtype: Any
    try:
        dtype = np.dtype(fields)
        np.lib.format.dtype_to_descr(dtype)
    except (TypeError, ValueError) as error:
        raise InputError(name, f"is {fields!r} ({error})", remedy) from None
    if not dtype.names or dtype.hasobject:
        raise InputError(name, f"is {fields!r}", remedy)
    if "status" not in dtype.names and add:
        dtype = np.dtype([("status", np.int16), *[(field, dtype[field]) for field in dtype.names]])
    if "status" not in dtype.names or dtype["status"].kind not in "iu":
        raise InputError(name, f"is {fields!r}, without a status", 'Let the field "status" hold integers')
    checked: np.dtype[Any] = dtype
    return checked


def _checked_reasons(reasons: Mapping[int, str] | None) -> dict[int, str]:
    given = (reasons or {}).items()
    checked = {whole_number(status, "reasons", at_least=-(2**31)): str(text) for status, text in given}
    if 0 in checked:
        raise InputError("reasons", f"has {checked[0]!r} for 0", "Status 0 is that of a toy that is fine")
    return checked


def _json(entries: Any, name: str) -> Any:
    """Return `entries` as they come back from a JSON file."""
    try:
        return json.loads(json.dumps(plain(entries), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(
            name, f"cannot be written as JSON ({error})", "Use numbers, text, lists and mappings"
        ) from None
