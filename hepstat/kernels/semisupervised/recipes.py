"""Local significances of many spectra: background from the side bands, from the full range, or profiled."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.binned import NOTHING, BinnedWork, allocate_binned, binned_jacobian, binned_slopes
from hepstat.kernels.fits import Problem, Records, fit_binned_toys
from hepstat.kernels.model import Model
from hepstat.kernels.newton import AT_EDGE, CONVERGED, UNDETERMINED, factorise
from hepstat.kernels.options import kernel
from hepstat.kernels.scan import Places, Scanned, scan_toys
from hepstat.kernels.special import log

__all__ = ["FULL_RANGE", "PROFILED", "SIDE_BANDS", "Fits", "Found", "Recipes", "find_significances"]

Array = NDArray[Any]

# No Python numbers: they would be typed as literals, and kernels be compiled once for each.
SIDE_BANDS: Any = np.int64(0)
FULL_RANGE: Any = np.int64(1)
PROFILED: Any = np.int64(2)
KINDS = 3
NO_FIT: Any = np.int64(-1)
ONE: Any = np.int64(1)
TOLERANCE = 5e-4  # by which -log L with one more parameter may be worse: minimisers stop short of minima


class Recipes(NamedTuple):
    """How significances are found: kinds (r,), and the bins [first[i], last[i]) that background is counted in."""

    kinds: Array
    first: Array
    last: Array


class Fits(NamedTuple):
    """What fits need.

    model has components of any order, light of first order at most; null, signal and full float the background, the
    yield of the signal, and both. start (parameters,) is a point without signal whose yields[i] add up to total; scales
    (2, bins) leave out the window, and nothing; template (bins,) is the signal, templates (k, bins) are those at the
    places of a scan, and places (k, parameters) hold their parameters, which are the at[i].
    """

    model: Model
    light: Model
    null: Problem
    signal: Problem
    full: Problem
    n_signal: int
    start: Array
    yields: Array
    total: float
    scales: Array
    centres: Array
    template: Array
    templates: Array
    places: Array
    at: Array


class Found(NamedTuple):
    """Results of the spectra: z, n_signal and n_background (rows, r)."""

    z: Array
    n_signal: Array
    n_background: Array


@kernel
def new_records(rows: int, parameters: int) -> Records:
    """Return room for fits without covariances."""
    return Records(
        np.full((rows, parameters), np.nan), np.empty((0, parameters, parameters)), np.full(rows, np.nan),
        np.full(rows, np.nan), np.full(rows, -1, np.int64), np.zeros(rows, np.int64), np.zeros(rows, np.int64),
    )  # fmt: skip


@kernel
def good(status: int) -> bool:
    """Whether a fit has found its minimum."""
    return bool(status in (CONVERGED, UNDETERMINED, AT_EDGE))


@kernel
def counted_z(s: float, b: float) -> float:
    """Return sqrt(2 ((s + b) log(1 + s/b) - s)) with the sign of s: arXiv:1007.1727, eq. (97).

    A signal below -b counts as -b; without background the result is NaN.
    """
    if not b > 0.0:
        return np.nan
    t = max(s / b, -1.0)
    if t == -1.0:
        return float(-np.sqrt(2.0 * b))
    near = 0.5 * t * t * (1.0 - t / 3.0 + t * t / 6.0)
    half = b * (near if abs(t) < 1e-3 else (1.0 + t) * log(1.0 + t) - t)
    root = np.sqrt(2.0 * max(half, 0.0))
    return float(root if s >= 0.0 else -root)


@kernel
def starts(fits: Fits, spectra: Array) -> Array:
    """Return points (rows, parameters) without signal whose yields add up to the contents of each spectrum."""
    out = np.empty((spectra.shape[0], fits.start.shape[0]))
    for row in range(spectra.shape[0]):
        n = 0.0
        for b in range(spectra.shape[1]):
            n += spectra[row, b]
        for i in range(out.shape[1]):
            out[row, i] = fits.start[i]
        for i in fits.yields:
            out[row, i] *= max(n, 1.0) / fits.total
    return out


@kernel
def refuse_few(free: int, spectra: Array, scale: Array, null: Records) -> None:
    """Make fits failures that float more parameters than there are events: they have no minimum of their own."""
    for row in range(spectra.shape[0]):
        n = 0.0
        for b in range(spectra.shape[1]):
            n += spectra[row, b] * scale[b]
        if n < free:
            null.status[row] = NO_FIT


@kernel
def background_between(fits: Fits, theta: Array, first: int, last: int, work: BinnedWork, gradient: Array) -> float:
    """Return what is expected without signal in bins [first, last)."""
    ones = fits.scales[1]
    binned_slopes(fits.light, theta, ones, ones, NOTHING, work, gradient)
    total, n_signal = 0.0, theta[fits.n_signal]
    for b in range(first, last):
        total += work.contents[b] - n_signal * fits.template[b]
    return total


@kernel
def fixed_background(fits: Fits, recipes: Recipes, kind: int, spectra: Array, null: Records, found: Found) -> None:
    """Fill the columns of recipes of a kind: fit the signal above the background of each null fit."""
    rows = spectra.shape[0]
    with_signal = new_records(rows, fits.start.shape[0])
    fit_binned_toys(fits.model, fits.signal, spectra, fits.scales[1:], null.theta, fits.centres, with_signal)
    work, gradient = allocate_binned(fits.light), np.empty(fits.start.shape[0])
    for r in range(recipes.kinds.shape[0]):
        if recipes.kinds[r] != kind:
            continue
        for row in range(rows):
            s = b = z = np.nan
            if good(null.status[row]) and good(with_signal.status[row]):
                s = with_signal.theta[row, fits.n_signal]
                b = background_between(fits, null.theta[row], recipes.first[r], recipes.last[r], work, gradient)
                z = counted_z(s, b)
            found.z[row, r], found.n_signal[row, r], found.n_background[row, r] = z, s, b


@kernel
def signed_root(null: float, best: float, s: float) -> float:
    """Return sqrt(q0) with the sign of the yield (arXiv:1007.1727, eq. 12); NaN where the minimum was missed."""
    half = null - best
    if not half >= -TOLERANCE:
        return np.nan
    root = np.sqrt(2.0 * max(half, 0.0))
    return float(root if s >= 0.0 else -root)


@kernel
def profile(fits: Fits, null: Records, spectra: Array, start: Array, z: Array, records: Records) -> None:
    """Fill z (rows,) with signal and background floating, from start (rows, parameters)."""
    fit_binned_toys(fits.model, fits.full, spectra, fits.scales[1:], start, fits.centres, records)
    for row in range(spectra.shape[0]):
        z[row] = np.nan
        if good(null.status[row]) and good(records.status[row]):
            z[row] = signed_root(null.value[row], records.value[row], records.theta[row, fits.n_signal])


@kernel
def cholesky(matrix: Array, scale: Array) -> bool:
    """Replace a matrix (n, n) by its Cholesky factor, with reciprocals on the diagonal; return whether there is one."""
    n = matrix.shape[0]
    for i in range(n):
        if not matrix[i, i] > 0.0:
            return False
        scale[i] = np.sqrt(matrix[i, i])
    for i in range(n):
        for j in range(i + 1):
            matrix[i, j] /= scale[i] * scale[j]
    fine = factorise(matrix)
    for i in range(n):
        for j in range(i):
            matrix[i, j] *= scale[i]
        matrix[i, i] /= scale[i]
    return bool(fine)


@kernel
def quick_places(fits: Fits, theta: Array) -> Places:
    """Return what quick fits near the null fit theta (parameters,) need: information there, factorised for each place.

    Factors are NaN where there is none.
    """
    parameters, bins = theta.shape[0], fits.template.shape[0]
    contents, jacobian = np.empty(bins), np.empty((parameters, bins))
    binned_jacobian(fits.light, theta, contents, jacobian)
    n, n_null, places = fits.full.free.shape[0], fits.null.free.shape[0], fits.templates.shape[0]
    null_factor, factors = np.empty((n_null, n_null)), np.empty((places, n, n))
    information, scale = np.empty((n, n)), np.empty(n)
    per = np.empty(bins)
    for b in range(bins):
        per[b] = 1.0 / contents[b] if contents[b] > 0.0 else 0.0
    signal = 0
    for i in range(n):
        if fits.full.free[i] == fits.n_signal:
            signal = i
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for b in range(bins):
                total += jacobian[fits.full.free[i], b] * jacobian[fits.full.free[j], b] * per[b]
            information[i, j] = total
    for i in range(n_null):
        for j in range(i + 1):
            null_factor[i, j] = information[i + (i >= signal), j + (j >= signal)]
    if not cholesky(null_factor, scale[:n_null]):
        null_factor[:] = np.nan
    for place in range(places):
        factor, template = factors[place], fits.templates[place]
        factor[:] = information
        for i in range(n):
            row = jacobian[fits.full.free[i]] if i != signal else template
            total = 0.0
            for b in range(bins):
                total += row[b] * template[b] * per[b]
            factor[max(i, signal), min(i, signal)] = total
        if not cholesky(factor, scale):
            factor[:] = np.nan
    return Places(fits.n_signal, fits.templates, theta.copy(), null_factor, factors)


@kernel
def scan_places(fits: Fits, spectra: Array, null: Records, scan: Array) -> None:
    """Fill scan (rows, places): quick fits around the null fit, and the general minimiser where that does not work."""
    parameters, places = fits.start.shape[0], scan.shape[1]
    quick = Scanned(np.empty(1), np.empty((1, places)), np.empty((1, places)))
    start, z, records = np.empty((1, parameters)), np.empty(1), new_records(ONE, parameters)
    for row in range(spectra.shape[0]):
        if not good(null.status[row]):
            scan[row] = np.nan
            continue
        own = spectra[row : row + 1]
        around = quick_places(fits, null.theta[row])
        scan_toys(fits.light, fits.null, fits.full, around, own, fits.scales[1], fits.centres, quick)
        for place in range(places):
            z[0] = signed_root(quick.null[0], quick.best[0, place], quick.n_signal[0, place])
            if np.isnan(z[0]):
                start[0] = null.theta[row]
                for i in fits.at:
                    start[0, i] = fits.places[place, i]
                fit_binned_toys(fits.model, fits.full, own, fits.scales[1:], start, fits.centres, records)
                if good(records.status[0]):
                    z[0] = signed_root(null.value[row], records.value[0], records.theta[0, fits.n_signal])
            scan[row, place] = z[0]


@kernel
def find_significances(fits: Fits, recipes: Recipes, spectra: Array, found: Found, scan: Array) -> None:
    """Fill the local significance of every spectrum (rows, bins) by every recipe; NaN where a fit failed.

    With `scan` (rows, places) not empty, also that by profile likelihood with the signal at every place.
    """
    rows, parameters = spectra.shape[0], fits.start.shape[0]
    wanted = np.zeros(KINDS, np.bool_)
    for r in range(recipes.kinds.shape[0]):
        wanted[recipes.kinds[r]] = True
    places = scan.shape[1]
    beginning, z = starts(fits, spectra), np.empty(rows)
    if wanted[SIDE_BANDS]:
        null = new_records(rows, parameters)
        fit_binned_toys(fits.model, fits.null, spectra, fits.scales[:1], beginning, fits.centres, null)
        refuse_few(fits.null.free.shape[0], spectra, fits.scales[0], null)
        fixed_background(fits, recipes, SIDE_BANDS, spectra, null, found)
    if wanted[FULL_RANGE] or wanted[PROFILED] or places > 0:
        null = new_records(rows, parameters)
        fit_binned_toys(fits.model, fits.null, spectra, fits.scales[1:], beginning, fits.centres, null)
        refuse_few(fits.null.free.shape[0], spectra, fits.scales[1], null)
        if wanted[FULL_RANGE]:
            fixed_background(fits, recipes, FULL_RANGE, spectra, null, found)
        records = new_records(rows, parameters)
        if wanted[PROFILED]:
            profile(fits, null, spectra, null.theta, z, records)
            work, gradient = allocate_binned(fits.light), np.empty(parameters)
            for r in range(recipes.kinds.shape[0]):
                if recipes.kinds[r] == PROFILED:
                    for row in range(rows):
                        theta = records.theta[row]
                        b = background_between(fits, theta, recipes.first[r], recipes.last[r], work, gradient)
                        fine = not np.isnan(z[row])
                        found.z[row, r] = z[row]
                        found.n_signal[row, r] = theta[fits.n_signal] if fine else np.nan
                        found.n_background[row, r] = b if fine else np.nan
        if places > 0:
            scan_places(fits, spectra, null, scan)
