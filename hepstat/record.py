"""Frozen results that travel through JSON: numbers keep all their digits, NaN becomes null."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any, Self

import numpy as np

from hepstat.errors import InputError

__all__ = ["Record", "plain"]


def plain(value: Any) -> Any:
    """Return `value` in the types of JSON: arrays become lists, NaN and infinities become None.

    Parameters
    ----------
    value : object
        Numbers, text, arrays, and mappings and sequences of such.

    Returns
    -------
    object
        Numbers, text, booleans, None, lists and dictionaries.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Record:
    """A frozen dataclass of numbers, text, arrays and tuples of text that can be written to JSON and read back."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]

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
        return cls(**{name: _rich(entry) for name, entry in entries.items()})

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


def _rich(entry: Any) -> Any:
    """Turn lists back into arrays (null is NaN), or into tuples where they hold text."""
    if not isinstance(entry, list):
        return entry
    flat = _flat(entry)
    if any(isinstance(value, str) for value in flat):
        return tuple(entry)
    if flat and all(isinstance(value, bool) for value in flat):
        return np.array(entry, dtype=bool)
    return np.array(entry, dtype=np.float64)


def _flat(entry: list[Any]) -> list[Any]:
    return [value for item in entry for value in (_flat(item) if isinstance(item, list) else [item])]
