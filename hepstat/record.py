"""Frozen results that travel through JSON: numbers keep all their digits, NaN becomes null, infinities "inf"."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

import numpy as np

from hepstat.errors import InputError

__all__ = ["Record", "plain"]


def plain(value: Any, *, infinities: bool = False) -> Any:
    """Return `value` in the types of JSON: arrays become lists, NaN and infinities become None.

    Parameters
    ----------
    value : object
        Numbers, text, arrays, records, and mappings and sequences of such.
    infinities : bool, optional
        Make infinities "inf" and "-inf" instead.

    Returns
    -------
    object
        Numbers, text, booleans, None, lists and dictionaries.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Record):
        value = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
    if isinstance(value, dict):
        return {str(key): plain(entry, infinities=infinities) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, infinities=infinities) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if infinities and math.isinf(value) else None
    return value


class Record:
    """A frozen dataclass of numbers, text, arrays, tuples of text and other records, to JSON and back."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types; NaN is None, infinities are "inf" and "-inf"."""
        entries: dict[str, Any] = plain(self, infinities=True)
        return entries

    def to_json(self) -> str:
        """Return the fields as a JSON object."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> Self:
        """Make the record from what :meth:`to_dict` gave.

        Raises
        ------
        InputError
            If fields are missing or unknown.
        """
        wanted = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        if set(entries) != wanted:
            odd = ", ".join(sorted(set(entries) ^ wanted))
            raise InputError("entries", f"do not match {cls.__name__}: {odd}", "Pass what to_dict returned")
        kinds = get_type_hints(cls)
        return cls(**{name: _rich(entry, kinds[name]) for name, entry in entries.items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Make the record from what :meth:`to_json` gave.

        Raises
        ------
        InputError
            If it is no JSON object with the right fields.
        """
        try:
            entries = json.loads(text)
        except (TypeError, ValueError) as error:
            raise InputError("text", f"is not JSON ({error})", "Pass what to_json returned") from None
        if not isinstance(entries, dict):
            raise InputError("text", f"is a JSON {type(entries).__name__}", "Pass what to_json returned")
        return cls.from_dict(entries)


def _rich(entry: Any, kind: Any) -> Any:
    """Turn an entry back into what the annotation says; where numbers are wanted null is NaN, "inf" infinity."""
    origin = get_origin(kind)
    if origin is np.ndarray:
        dtype = get_args(get_args(kind)[1])[0]
        return np.array(entry, dtype=dtype if dtype in (np.bool_, np.int64) else np.float64)
    if origin is tuple:
        return tuple(entry)
    if origin is dict:
        return {name: _rich(value, get_args(kind)[1]) for name, value in entry.items()}
    if origin in (Union, UnionType):
        return None if entry is None else _rich(entry, next(k for k in get_args(kind) if k is not NoneType))
    if kind is float:
        return math.nan if entry is None else float(entry)
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_dict(entry)
    return entry
