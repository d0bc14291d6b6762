"""Choice of the background: what another parameter is worth, and what signal a wrong shape pretends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, fdtrc

from hepstat.checks import finite_array, finite_number, open_share
from hepstat.errors import FitError, InputError
from hepstat.fit import fit, fit_many
from hepstat.fit.data import take
from hepstat.histogram import Histogram
from hepstat.infer import fit_goodness
from hepstat.record import Record
from hepstat.search.scan import Grid, signed_significance
from hepstat.shapes import Shape, Spectrum
from hepstat.types import Bools, Floats

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["BackgroundComparison", "SpuriousSignal", "compare_backgrounds", "spurious_signal"]


@dataclass(frozen=True, eq=False, repr=False)
class BackgroundComparison(Record):
    """Candidates for the background, each fitted to the same data.

    Arrays have one entry per candidate, in the order given. Only differences of the criteria mean something; the
    smallest is preferred.

    Parameters
    ----------
    names : tuple of str
        The candidates.
    n_parameters : array
        Floating parameters of each, the yield included.
    nll : array
        Minimum of -log L; NaN where the fit failed.
    aic, aic_corrected, bic : array
        Akaike's criterion, its version corrected for few data (inf if there are no more data than parameters), and
        the Bayesian (Schwarz) one. The number of data is that of bins, or of events if they are not binned.
    chi2, ndof : array
        Pearson's chi2 and its degrees of freedom; NaN for unbinned data.
    p_next : array
        p-value of the improvement by the next candidate, if this one were right; NaN for the last.
    test : str
        How `p_next` was found: ``"likelihood"`` or ``"f"``.
    alpha : float
        Below which `p_next` calls for the next candidate.
    chosen : str
        The first candidate whose `p_next` is not below `alpha`.
    """

    names: tuple[str, ...]
    n_parameters: Floats
    nll: Floats
    aic: Floats
    aic_corrected: Floats
    bic: Floats
    chi2: Floats
    ndof: Floats
    p_next: Floats
    test: str
    alpha: float
    chosen: str

    def table(self) -> Table:
        """Return the comparison as a rich table."""
        from rich.table import Table

        table = Table(
            title="Background candidates", caption=f"{self.test} test at {self.alpha:g} chooses {self.chosen}"
        )
        for heading in ("candidate", "parameters", "-log L", "AIC", "AICc", "BIC", "chi2/ndof", "p(next)"):
            table.add_column(heading, justify="left" if heading == "candidate" else "right")
        lowest = [np.nanmin(values) for values in (self.nll, self.aic, self.aic_corrected, self.bic)]
        for i, name in enumerate(self.names):
            columns = (self.nll, self.aic, self.aic_corrected, self.bic)
            relative = [f"{values[i] - low:+.2f}" for values, low in zip(columns, lowest, strict=True)]
            chi2 = "" if np.isnan(self.chi2[i]) else f"{self.chi2[i]:.1f}/{self.ndof[i]:.0f}"
            p = "" if np.isnan(self.p_next[i]) else f"{self.p_next[i]:.3g}"
            style = "bold" if name == self.chosen else None
            table.add_row(name, f"{self.n_parameters[i]:.0f}", *relative, chi2, p, style=style)
        return table

    def __repr__(self) -> str:
        """Show the candidates with their AIC and what was chosen."""
        low = float(np.nanmin(self.aic))
        listed = ", ".join(f"{name} {aic - low:+.1f}" for name, aic in zip(self.names, self.aic, strict=True))
        return f"BackgroundComparison({self.chosen} chosen by the {self.test} test; AIC {listed})"


@dataclass(frozen=True, eq=False, repr=False)
class SpuriousSignal(Record):
    """Signal that a fit finds in a background-only expectation, position by position.

    Parameters
    ----------
    positions : array of shape (n_positions,)
        Where a signal was tried.
    n_spurious : array of shape (n_positions,)
        Fitted yield; NaN where the fit failed.
    error : array of shape (n_positions,)
        Statistical error that the yield has in data of the size of the expectation.
    ratio : array of shape (n_positions,)
        `n_spurious` over `error`.
    z : array of shape (n_positions,)
        Signed local significance of the spurious signal.
    tolerance : float
        Largest absolute `ratio` that is accepted.
    valid : array of bool
        False where the fit failed.
    """

    positions: Floats
    n_spurious: Floats
    error: Floats
    ratio: Floats
    z: Floats
    tolerance: float
    valid: Bools

    @property
    def worst(self) -> int:
        """Index of the position with the largest absolute ratio."""
        return int(np.nanargmax(np.abs(self.ratio)))

    @property
    def passed(self) -> bool:
        """Whether every fit succeeded and no ratio exceeds the tolerance."""
        return bool(self.valid.all() and np.abs(self.ratio[self.worst]) <= self.tolerance)

    def table(self) -> Table:
        """Return the positions as a rich table."""
        from rich.table import Table

        verdict = "passes" if self.passed else "fails"
        table = Table(title="Spurious signal", caption=f"{verdict}: |N/error| up to {self.tolerance:g} is accepted")
        for heading in ("position", "N spurious", "error", "N/error", "Z"):
            table.add_column(heading, justify="right")
        for i, position in enumerate(self.positions):
            numbers = (self.n_spurious[i], self.error[i], self.ratio[i], self.z[i])
            style = "bold" if i == self.worst else None
            table.add_row(f"{position:.6g}", *(f"{number:.3g}" for number in numbers), style=style)
        return table

    def __repr__(self) -> str:
        """Show the worst position."""
        i = self.worst
        return (
            f"SpuriousSignal({'passed' if self.passed else 'not passed'}; worst at {self.positions[i]:.6g}: "
            f"{self.n_spurious[i]:.3g} events, {self.ratio[i]:+.2g} standard errors)"
        )


def compare_backgrounds(
    candidates: Mapping[str, Shape],
    data: Histogram | ArrayLike,
    range: tuple[float, float],
    *,
    test: Literal["likelihood", "f"] = "likelihood",
    alpha: float = 0.05,
    blind: tuple[float, float] | None = None,
) -> BackgroundComparison:
    """Fit candidates for the background and ask whether each is worth its parameters.

    For the tests, candidates are orders of one family, each containing the one before. ``"likelihood"``: twice the
    gain in log L is chi2 with as many degrees of freedom as there are new parameters (Wilks). ``"f"``: Fisher's F
    test of the drop in Pearson's chi2, over the new parameters, relative to the chi2 per degree of freedom that is
    left; it forgives an overall scale of the errors, at the price of needing bins with many events.

    Parameters
    ----------
    candidates : mapping of str to Shape
        Names and shapes, the simplest first.
    data : Histogram or array of shape (n_events,)
        Binned or unbinned data.
    range : tuple of float
        Where the shapes are normalised and fitted.
    test : {"likelihood", "f"}
        Which p-value decides; the F test needs binned data.
    alpha : float
        The next candidate is called for while the p-value of its improvement is below this.
    blind : tuple of float, optional
        Region (low, high) that is left out.

    Returns
    -------
    BackgroundComparison
        All criteria of all candidates. A candidate whose fit failed has NaN and is not chosen.

    Raises
    ------
    InputError
        For no candidates, an unknown test, or an F test of unbinned data.
    FitError
        If all fits fail.
    """
    data = take(data)
    binned = isinstance(data, Histogram)
    if not candidates:
        raise InputError("candidates", "is empty", "Pass shapes by name, the simplest first")
    if test not in ("likelihood", "f"):
        raise InputError("test", f"is {test!r}", "Choose 'likelihood' or 'f'")
    if test == "f" and not binned:
        raise InputError("test", "is 'f', but the data are not binned", "Bin them, or choose 'likelihood'")
    open_share(alpha, "alpha")
    rows = np.array([_fitted(Spectrum({"background": s}, range), data, blind) for s in candidates.values()])
    k, nll, chi2, ndof, n_data = rows.T
    if np.isnan(nll).all():
        raise FitError("The fits of all candidates failed: check range and data")
    with np.errstate(divide="ignore", invalid="ignore"):
        aic = 2.0 * k + 2.0 * nll
        corrected = np.where(n_data - k > 1, aic + 2.0 * k * (k + 1.0) / (n_data - k - 1.0), np.inf)
    p_next = np.full(k.size, np.nan)
    p_next[:-1] = _f_test(chi2, ndof) if test == "f" else _likelihood_test(nll, k)
    good = ~np.isnan(nll) & ~(p_next < alpha)
    chosen = int(np.argmax(good)) if good.any() else int(np.nanargmin(aic))
    names = tuple(candidates)
    bic = k * np.log(n_data) + 2.0 * nll
    return BackgroundComparison(
        names, k, nll, aic, corrected, bic, chi2, ndof, p_next, test, float(alpha), names[chosen]
    )


def spurious_signal(
    spectrum: Spectrum,
    expectation: Histogram,
    positions: ArrayLike,
    *,
    signal: str = "signal",
    tolerance: float = 0.2,
    workers: int = 1,
) -> SpuriousSignal:
    """Fit signal and background to a background without signal.

    The expectation comes from elsewhere: a simulation, a richer or different background fitted to the data
    (`Spectrum.expected`), a control region. What the fit takes for a signal in it is the bias of the background
    model, to be small against the statistical error or to be quoted as a systematic one.

    Parameters
    ----------
    spectrum : Spectrum
        Signal and the background under test.
    expectation : Histogram
        Expected counts, of the size that the data have. Its own variances are ignored: the errors are those of data.
    positions : array of shape (n_positions,)
        Positions of the signal.
    signal : str
        Name of the signal.
    tolerance : float
        Largest absolute ratio of yield to error that is accepted.
    workers : int
        Number of threads.

    Returns
    -------
    SpuriousSignal
        Yield, error, their ratio and Z by position.

    Raises
    ------
    InputError
        For positions outside the range, an expectation that is negative or has several axes, or a tolerance that is
        not positive.
    FitError
        If the fit without signal fails.
    """
    grid = Grid(spectrum, positions, None, signal, None)
    if finite_number(tolerance, "tolerance") <= 0:
        raise InputError("tolerance", f"is {tolerance:g}", "Pass a number above zero")
    expectation = Histogram.from_uhi(expectation, assume_poisson=True)
    if expectation.ndim != 1:
        raise InputError("expectation", f"has {expectation.ndim} axes", "Project it on one")
    if (expectation.values() < 0).any():
        raise InputError("expectation", f"has {expectation.values().min():g}", "Merge bins until none is negative")
    counts = Histogram.from_values(expectation.axes[0], values=expectation.values())
    null = fit(grid.null, counts)
    if not null.valid:
        raise FitError(f"The fit without signal failed ({null.status}): try another background or range")
    started = grid.spectrum.start(**{name: null.values[name] for name in grid.null.floating})
    table = fit_many(started, counts, values=grid.places, workers=workers)
    n, error = table.values[grid.n_signal], table.errors[grid.n_signal]
    _, z, ok = signed_significance(null.nll, table.nll, n, table.valid, 1.0)
    n, error = np.where(ok, n, np.nan), np.where(ok, error, np.nan)
    return SpuriousSignal(finite_array(positions, "positions"), n, error, n / error, z, float(tolerance), ok)


def _fitted(
    spectrum: Spectrum, data: Histogram | Floats, blind: tuple[float, float] | None
) -> tuple[float, float, float, float, float]:
    """Return number of parameters, -log L, chi2, degrees of freedom and number of data of one candidate."""
    n_events = 0 if isinstance(data, Histogram) else data.size
    result = fit(spectrum, data, blind=blind)
    k = result.n_floating
    n_data = int(result.used.sum()) if result.binned else n_events
    if not result.valid:
        return float(k), np.nan, np.nan, np.nan, float(n_data)
    if not result.binned:
        return float(k), result.nll, np.nan, np.nan, float(n_data)
    quality = fit_goodness(result, method="pearson")
    return float(k), result.nll, quality.statistic, float(quality.ndof), float(n_data)


def _likelihood_test(nll: Floats, k: Floats) -> Floats:
    new = np.maximum(k[1:] - k[:-1], 1.0)
    return np.asarray(chdtrc(new, np.maximum(2.0 * (nll[:-1] - nll[1:]), 0.0)))


def _f_test(chi2: Floats, ndof: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        new = ndof[:-1] - ndof[1:]
        ratio = (chi2[:-1] - chi2[1:]) / new / (chi2[1:] / ndof[1:])
    return np.asarray(fdtrc(new, ndof[1:], np.maximum(ratio, 0.0)))
