"""Likelihoods of a spectrum given data: value, derivatives, fit, and the way to iminuit."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, whole_number
from hepstat.errors import InputError
from hepstat.fit.compiled import compile_spectrum, quadrature_scale
from hepstat.fit.data import Bins, Events, check_enough_bins, take_data
from hepstat.fit.records import empty_records, make_table
from hepstat.fit.result import STATUS_TEXT, FitResult, FitTable
from hepstat.fit.threaded import fit_events
from hepstat.kernels import newton
from hepstat.kernels.binned import NOTHING, allocate_binned, binned_value
from hepstat.kernels.fits import Records, auxiliary, fit_binned_toys, fit_unbinned_toys
from hepstat.kernels.unbinned import unbinned_value
from hepstat.shapes.spectrum import Spectrum
from hepstat.types import Floats

if TYPE_CHECKING:
    from iminuit import Minuit

    from hepstat.fit.cost import LikelihoodCost

__all__ = ["BinnedLikelihood", "Likelihood", "UnbinnedLikelihood", "fit", "likelihood"]

_MOST_COMPILATIONS = 3  # with finer integrals, where a width shrinks on the way
_MANY_EVENTS = 50_000  # below, handing work to threads costs more than it saves


class Likelihood(ABC):
    """Extended negative log-likelihood of a spectrum, as a function of all its parameters.

    Attributes
    ----------
    spectrum : Spectrum
    names : tuple of str
        The parameters, in the order of all arrays.
    """

    covariance_kind = "hessian"

    def __init__(self, spectrum: Spectrum, edges: Floats | None) -> None:
        self.spectrum = spectrum
        self.names = spectrum.names
        self._compiled_edges = edges
        self._compiled = compile_spectrum(spectrum, edges)

    @property
    @abstractmethod
    def n_data(self) -> float:
        """Number of bins that take part, infinite for events."""

    @abstractmethod
    def _evaluate(self, point: Floats, gradient: Floats, gauss: Floats, rest: Floats) -> float:
        """Return the value at the kernels' coordinates and fill the derivatives."""

    @abstractmethod
    def _fit(self, start: Floats, records: Records, workers: int) -> None:
        """Fit from one starting point (1, parameters) in the kernels' coordinates."""

    @cached_property
    @abstractmethod
    def bins(self) -> Bins:
        """The data in bins: those of the fit, or some to guess from and to show events in."""

    def value(self, values: Mapping[str, float] | Sequence[float] | Floats) -> float:
        """Return the negative log-likelihood; infinite where the density is negative at the data."""
        return self.derivatives(values)[0]

    def derivatives(self, values: Mapping[str, float] | Sequence[float] | Floats) -> tuple[float, Floats, Floats]:
        """Return the negative log-likelihood, its gradient (parameters,) and its Hessian (parameters, parameters).

        Derivatives with respect to fixed parameters count too, except those of shapes of which no parameter floats:
        these are zero.
        """
        theta = self._in_order(values)
        n = theta.size
        gradient, gauss, rest = np.full(n, np.nan), np.full((n, n), np.nan), np.full((n, n), np.nan)
        point = self._compiled.coordinates(theta[None, :])[0]
        value = self._evaluate(point, gradient, gauss, rest)
        problem = self._compiled.problem
        value += auxiliary(problem, self._compiled.centres[0], point, gradient, gauss, rest)
        self._compiled.raise_callback_errors()
        hessian = self._compiled.hessian(gauss + rest)
        return float(value), self._compiled.gradient(gradient), hessian

    def guess(self) -> Spectrum:
        """Return the spectrum with starting values guessed from the data."""
        return self.spectrum.guess(self.bins.edges, self.bins.contents)

    def fit(self, *, start: Mapping[str, float] | None = None, workers: int = 1) -> FitResult:
        """Return the minimum, see :func:`fit`."""
        workers = whole_number(workers, "workers", at_least=1)
        candidates = self._candidates(start)
        narrowest = min(float(quadrature_scale(self.spectrum, candidate)) for candidate in candidates)
        for _ in range(_MOST_COMPILATIONS):
            if narrowest < self._compiled.scale:
                self._compiled = compile_spectrum(self.spectrum, self._compiled_edges, scale=0.5 * narrowest)
            table = self._best_of(candidates, workers)
            if table.status[0] != newton.UNRESOLVED:
                break
            reached = {name: float(column[0]) for name, column in table.values.items()}
            narrowest = max(float(quadrature_scale(self.spectrum, reached)), 0.1 * self._compiled.scale)
        return self._result(table)

    def _best_of(self, candidates: Sequence[Mapping[str, float]], workers: int) -> FitTable:
        """Fit from each starting point until one succeeds; return that, or else the lowest."""
        best: FitTable | None = None
        for candidate in candidates:
            records = empty_records(1, len(self.names), True)
            self._fit(self._compiled.coordinates(self._in_order(candidate)[None, :]), records, workers)
            self._compiled.raise_callback_errors()
            table = make_table(self._compiled, records)
            if best is None or (table.valid[0], -table.nll[0]) > (best.valid[0], -best.nll[0]):
                best = table
            if table.valid[0]:
                break
        assert best is not None
        return best

    def _candidates(self, start: Mapping[str, float] | None) -> list[dict[str, float]]:
        """Return the points to start from, the most promising first."""
        given: dict[str, float] = {}
        if start is not None:
            for name in start:
                if name not in self.names:
                    raise InputError("start", f"names {name}", f"The spectrum has {', '.join(self.names)}")
            started = self.spectrum.start(**start).values  # refuses what cannot be used
            given = {name: started[name] for name in start}
        if set(given).issuperset(self.spectrum.floating):
            candidates = [{**self.spectrum.values, **given}]
        else:
            guessed = self.guess().values
            own = {name: value for name, value in self.spectrum.values.items() if name not in self.spectrum.yields}
            candidates = [{**guessed, **given}, {**guessed, **own, **given}]
            if self._peaks_float():
                candidates.sort(key=self._coarse_value)
        return candidates

    def _peaks_float(self) -> bool:
        """Whether the shape of a peak floats, so that there may be several minima."""
        spectrum = self.spectrum
        peaks = [name for name, shape in spectrum.components.items() if shape.is_peak]
        return any(name in spectrum.floating for peak in peaks for name in spectrum.names_of(peak))

    def _coarse_value(self, values: Mapping[str, float]) -> float:
        """Return the likelihood of the data in bins, to rank starting points."""
        bins = self.bins
        try:
            mu = self.spectrum.expected(bins.edges, values)[bins.used]
        except InputError:
            return np.inf
        n = bins.contents[bins.used]
        if np.any(mu < 0) or np.any((mu == 0) & (n > 0)):
            return np.inf
        return float(np.sum(mu - n * np.log(np.where(mu > 0, mu, 1.0))))

    def _in_order(self, values: Mapping[str, float] | Sequence[float] | Floats) -> Floats:
        if isinstance(values, Mapping):
            unknown = [name for name in values if name not in self.names]
            if unknown:
                raise InputError("values", f"names {unknown[0]}", f"The spectrum has {', '.join(self.names)}")
            merged = [{**self.spectrum.values, **values}[name] for name in self.names]
            values = finite_array(merged, "values")
        theta = np.asarray(values, dtype=np.float64)  # NaN may pass: minimisers try it, and the value is infinite there
        if theta.shape != (len(self.names),):
            raise InputError("values", f"has shape {theta.shape}", f"Give {len(self.names)}: {', '.join(self.names)}")
        return theta

    def _result(self, table: FitTable) -> FitResult:
        values = {name: float(column[0]) for name, column in table.values.items()}
        bins = self.bins
        try:
            expected = self.spectrum.expected(bins.edges, values)
        except InputError:  # the fit failed where the density cannot be normalised; its status says so
            expected = np.full(len(bins.contents), np.nan)
        assert table.covariance is not None
        return FitResult(
            names=self.names,
            values=values,
            errors={name: float(column[0]) for name, column in table.errors.items()},
            covariance=table.covariance[0],
            covariance_kind=self.covariance_kind,
            nll=float(table.nll[0]),
            valid=bool(table.valid[0]),
            status=STATUS_TEXT[int(table.status[0])],
            at_limit=tuple(name for name, hit in zip(self.names, table.at_limit[0], strict=True) if hit),
            floating=self.spectrum.floating,
            evaluations=int(table.evaluations[0]),
            edm=float(table.edm[0]),
            edges=bins.edges,
            observed=np.where(bins.used, bins.contents, np.nan),  # what is blinded stays so
            variances=np.where(bins.used, bins.variances, np.nan),
            expected=expected,
            used=bins.used,
            binned=bool(np.isfinite(self.n_data)),
            n_constraints=sum(c.name in self.spectrum.floating for c in self.spectrum.constraints),
            constraint_chi2=self._constraint_chi2(values),
        )

    def _constraint_chi2(self, values: Mapping[str, float]) -> float:
        """Return twice the drop of the auxiliary likelihoods from their best."""
        total = 0.0
        for c in self.spectrum.constraints:
            t = values[c.name]
            if c.name not in self.spectrum.floating:
                continue
            if c.kind == "gaussian":
                total += ((t - c.centre) / c.width) ** 2
            elif c.kind == "log_normal":
                total += (np.log(t / c.centre) / np.log(c.width)) ** 2 if t > 0 else np.inf
            else:
                mu = c.width * t
                total += 2.0 * (mu - c.centre + (c.centre * np.log(c.centre / mu) if c.centre > 0 else 0.0))
        return float(total)

    def cost(self) -> "LikelihoodCost":
        """Return twice this function of the floating parameters as an iminuit cost function."""
        from hepstat.fit.cost import LikelihoodCost

        return LikelihoodCost(self)

    def minuit(self, result: FitResult | None = None) -> "Minuit":
        """Return an iminuit object on :meth:`cost`, at a fit result or the guessed start, limits set."""
        from iminuit import Minuit

        values = self.guess().values if result is None else result.values
        return Minuit(self.cost(), **{name: values[name] for name in self.spectrum.floating})


class BinnedLikelihood(Likelihood):
    """Likelihood of bin contents, see :mod:`hepstat.kernels.binned`.

    Parameters
    ----------
    spectrum : Spectrum
    bins : Bins
        Checked contents, see :func:`likelihood`.
    """

    def __init__(self, spectrum: Spectrum, bins: Bins) -> None:
        n_used = int(bins.used.sum())
        check_enough_bins(spectrum, n_used)
        super().__init__(spectrum, bins.edges)
        self._bins = bins
        self._scale = bins.scale
        if not np.array_equal(self._scale[bins.used], np.ones(n_used)):
            self.covariance_kind = "scaled_poisson"

    @property
    def n_data(self) -> float:
        """Number of bins that take part."""
        return float(self._bins.used.sum())

    @cached_property
    def bins(self) -> Bins:
        """The data."""
        return self._bins

    def guess(self) -> Spectrum:
        """Return the spectrum with starting values guessed from the data, left-out bins filled in between."""
        contents, used = self._bins.contents, self._bins.used
        centres = 0.5 * (self._bins.edges[1:] + self._bins.edges[:-1])
        widths = np.diff(self._bins.edges)
        filled = np.interp(centres, centres[used], (contents / widths)[used]) * widths
        return self.spectrum.guess(self._bins.edges, np.where(used, contents, filled))

    def _evaluate(self, point: Floats, gradient: Floats, gauss: Floats, rest: Floats) -> float:
        model = self._compiled.model
        work = allocate_binned(model)
        contents = self._bins.contents
        value: float = binned_value(model, point, contents, self._scale, NOTHING, work, gradient, gauss, rest)
        return value

    def _fit(self, start: Floats, records: Records, workers: int) -> None:
        compiled = self._compiled
        contents, scale = self._bins.contents[None, :], self._scale[None, :]
        fit_binned_toys(compiled.model, compiled.problem, contents, scale, start, compiled.centres, records)


class UnbinnedLikelihood(Likelihood):
    """Likelihood of events, see :mod:`hepstat.kernels.unbinned`.

    Parameters
    ----------
    spectrum : Spectrum
    events : Events
        Checked events, see :func:`likelihood`.
    """

    def __init__(self, spectrum: Spectrum, events: Events) -> None:
        super().__init__(spectrum, None)
        self._x = events.x
        self._weights = np.empty(0) if events.weights is None else events.weights
        self._events = events
        if events.weights is not None:
            self.covariance_kind = "sandwich"

    @property
    def n_data(self) -> float:
        """Infinity."""
        return np.inf

    @cached_property
    def bins(self) -> Bins:
        """The events in a hundred bins."""
        return self._events.binned(*self.spectrum.range)

    def _evaluate(self, point: Floats, gradient: Floats, gauss: Floats, rest: Floats) -> float:
        guard = self._compiled.problem.guard
        value: float = unbinned_value(
            self._compiled.model, point, self._x, self._weights, guard, 0.0, gradient, gauss, rest
        )
        return value

    def _fit(self, start: Floats, records: Records, workers: int) -> None:
        compiled = self._compiled
        if workers > 1 and len(self._x) > _MANY_EVENTS:
            fit_events(compiled, self._x, self._weights, start[0], records, workers)
            return
        everything = np.array([[0, len(self._x)]], dtype=np.int64)
        fit_unbinned_toys(
            compiled.model, compiled.problem, self._x, self._weights, everything, start, compiled.centres, records
        )


def likelihood(
    spectrum: Spectrum,
    data: Any,
    *,
    weights: ArrayLike | None = None,
    blind: tuple[float, float] | None = None,
) -> BinnedLikelihood | UnbinnedLikelihood:
    """Return the likelihood of a spectrum given a histogram (binned) or an array of events (unbinned).

    Parameters
    ----------
    spectrum : Spectrum
    data : one-dimensional histogram with the UHI protocol, or (n,) array_like
    weights : (n,) array_like, optional
        Of events; a histogram brings its own in its variances.
    blind : (low, high), optional
        Region whose bins are left out of a binned fit.

    Raises
    ------
    InputError
        For data that cannot be used, naming what is wrong.
    """
    taken = take_data(data, weights, spectrum, blind)
    if isinstance(taken, Bins):
        return BinnedLikelihood(spectrum, taken)
    return UnbinnedLikelihood(spectrum, taken)


def fit(
    spectrum: Spectrum,
    data: Any,
    *,
    weights: ArrayLike | None = None,
    blind: tuple[float, float] | None = None,
    start: Mapping[str, float] | None = None,
    workers: int = 1,
) -> FitResult:
    """Fit a spectrum to a histogram or to events by extended maximum likelihood.

    The fit starts from values guessed from the data, and again from the spectrum's own if that fails; where the shape
    of a peak floats, it starts from the likelier of the two first. Weighted events get the sandwich-corrected
    covariance (Langenbruch, arXiv:1911.01303), weighted bins the scaled Poisson likelihood (Bohm, Zech, NIM A 748
    (2014) 1).

    Parameters
    ----------
    spectrum : Spectrum
    data, weights, blind
        See :func:`likelihood`.
    start : mapping, optional
        Starting values that replace the guess.
    workers : int, optional
        Threads, used for more than 50,000 events; the result has the same bits for any number.

    Returns
    -------
    FitResult
        Check `valid`: a failed fit is returned, with the reason in `status`.

    Raises
    ------
    InputError
        For data or starting values that cannot be used.
    """
    return likelihood(spectrum, data, weights=weights, blind=blind).fit(start=start, workers=workers)
