"""A study that throws bin contents from one spectrum and fits them with the same or another."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import rising_edges
from hepstat.digest import numbers_digest
from hepstat.errors import InputError
from hepstat.fit.compiled import Compiled, compile_spectrum
from hepstat.fit.data import check_enough_bins
from hepstat.fit.records import empty_records, make_table
from hepstat.fit.result import STATUS_TEXT, VALID
from hepstat.fit.throwing import Thrower, auxiliary_of
from hepstat.kernels.fits import fit_binned_toys
from hepstat.record import plain
from hepstat.seeds import Key
from hepstat.shapes.spectrum import Spectrum
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats

__all__ = ["FitToys", "expected_contents"]


class FitToys(PreparedStudy):
    """Study of a fit: throw counts, fit them, keep values and errors.

    A record has `status` (0: converged, otherwise a key of `reasons`), `nll`, and for every floating parameter its
    value under its name and its standard deviation under its name with ``_error`` appended. Auxiliary measurements are
    thrown with every toy. Run it with :func:`hepstat.toys.run`.

    Parameters
    ----------
    spectrum : Spectrum
        What is true: its values are those that toys are thrown from.
    edges : (bins + 1,) array_like
        Bins that cover the spectrum's range.
    model : Spectrum, optional
        What is fitted, and where its fits start; by default the spectrum itself.

    Raises
    ------
    InputError
        If the edges do not cover the range, or the spectrum expects negative contents.
    """

    chunk = 1024
    reasons: Mapping[int, str] = {code: text for code, text in STATUS_TEXT.items() if code != 0}

    def __init__(self, spectrum: Spectrum, edges: ArrayLike, *, model: Spectrum | None = None) -> None:
        self.spectrum, self.model = spectrum, spectrum if model is None else model
        self.edges = rising_edges(edges)
        self._fitted = expected_contents(self.model, self.edges, name="spectrum" if model is None else "model")
        self._contents = expected_contents(spectrum, self.edges)
        check_enough_bins(self.model, len(self._contents))
        missing = [c.name for c in self.model.constraints if c.name not in spectrum.values]
        if missing:
            raise InputError("model", f"is constrained in {missing[0]}", "Constrain parameters that the spectrum has")

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        names = self.model.floating
        return np.dtype(
            [("status", "i2"), ("nll", "f8"), *((n, "f8") for n in names), *((f"{n}_error", "f8") for n in names)]
        )

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {
            "name": type(self).__name__,
            "spectrum": self.spectrum.describe(),
            "model": self.model.describe(),
            "edges": plain(self.edges),
            "numbers": numbers_digest(self._contents, self._fitted),
        }

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        compiled, thrower = self._compiled
        counts, centres, _ = thrower.throw(key, first, len(out))
        records = empty_records(len(out), len(self.model.names), covariance=True)
        start = compiled.coordinates(compiled.starting_point({}))
        one = np.ones((1, counts.shape[1]))
        fit_binned_toys(compiled.model, compiled.problem, counts, one, start, centres, records)
        compiled.raise_callback_errors()
        table = make_table(compiled, records)
        out["status"] = np.where(np.isin(table.status, VALID), 0, table.status)
        out["nll"] = table.nll
        errors = table.errors
        for name in self.model.floating:
            out[name], out[f"{name}_error"] = table.values[name], errors[name]

    @cached_property
    def _compiled(self) -> tuple[Compiled, Thrower]:
        auxiliary = auxiliary_of(self.model, self.spectrum.values)
        thrower = Thrower.plain(self._contents, auxiliary=auxiliary)
        return compile_spectrum(self.model, self.edges), thrower


def expected_contents(
    spectrum: Spectrum, edges: Floats, values: Mapping[str, float] | None = None, *, name: str = "spectrum"
) -> Floats:
    """Return the expected contents (bins,), which toys can be thrown from.

    Raises
    ------
    InputError
        If the edges do not cover the spectrum's range, or contents are negative or all zero.
    """
    low, high = spectrum.range
    if np.abs(edges[[0, -1]] - (low, high)).max() > 1e-9 * (high - low):
        raise InputError("edges", f"go from {edges[0]:g} to {edges[-1]:g}", f"Let them cover {spectrum.range}")
    contents = spectrum.expected(edges, values)
    least = float(contents.min())
    if least < -1e-9 * float(np.abs(contents).max()) or not contents.max() > 0:
        raise InputError(name, f"expects {least:g} events in a bin", "Start it where it expects events everywhere")
    return np.maximum(contents, 0.0)
