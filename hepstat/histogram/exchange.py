"""Histograms of other libraries: the UHI schema, and the UHI protocol for what has no schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from uhi.io import from_sparse
from uhi.io.json import default, object_hook

from hepstat.errors import HepstatError, InputError
from hepstat.histogram.axes import Axis, Regular, Variable, axis_between
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.histogram.core import Histogram

__all__ = ["format_json", "parse_json", "read_uhi", "write_uhi"]

Contents = tuple[list[Axis], Floats, Floats | None]


def write_uhi(h: Histogram) -> dict[str, Any]:
    """Return `h` as a dictionary of version 1 of the UHI schema."""
    from importlib.metadata import version

    return {
        "uhi_schema": 1,
        "writer_info": {"hepstat": {"version": version("hepstat")}},
        "axes": [_write_axis(axis) for axis in h.axes],
        "storage": {"type": "weighted", "values": h.values(flow=True), "variances": h.variances(flow=True)},
    }


def _write_axis(axis: Axis) -> dict[str, Any]:
    flow = {"underflow": True, "overflow": True, "circular": False}
    words = {"name": axis.name, "label": axis.label}
    metadata = {"metadata": {key: word for key, word in words.items() if word}} if axis.label else {}
    if isinstance(axis, Regular):
        return {"type": "regular", "lower": axis.low, "upper": axis.high, "bins": len(axis), **flow, **metadata}
    return {"type": "variable", "edges": axis.edges, **flow, **metadata}


def format_json(h: Histogram) -> str:
    """Return `h` as JSON of the UHI schema."""
    return json.dumps(write_uhi(h), default=default)


def parse_json(text: str) -> dict[str, Any]:
    """Return JSON of one histogram of the UHI schema as a dictionary."""
    try:
        parsed = json.loads(text, object_hook=object_hook)
    except (TypeError, ValueError) as error:
        raise InputError("text", f"is not JSON ({error})", "Pass what to_json or uhi.io wrote") from None
    if not isinstance(parsed, dict):
        raise InputError("text", f"is a JSON {type(parsed).__name__}", "Pass what to_json or uhi.io wrote")
    return parsed


def read_uhi(source: Any, assume_poisson: bool) -> Contents:
    """Return axes, values and variances (None: Poisson) of a UHI histogram or dictionary, flow included."""
    if isinstance(source, Mapping):
        return _read_schema(source, assume_poisson)
    if str(getattr(source, "kind", "COUNT")).rpartition(".")[2] != "COUNT":
        raise InputError("source", f"is of kind {source.kind}", "Only counts and sums of weights can be read")
    if hasattr(source, "_to_uhi_"):
        # A schema of type "double" does not say whether it was filled with weights; variances() does.
        known = source.variances() is not None
        return _read_schema(source._to_uhi_(), assume_poisson or known)
    if all(hasattr(source, name) for name in ("axes", "values", "variances")):
        return _read_protocol(source, assume_poisson)
    raise InputError("source", f"is {type(source).__name__}", "Pass a UHI histogram or its dictionary")


def _read_schema(schema: Mapping[str, Any], assume_poisson: bool) -> Contents:
    try:
        if schema["uhi_schema"] != 1:
            raise InputError("source", f"has uhi_schema {schema['uhi_schema']!r}", "Only version 1 can be read")
        dense = from_sparse(dict(schema))
        axes = [_read_axis(axis) for axis in dense["axes"]]
        storage = dense["storage"]
        kind = storage["type"]
        if kind not in ("int", "double", "weighted"):
            raise InputError("source", f"has storage {kind!r}", "Only int, double and weighted storage can be read")
        values = _with_flow(storage["values"], dense["axes"])
        if kind == "weighted":
            return axes, values, _with_flow(storage["variances"], dense["axes"])
    except HepstatError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("source", f"does not follow the UHI schema ({error!r})", "Check it with uhi.schema") from None
    return axes, values, None if kind == "int" or assume_poisson else _unknown()


def _unknown() -> Floats:
    raise InputError(
        "source", "does not know its variances", "Pass assume_poisson=True if it was filled without weights"
    )


def _read_axis(axis: Mapping[str, Any]) -> Axis:
    metadata = axis.get("metadata") or {}
    words = {key: str(metadata[key]) for key in ("name", "label") if metadata.get(key)}
    if axis["type"] not in ("regular", "variable"):
        raise InputError("source", f"has an axis of type {axis['type']!r}", "Only numeric axes can be read")
    if axis["circular"]:
        raise InputError("source", "has a circular axis", "Only axes with two ends can be read")
    if axis["type"] == "regular":
        return Regular(axis["bins"], axis["lower"], axis["upper"], **words)
    return Variable(axis["edges"], **words)


def _with_flow(values: Any, axes: Sequence[Mapping[str, Any]]) -> Floats:
    """Return contents with both flow bins on every axis, empty where the axis had none."""
    array = np.asarray(values, dtype=np.float64)
    return np.pad(array, [(int(not axis["underflow"]), int(not axis["overflow"])) for axis in axes])


def _read_protocol(source: Any, assume_poisson: bool) -> Contents:
    axes = [_protocol_axis(axis) for axis in source.axes]
    values = _protocol_array(source.values, axes)
    if source.variances() is not None:
        return axes, values, _protocol_array(source.variances, axes)
    return axes, values, None if assume_poisson else _unknown()


def _protocol_axis(axis: Any) -> Axis:
    if axis.traits.discrete or axis.traits.circular:
        raise InputError("source", f"has the axis {axis!r}", "Only numeric axes with two ends can be read")
    bins = [(float(low), float(high)) for low, high in axis]
    if any(left[1] != right[0] for left, right in pairwise(bins)):
        raise InputError("source", f"has gaps between the bins of {axis!r}", "Only adjacent bins can be read")
    edges = np.array([low for low, _ in bins] + [high for _, high in bins[-1:]])
    name, label = (str(getattr(axis, key, None) or "") for key in ("name", "label"))
    return axis_between(edges, name=name, label=label)


def _protocol_array(method: Any, axes: Sequence[Axis]) -> Floats:
    """Return contents with flow bins if `method` knows the option and both bins exist on every axis."""
    try:
        array = np.asarray(method(flow=True), dtype=np.float64)
    except TypeError:
        return np.asarray(method(), dtype=np.float64)
    if array.shape == tuple(len(axis) + 2 for axis in axes):
        return array
    return np.asarray(method(), dtype=np.float64)
