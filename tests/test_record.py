"""Records through JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from hepstat.record import Record, plain
from hepstat.types import Floats


@dataclass(frozen=True, eq=False)
class Numbers(Record):
    """Numbers of all kinds of fields."""

    number: float
    values: Floats
    by_name: dict[str, float]
    none: float | None
    text: str


def _numbers(number: float) -> Numbers:
    return Numbers(number, np.array([[number, 1.5], [-0.0, 1e300]]), {"a": number}, None, "inf")


def test_numbers_that_are_not_finite() -> None:
    """Infinities and NaN come back in every kind of field; the text "inf" stays text."""
    for number in (math.inf, -math.inf, math.nan, 0.1):
        record = _numbers(number)
        again = Numbers.from_json(record.to_json())
        np.testing.assert_equal(vars(again), vars(record))


def test_nulls() -> None:
    """Where a file has null for a number it is NaN; other writers of JSON have null for infinities too."""
    assert _numbers(-math.inf).to_dict()["values"][0][0] == "-inf"
    entries = plain(_numbers(math.inf))
    assert entries["number"] is entries["by_name"]["a"] is entries["values"][0][0] is None
    assert entries["text"] == "inf"
    again = Numbers.from_json(json.dumps(entries))
    assert math.isnan(again.number)
    assert math.isnan(again.values[0, 0])
    assert again.none is None
