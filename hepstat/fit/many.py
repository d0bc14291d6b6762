"""Thousands of fits of one spectrum in compiled calls."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, rising_edges, whole_number
from hepstat.errors import InputError
from hepstat.execution import cut, map_ordered
from hepstat.fit.compiled import Compiled, compile_spectrum, quadrature_scale
from hepstat.fit.data import (
    Bins,
    Events,
    check_bins,
    check_enough_bins,
    is_histogram,
    take_data,
    take_events,
    used_scale,
)
from hepstat.fit.records import empty_records, make_table, part
from hepstat.fit.result import FitTable
from hepstat.kernels.fits import fit_binned_toys, fit_unbinned_toys
from hepstat.shapes.spectrum import Spectrum
from hepstat.types import Floats, Ints

__all__ = ["fit_many"]

_CHUNK = 1024  # toys of one compiled call


def fit_many(
    spectrum: Spectrum,
    toys: Any,
    *,
    edges: ArrayLike | None = None,
    variances: ArrayLike | None = None,
    weights: Any = None,
    values: Mapping[str, ArrayLike] | None = None,
    blind: tuple[float, float] | None = None,
    covariance: bool = True,
    workers: int = 1,
    progress: str | None = None,
) -> FitTable:
    """Fit a spectrum to many sets of data, or to one set with many values of fixed parameters.

    Every fit starts at the spectrum's values, replaced by `values`; yields that still have their default start from a
    guess on the average of the data. Results do not depend, to the bit, on `workers`.

    Parameters
    ----------
    spectrum : Spectrum
    toys : (toys, bins) array_like with `edges`, a histogram, sequence of event arrays, or one event array
        One histogram or one array of events is fitted once for every entry of `values`.
    edges : (bins + 1,) array_like, optional
        Of the bins of an array of counts.
    variances : (toys, bins) array_like, optional
        Sums of squared weights of an array of weighted contents.
    weights : sequence of arrays or array, optional
        Event weights, in the form of the events.
    values : mapping of name to number or (fits,) array_like, optional
        Starting values of floating parameters, values of fixed ones.
    blind : (low, high), optional
        Region whose bins are left out.
    covariance : bool, optional
        Whether to keep the covariance matrices.
    workers : int, optional
        Threads.
    progress : str, optional
        Title of a progress bar.

    Returns
    -------
    FitTable

    Raises
    ------
    InputError
        For data or values that cannot be used, naming them.
    """
    workers = whole_number(workers, "workers", at_least=1)
    columns = _columns(spectrum, values)
    if edges is not None:
        if weights is not None:
            raise InputError("weights", "are given with edges", "Pass sums of weights as toys, of squares as variances")
        data = _counts(spectrum, toys, edges, variances, blind)
        return _fit_bins(spectrum, data, columns, covariance, workers, progress)
    if variances is not None:
        raise InputError("variances", "are given without edges", "Pass counts as an array together with edges")
    single = is_histogram(toys) or _is_flat(toys)
    if single:
        one = take_data(toys, weights, spectrum, blind)
        if isinstance(one, Bins):
            return _fit_bins(spectrum, _BinSets.of(one), columns, covariance, workers, progress)
        sets = [one]
    else:
        if weights is not None and len(weights) != len(toys):
            raise InputError("weights", f"has {len(weights)} entries for {len(toys)} toys", "Pass one array per toy")
        sets = _event_sets(spectrum, toys, weights, blind)
    return _fit_events(spectrum, sets, columns, covariance, workers, progress)


def _is_flat(toys: Any) -> bool:
    """Whether this is one array of numbers rather than a sequence of arrays."""
    if isinstance(toys, str) or not hasattr(toys, "__len__") or not hasattr(toys, "__getitem__"):
        raise InputError("toys", f"is {toys!r}", "Pass a histogram, events, or a sequence of event arrays")
    if len(toys) == 0:
        raise InputError("toys", "is empty", "Pass at least one set of data")
    return (isinstance(toys, np.ndarray) and toys.ndim == 1 and toys.dtype != object) or np.isscalar(toys[0])


def _event_sets(spectrum: Spectrum, toys: Any, weights: Any, blind: tuple[float, float] | None) -> list[Events]:
    """Check all events at once, and one by one only to say which toy is wrong."""
    if weights is None and all(isinstance(x, np.ndarray) and x.ndim == 1 and x.size for x in toys):
        with suppress(InputError):
            everything = take_events(np.concatenate(toys), None, spectrum, blind).x
            ends = np.cumsum([x.size for x in toys])[:-1]
            return [Events(x, None) for x in np.split(everything, ends)]
    sets = []
    for i, x in enumerate(toys):
        try:
            sets.append(take_events(x, None if weights is None else weights[i], spectrum, blind))
        except InputError as error:
            argument = error.argument.replace("data", "toys")
            raise InputError(f"{argument}[{i}]", error.problem, error.remedy) from None
    return sets


class _BinSets:
    """Contents of many sets of bins: contents (toys, bins), scale (toys or 1, bins)."""

    def __init__(self, edges: Floats, contents: Floats, scale: Floats) -> None:
        self.edges, self.contents, self.scale = edges, contents, scale

    @classmethod
    def of(cls, bins: Bins) -> "_BinSets":
        return cls(bins.edges, bins.contents[None, :], bins.scale[None, :])


def _counts(
    spectrum: Spectrum, toys: Any, edges: ArrayLike, variances: ArrayLike | None, blind: tuple[float, float] | None
) -> _BinSets:
    """Check an array of counts as a whole."""
    bin_edges = rising_edges(edges)
    contents = finite_array(toys, "toys", ndim=2)
    if contents.shape[1] != len(bin_edges) - 1:
        raise InputError(
            "toys",
            f"has {contents.shape[1]} bins for {len(bin_edges)} edges",
            "Pass counts (toys, bins), edges (bins + 1,)",
        )
    if not np.allclose(bin_edges[[0, -1]], spectrum.range):
        raise InputError("edges", f"go from {bin_edges[0]:g} to {bin_edges[-1]:g}", f"Let them cover {spectrum.range}")
    if (contents < 0).any():
        toy, b = np.argwhere(contents < 0)[0]
        raise InputError(
            "toys", f"has negative contents, the first in toy {toy}, bin {b}", "Merge bins until none is negative"
        )
    used = check_bins(bin_edges, contents.sum(axis=0), contents.sum(axis=0), blind).used
    if variances is None:
        return _BinSets(bin_edges, contents, used[None, :].astype(np.float64))
    squares = finite_array(variances, "variances", ndim=2)
    if squares.shape != contents.shape or (squares < 0).any():
        raise InputError("variances", f"has shape {squares.shape}", f"Pass {contents.shape} numbers, none negative")
    return _BinSets(bin_edges, contents, np.ascontiguousarray(used_scale(contents, squares, used)))


def _columns(spectrum: Spectrum, values: Mapping[str, ArrayLike] | None) -> dict[str, Floats]:
    """Return the given values as arrays of one common length or of length 1."""
    columns = {}
    for name, value in (values or {}).items():
        if name not in spectrum.parameters:
            raise InputError("values", f"names {name}", f"The spectrum has {', '.join(spectrum.names)}")
        columns[name] = finite_array(np.atleast_1d(np.asarray(value)), f"values[{name!r}]")
    lengths = {len(column) for column in columns.values()} - {1}
    if len(lengths) > 1:
        raise InputError("values", f"has columns of lengths {sorted(lengths)}", "Give every column one entry per fit")
    return columns


def _narrowest(spectrum: Spectrum, columns: Mapping[str, Floats]) -> float:
    """Return the smallest structure at the given values."""
    return float(np.min(quadrature_scale(spectrum, {**spectrum.values, **columns})))


def _starts(compiled: Compiled, columns: Mapping[str, Floats], edges: Floats, contents: Floats, n_data: int) -> Floats:
    """Return the starting points (fits or 1, parameters) in the kernels' coordinates."""
    spectrum = compiled.spectrum
    guessed = spectrum.guess(edges, contents)
    untouched = [
        name
        for name in spectrum.floating
        if name in spectrum.yields and name not in columns and spectrum.parameters[name].value == 1.0
    ]
    n = max([1, *(len(column) for column in columns.values())])
    if n_data > 1 and n not in (1, n_data):
        raise InputError("values", f"has {n} entries for {n_data} toys", "Give one entry per toy, or one for all")
    point = compiled.starting_point({name: guessed.values[name] for name in untouched})
    theta = np.repeat(point, n, axis=0)
    for name, column in columns.items():
        theta[:, spectrum.names.index(name)] = column
    lower, upper = compiled.problem.lower, compiled.problem.upper
    outside = np.argwhere((theta < lower) | (theta > upper))
    if len(outside):
        fit, i = outside[0]
        raise InputError(
            f"values[{spectrum.names[i]!r}]",
            f"is {theta[fit, i]:g} in fit {fit}, outside the limits ({lower[i]:g}, {upper[i]:g})",
            "Start inside the limits or widen them",
        )
    return compiled.coordinates(theta)


def _rows(a: Floats, start: int, stop: int) -> Floats:
    return a[start:stop] if len(a) > 1 else a


def _fit_bins(
    spectrum: Spectrum,
    data: _BinSets,
    columns: Mapping[str, Floats],
    covariance: bool,
    workers: int,
    progress: str | None,
) -> FitTable:
    compiled = compile_spectrum(spectrum, data.edges, scale=_narrowest(spectrum, columns))
    check_enough_bins(spectrum, int((data.scale > 0).any(axis=0).sum()))
    n_data = len(data.contents)
    start = _starts(compiled, columns, data.edges, data.contents.mean(axis=0), n_data)
    n = max(n_data, len(start))
    records = empty_records(n, len(spectrum.names), covariance)

    def work(chunk: tuple[int, int]) -> int:
        first, stop = chunk
        contents = data.contents[first:stop] if n_data > 1 else np.repeat(data.contents, stop - first, axis=0)
        scale, begin = _rows(data.scale, first, stop), _rows(start, first, stop)
        fit_binned_toys(
            compiled.model, compiled.problem, contents, scale, begin, compiled.centres, part(records, first, stop)
        )
        return stop - first

    for _ in map_ordered(work, cut(n, _CHUNK), workers=workers, progress=progress):
        compiled.raise_callback_errors()
    return make_table(compiled, records)


def _fit_events(
    spectrum: Spectrum,
    sets: Sequence[Events],
    columns: Mapping[str, Floats],
    covariance: bool,
    workers: int,
    progress: str | None,
) -> FitTable:
    compiled = compile_spectrum(spectrum, scale=_narrowest(spectrum, columns))
    weighted = [events.weights is not None for events in sets]
    if any(weighted) and not all(weighted):
        raise InputError("weights", "are given for some toys only", "Give weights for all toys or for none")
    x = sets[0].x if len(sets) == 1 else np.concatenate([events.x for events in sets])
    w = (
        np.concatenate([events.weights for events in sets if events.weights is not None])
        if any(weighted)
        else np.empty(0)
    )
    ends = np.cumsum([len(events.x) for events in sets])
    slices = np.column_stack([ends - [len(events.x) for events in sets], ends]).astype(np.int64)
    average = Events(x, w if any(weighted) else None).binned(*spectrum.range)
    start = _starts(compiled, columns, average.edges, average.contents / len(sets), len(sets))
    n = max(len(sets), len(start))
    slices = np.repeat(slices, n, axis=0) if len(slices) == 1 else slices
    records = empty_records(n, len(spectrum.names), covariance)

    def work(chunk: tuple[int, int]) -> int:
        first, stop = chunk
        span = np.ascontiguousarray(slices[first:stop])
        begin = _rows(start, first, stop)
        fit_unbinned_toys(
            compiled.model, compiled.problem, x, w, span, begin, compiled.centres, part(records, first, stop)
        )
        return stop - first

    for _ in map_ordered(work, _event_chunks(slices), workers=workers, progress=progress):
        compiled.raise_callback_errors()
    return make_table(compiled, records)


def _event_chunks(slices: Ints) -> list[tuple[int, int]]:
    """Cut the toys so that a chunk has at most some 200,000 events."""
    per_toy = max(1, int((slices[:, 1] - slices[:, 0]).mean()))
    return cut(len(slices), max(1, min(_CHUNK, 200_000 // per_toy)))
