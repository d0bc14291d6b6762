"""Fits of many toys without a signal and with one at each of many places, in compiled calls."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from hepstat.errors import InputError
from hepstat.fit.compiled import Compiled, compile_spectrum, quadrature_scale
from hepstat.fit.data import check_enough_bins
from hepstat.fit.records import empty_records, make_table
from hepstat.fit.result import MINIMUM, FitTable
from hepstat.kernels.binned import binned_jacobian
from hepstat.kernels.constraints import add_constraints
from hepstat.kernels.fits import fit_binned_toys
from hepstat.kernels.model import ORDER, Model
from hepstat.kernels.newton import CONVERGED
from hepstat.kernels.scan import Places, Scanned, scan_toys
from hepstat.shapes.spectrum import Spectrum
from hepstat.types import Bools, Floats, Ints

__all__ = ["CompiledPlaces", "PlacesTable", "compile_places"]

_MOST_SCATTER = 0.1  # mean square, over toys, by which their information may differ from the expected one


@dataclass(frozen=True)
class PlacesTable:
    """Results of fits of toys without signal and with one at each place.

    Attributes
    ----------
    null, null_status : (toys,)
        Minimum of -log L without signal, and status codes as in :class:`hepstat.fit.FitTable`.
    best, n_signal, status : (toys, places)
        Minimum with signal, its yield there, and status codes.
    """

    null: Floats
    null_status: Ints
    best: Floats
    n_signal: Floats
    status: Ints

    @property
    def null_found(self) -> Bools:
        """Where the fit without signal found its minimum, (toys,)."""
        return np.isin(self.null_status, MINIMUM)

    @property
    def has_minimum(self) -> Bools:
        """Where both fits found their minima, (toys, places)."""
        return self.null_found[:, None] & np.isin(self.status, MINIMUM)


@dataclass(frozen=True)
class CompiledPlaces:
    """A spectrum compiled for fits of toys without signal and with one at each place.

    Attributes
    ----------
    full, null : Compiled
        With the signal's yield floating, and without signal.
    n_signal : int
        Index of the signal's yield among the parameters.
    light : Model
        That of `full` with derivatives of first order at most.
    places : Places or None
        What the quick fits need; None where the signal's shape floats, or toys have too few events for them.
    values : (places, parameters)
        Starting values with the signal at each place, in the kernels' coordinates.
    scale : (bins,)
        Factor of each bin's likelihood: effective events per unit of content, 0 for a bin that is left out.
    contents : (bins,)
        Expected contents without signal, at the start.
    templates : (places, bins)
        Normalised contents of the signal.
    tangents : (nuisances, bins)
        Derivatives of the contents with respect to what floats without signal.
    information : (nuisances, nuisances)
        Fisher information on these from auxiliary measurements alone.
    """

    full: Compiled
    null: Compiled
    n_signal: int
    light: Model
    places: Places | None
    values: Floats
    scale: Floats
    contents: Floats
    templates: Floats
    tangents: Floats
    information: Floats

    def fit(self, counts: Floats, centres: Floats) -> PlacesTable:
        """Fit toys: the quick way where that works, with the general minimiser where it does not.

        Parameters
        ----------
        counts : (toys, bins)
        centres : (toys or 1, constraints)
            Results of the auxiliary measurements.

        Returns
        -------
        PlacesTable
        """
        n, k = len(counts), len(self.values)
        out = Scanned(np.full(n, np.nan), np.full((n, k), np.nan), np.full((n, k), np.nan))
        if self.places is not None:
            problems = self.null.problem, self.full.problem
            scan_toys(self.light, *problems, self.places, counts, self.scale, centres, out)
            self.full.raise_callback_errors()
        null_status, status = np.full(n, CONVERGED), np.full((n, k), CONVERGED)
        rows = np.flatnonzero(np.isnan(out.null))
        if len(rows):
            table = self._general(self.null, counts, centres, rows, self.values[0])
            out.null[rows], null_status[rows] = table.nll, table.status
        for place in range(k):
            rows = np.flatnonzero(np.isnan(out.best[:, place]))
            if len(rows):
                table = self._general(self.full, counts, centres, rows, self.values[place])
                out.best[rows, place], status[rows, place] = table.nll, table.status
                out.n_signal[rows, place] = table.theta[:, self.n_signal]
        return PlacesTable(out.null, null_status, out.best, out.n_signal, status)

    def _general(self, compiled: Compiled, counts: Floats, centres: Floats, rows: Ints, start: Floats) -> FitTable:
        records = empty_records(len(rows), len(start), covariance=False)
        own = centres[rows] if len(centres) > 1 else centres
        problem, scale = compiled.problem, self.scale[None, :]
        fit_binned_toys(compiled.model, problem, counts[rows], scale, start[None, :], own, records)
        compiled.raise_callback_errors()
        return make_table(compiled, records)


def compile_places(
    spectrum: Spectrum, signal: str, edges: Floats, places: Mapping[str, Floats], scale: Floats
) -> CompiledPlaces:
    """Compile a spectrum for fits of toys that are thrown near its values.

    Parameters
    ----------
    spectrum : Spectrum
        Its values are where fits start, with a yield of the signal of 0.
    signal : str
        The component that is looked for.
    edges : (bins + 1,)
    places : mapping of name to (places,) array
        Values of the parameters that a place determines, which are fixed.
    scale : (bins,)

    Returns
    -------
    CompiledPlaces

    Raises
    ------
    InputError
        If the spectrum expects nothing at its values, or floats more than the bins determine.
    """
    n_signal = f"n_{signal}"
    narrowest = float(np.min(quadrature_scale(spectrum, {**spectrum.values, **places})))
    none = spectrum.fix(**{n_signal: 0.0})
    full = compile_spectrum(none.release(n_signal), edges, scale=narrowest)
    null = compile_spectrum(none, edges, scale=narrowest)
    check_enough_bins(full.spectrum, int((scale > 0).sum()))
    index = full.spectrum.names.index(n_signal)
    start = full.coordinates(full.starting_point({}))[0]
    table = full.model.table.copy()
    table[:, ORDER] = np.minimum(table[:, ORDER], 1)
    light = full.model._replace(table=table)
    contents, jacobian = np.empty(len(scale)), np.empty((len(start), len(scale)))
    fine = binned_jacobian(light, start, contents, jacobian)
    full.raise_callback_errors()
    if not fine or not (contents >= 0).all() or not contents.any():
        raise InputError("spectrum", "does not expect positive contents at its values", "Start it at a background fit")
    at = {name: np.asarray(values, dtype=np.float64) for name, values in places.items()}
    theta = np.repeat(full.starting_point({}), len(next(iter(at.values()))), axis=0)
    for name, values in at.items():
        theta[:, full.spectrum.names.index(name)] = values
    free, measured = null.problem.free, _measured_information(full, start)
    templates = _templates(full.spectrum, signal, edges, at)
    quick = None
    if all(full.spectrum.parameters[name].fixed for name in full.spectrum.names_of(signal)):
        quick = _prepared(full, null, index, start, contents, jacobian, templates, scale, measured)
    information = measured[np.ix_(free, free)]
    values = full.coordinates(theta)
    return CompiledPlaces(
        full, null, index, light, quick, values, scale, contents, templates, jacobian[free], information
    )


def _templates(spectrum: Spectrum, signal: str, edges: Floats, places: Mapping[str, Floats]) -> Floats:
    """Return the signal's normalised contents (places, bins)."""
    shape, own = spectrum.components[signal], spectrum.names_of(signal)
    n = len(next(iter(places.values())))
    values = [{**spectrum.values, **{name: float(at[i]) for name, at in places.items()}} for i in range(n)]
    rows = [shape.integral(edges, [v[name] for name in own], spectrum.range) for v in values]
    return np.ascontiguousarray(rows, dtype=np.float64)


def _measured_information(compiled: Compiled, theta: Floats) -> Floats:
    """Return the Fisher information (parameters, parameters) of the auxiliary measurements, had they found theta."""
    n, problem = len(theta), compiled.problem
    gauss, rest = np.zeros((2, n, n))
    truth = theta[problem.constraint_parameter]
    kinds = np.array([c.kind == "poisson" for c in compiled.spectrum.constraints], dtype=bool)
    centre = np.where(kinds, truth * problem.constraint_width, truth)
    add_constraints(
        problem.constraint_kind,
        problem.constraint_parameter,
        problem.constraint_width,
        centre,
        theta,
        np.zeros(n),
        gauss,
        rest,
    )
    return np.asarray(gauss)


def _prepared(
    full: Compiled,
    null: Compiled,
    index: int,
    start: Floats,
    contents: Floats,
    jacobian: Floats,
    templates: Floats,
    scale: Floats,
    measured: Floats,
) -> Places | None:
    """Return what can be prepared for the quick fits; None where that is of no use."""
    used = (scale > 0) & (contents > 0)
    events = np.where(used, scale * contents, 0.0)
    per = np.where(used, 1.0 / np.where(used, contents, 1.0), 0.0)

    def factor(rows: Floats, free: Ints) -> Floats:
        """Return the Cholesky factor of the information, reciprocals on its diagonal; NaN if toys scatter too much.

        An event in a bin adds the square of the relative derivatives there, `relative`, to the information of a toy.
        The mean square of what this differs by from the expected information, in units of that, is the sum over
        events of the squared leverage.
        """
        relative = rows[free] * per
        lower = np.linalg.cholesky((relative * events) @ relative.T + measured[np.ix_(free, free)])
        leverage = np.square(solve_triangular(lower, relative, lower=True)).sum(axis=0)
        if not events @ leverage**2 < _MOST_SCATTER:
            return np.full_like(lower, np.nan)
        lower[np.diag_indices(len(free))] = 1.0 / np.diagonal(lower)
        return np.asarray(lower)

    def with_signal(template: Floats) -> Floats:
        return np.vstack([jacobian[:index], template, jacobian[index + 1 :]])

    try:
        null_factor = factor(jacobian, null.problem.free)
        factors = [factor(with_signal(template), full.problem.free) for template in templates]
    except np.linalg.LinAlgError:
        return None
    if np.isnan(null_factor).any() or all(np.isnan(entry).any() for entry in factors):
        return None
    return Places(index, templates, start, np.ascontiguousarray(null_factor), np.ascontiguousarray(factors))
